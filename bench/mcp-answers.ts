/**
 * What the MCP server of all measurements answers (server.ts): JSON-RPC messages of revision 2025-11-25 and older, and
 * of revision 2026-07-28, whose requests name their version themselves.
 */

/** A JSON-RPC message as it arrives. Nothing in it is checked: only the benchmark sends messages here. */
type Message = {
  readonly id?: number | string
  readonly method?: string
  readonly params?: {
    readonly name?: string
    readonly arguments?: { readonly message?: string }
    readonly protocolVersion?: string
    readonly _meta?: { readonly "io.modelcontextprotocol/protocolVersion"?: string }
  }
}

/** A JSON text in pieces, so that a large constant part is never copied. */
export type Pieces = readonly (string | Buffer)[]

/** Bytes of the text that the tool `big` returns: 1 MB. */
export const bigBytes = 1_000_000

const modernVersion = "2026-07-28"
const serverInfo = { name: "bench", version: "1.0.0" }
const capabilities = { tools: {} }
const tool = (name: string, properties: object = {}) => ({
  name,
  description: `Tool ${name} of the measurements.`,
  inputSchema: { type: "object", properties },
})
const tools = [
  tool("echo", { message: { type: "string" } }),
  tool("big"),
  tool("list_items"),
  tool("read_item", { id: { type: "string" } }),
  tool("read_secret"),
]

/** What each result of the modern era has besides its own members, as JSON text without the closing brace. */
const modernRest = `,"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":${JSON.stringify(serverInfo)}}`
const listRest = `,"ttlMs":0,"cacheScope":"private"`

const head = (id: number | string): string => `{"jsonrpc":"2.0","id":${JSON.stringify(id)},`
const toolList = `"result":{"tools":${JSON.stringify(tools)}`
const discovery = `"result":${JSON.stringify({ supportedVersions: [modernVersion], capabilities }).slice(0, -1)}${listRest}${modernRest}}}`
const bigText = `"result":{"content":[{"type":"text","text":"${"x".repeat(bigBytes)}"}]`
const big = { legacy: Buffer.from(`${bigText}}}`), modern: Buffer.from(`${bigText}${modernRest}}}`) }

const initialized = (wanted = "2025-11-25"): string => {
  const protocolVersion = wanted >= modernVersion ? "2025-11-25" : wanted
  return `"result":${JSON.stringify({ protocolVersion, capabilities, serverInfo })}}`
}

const refused = (code: number, message: string): string => `"error":${JSON.stringify({ code, message })}}`

const called = ({ name, arguments: given }: NonNullable<Message["params"]>, isModern: boolean): string | Buffer => {
  if (name === "big") return isModern ? big.modern : big.legacy
  if (name !== "echo") return refused(-32602, "there is no such tool")
  const text = JSON.stringify(given?.message ?? "")
  return `"result":{"content":[{"type":"text","text":${text}}]${isModern ? modernRest : ""}}}`
}

const resultOf = ({ method, params = {} }: Message): string | Buffer => {
  const isModern = params._meta?.["io.modelcontextprotocol/protocolVersion"] === modernVersion
  if (method === "tools/call") return called(params, isModern)
  if (method === "initialize") return initialized(params.protocolVersion)
  if (method === "tools/list") return `${toolList}${isModern ? `${listRest}${modernRest}` : ""}}}`
  if (method === "ping") return `"result":{${isModern ? modernRest.slice(1) : ""}}}`
  if (method === "server/discover" && isModern) return discovery
  return refused(-32601, "there is no such method")
}

/** The answer to a message; undefined if it is a notification or a response, which have none. */
export const answerTo = (message: Message): Pieces | undefined => {
  if (message.id === undefined || message.method === undefined) return undefined
  const result = resultOf(message)
  return typeof result === "string" ? [head(message.id) + result] : [head(message.id), result]
}

/** True if the message opens a session of the legacy era. */
export const opensSession = ({ method }: Message): boolean => method === "initialize"

/** Reads a message. Throws SyntaxError. */
export const readMessage = (text: string): Message => JSON.parse(text)
