import { readMessages } from "../../../src/gateway/message.ts"
import type { Door, Family } from "../family.ts"

const mebibyte = 2 ** 20

const body = (name: string, largest: number, text: (size: number) => string): Family => ({
  name,
  largest,
  make: (size) => {
    const bytes = Buffer.from(text(size))
    return () => readMessages(bytes)
  },
})

const around = (member: string): string => `{"jsonrpc":"2.0","id":1,"method":"ping",${member}}`

export const doors: readonly Door[] = [
  {
    name: "body of an MCP request",
    limit: "4 MiB (`gateway.max_body`), 50,000 members, 100 levels",
    families: [
      body("a key of combining marks", 2 * mebibyte - 64, (size) => around(`"a${"\u0301\u0323".repeat(size / 2)}":1`)),
    ],
  },
]
