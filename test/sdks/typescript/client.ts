/** A client of the TypeScript SDK, driven by JSON lines: `client.ts v1|auto`, whichever library and era is meant. */
import { createInterface } from "node:readline"
import { inspect } from "node:util"
import { connectV1, connectV2, type Peer } from "../../support/mcp-peers.ts"

/** What test/sdks/client-program.ts writes; each command has those of its fields that it needs. */
type Command = {
  readonly id: number
  readonly do: string
  readonly url: string
  readonly token: string
  readonly tool: string
  readonly args: Record<string, unknown>
  readonly call: number
  readonly uri: string
}

const say = (line: unknown): void => void process.stdout.write(`${JSON.stringify(line)}\n`)
const library = process.argv[2]
const calls = new Map<number, AbortController>()
let peer: Peer | undefined

const connected = (): Peer => {
  if (peer === undefined) throw new Error("not connected")
  return peer
}

/** What there may be in a JSON-RPC error. */
type RpcError = { readonly code?: unknown; readonly message?: unknown; readonly data?: { readonly text?: unknown } }

/** The error in an answer that the 2.x library has beside its own message: so it passes on what its first question was told. */
const answerIn = (text: unknown): RpcError | undefined => {
  try {
    return JSON.parse(String(text)).error
  } catch {
    return undefined
  }
}

/** What a person sees of an error, as Node prints it without its way, and what a program can read of it. */
const failureOf = (error: unknown): unknown => {
  const thrown: RpcError = Object(error)
  const { code, message, data } = answerIn(thrown.data?.text) ?? thrown
  const shown = inspect(error).replaceAll(/\n {4}at .*/g, "")
  return { shown, rpc: typeof code === "number" ? code : null, message: message ?? null, data: data ?? null }
}

const commands: Record<string, (command: Command) => Promise<object>> = {
  connect: async ({ url, token }) => {
    peer = await (library === "v1" ? connectV1(url, token) : connectV2("auto", url, token))
    return { revision: peer.revision() }
  },
  tools: async () => ({ tools: await connected().tools() }),
  call: async ({ id, tool, args }) => {
    const leave = new AbortController()
    calls.set(id, leave)
    try {
      return await connected().call(tool, args, leave.signal, () => say({ event: "progress", call: id }))
    } finally {
      calls.delete(id)
    }
  },
  cancel: async ({ call }) => {
    calls.get(call)?.abort()
    return {}
  },
  resources: async () => ({ uris: await connected().resources() }),
  read: async ({ uri }) => ({ text: await connected().read(uri) }),
  close: async () => {
    await connected().close()
    return {}
  },
}

createInterface({ input: process.stdin }).on("line", async (text) => {
  const command: Command = JSON.parse(text)
  try {
    say({ ...(await commands[command.do]?.(command)), id: command.id })
  } catch (error) {
    say({ id: command.id, failure: failureOf(error) })
  }
})
