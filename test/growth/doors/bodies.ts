import type { Read as ReadStep } from "../../../src/gateway/pipeline.ts"
import { permit } from "../../../src/gateway/policy.ts"
import { readMessages } from "../../../src/mcp/message.ts"
import { createToolPolicies } from "../../../src/mcp/tool-policy.ts"
import { aTarget } from "../../support/build/target.ts"
import type { Door, Family } from "../family.ts"

/** Just under the largest body, so that what stands around fits. */
const largest = 4 * 2 ** 20 - 256
const members = 50_000

const target = aTarget({
  spec: { isolationBoundary: "per_user", tools: { allow: ["read_*"], deny: [`*${"a".repeat(400)}*b`] } },
})
const tools = createToolPolicies()(target)

/** Reads and judges a body as a POST's. */
const judge = (bytes: Buffer): void => {
  const input = { verb: "POST", headers: {}, target, tools, body: bytes, reading: readMessages(bytes) }
  permit(input as unknown as ReadStep)
}

const body = (name: string, text: (size: number) => string, size = largest): Family => ({
  name,
  largest: size,
  make: (each) => {
    const bytes = Buffer.from(text(each))
    return () => judge(bytes)
  },
})

const message = (member: string): string => `{"jsonrpc":"2.0","id":1,"method":"ping",${member}}`
const call = (name: string, more = ""): string =>
  `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"${name}"${more}}}`
const key = (text: string): string => message(`"${text}":1`)

export const doors: readonly Door[] = [
  {
    name: "body of an MCP request",
    limit: "4 MiB (`gateway.max_body`), 50,000 members and elements, 100 levels, 100 messages",
    families: [
      body("a key of combining marks", (size) => key(`a${"\u0301\u0323".repeat(size / 4)}`)),
      body("a key of escaped combining marks", (size) => key(`a${"\\u0301\\u0323".repeat(size / 12)}`)),
      body("a key of characters without a form", (size) => key(`${"\u200b".repeat(size / 3)}method`)),
      body("a key of NULs", (size) => key("\\u0000".repeat(size / 6))),
      body("a key of letters that fold to others", (size) => key("\u017f\u212a".repeat(size / 5))),
      body("a key of backslashes", (size) => key("\\\\".repeat(size / 2))),
      body("a key of quotes", (size) => key('\\"'.repeat(size / 2))),
      body(
        "keys that are not plain",
        (count) => message(`${`"\u00e9${"\u0301".repeat(30)}":1,`.repeat(count)}"z":1`),
        members - 10,
      ),
      body("keys that nearly decide", (count) => message(`${'"methoc":1,'.repeat(count)}"z":1`), members - 10),
      body("small members", (count) => message(`"x":{${'"a":1,'.repeat(count)}"z":1}`), members - 10),
      body("more small members than are let in", (size) => message(`"x":{${'"a":1,'.repeat(size / 6)}"z":1}`)),
      body("empty arrays", (count) => message(`"x":[${"[],".repeat(count / 2)}1]`), members - 10),
      body("open arrays", (size) => message(`"x":${"[".repeat(size)}`)),
      body("a string without an end", (size) => `{"jsonrpc":"${"\\\\".repeat(size / 2)}`),
      body("one string of text", (size) => call("read_x", `,"arguments":{"text":"${"x".repeat(size)}"}`)),
      body("one string of escapes", (size) => call("read_x", `,"arguments":{"text":"${"\\u0041".repeat(size / 6)}"}`)),
      body("a number of many digits", (size) => message(`"x":${"1".repeat(size)}`)),
      body("a number with a large exponent", (size) => message(`"x":1e${"9".repeat(size)}`)),
      body("blanks", (size) => `${" ".repeat(size / 2)}${message('"x":1')}${"\n".repeat(size / 2)}`),
      body("a batch of messages", (count) => `[${Array.from({ length: count }, () => call("read_x")).join()}]`, 100),
      body("a tool's name", (size) => call("a".repeat(size))),
      body("a tool's name that a long glob nearly matches", (size) => call(`read_${"a".repeat(size)}`), 1_019),
      body(
        "an initialize with large parameters",
        (size) =>
          `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"x":"${"y".repeat(size)}"}}}`,
      ),
      body("bytes that are not UTF-8 at the end", (size) => message(`"x":"${"y".repeat(size)}`)),
    ],
  },
]
