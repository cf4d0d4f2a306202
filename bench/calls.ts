/** The requests of the measurements, of both eras of MCP. */
import type { Request } from "./connection.ts"

const params = (name: string) => ({ name, arguments: name === "echo" ? { message: "hello" } : {} })
const call = (name: string, more: object = {}) =>
  JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { ...params(name), ...more } })

const version = "2026-07-28"
const meta = {
  "io.modelcontextprotocol/protocolVersion": version,
  "io.modelcontextprotocol/clientInfo": { name: "bench", version: "1" },
  "io.modelcontextprotocol/clientCapabilities": {},
}

/** A part of the text that the tool `echo` returns here. */
export const echoed = "hello"

/** A program that serves MCP, and what its requests need. */
export type Endpoint = {
  readonly url: string
  /** Bearer token; undefined if it wants none. */
  readonly token?: string
}

const headersOf = ({ token }: Endpoint): Readonly<Record<string, string>> => ({
  "content-type": "application/json",
  accept: "application/json, text/event-stream",
  ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
})

/** Headers of requests in a session of revision 2025-11-25. */
export type Session = Readonly<Record<string, string>>

/** Opens a session. Throws if the answer has no session id. */
export const openSession = async (endpoint: Endpoint): Promise<Session> => {
  const send = (message: object, session: Session = {}) =>
    fetch(endpoint.url, {
      method: "POST",
      headers: { ...headersOf(endpoint), ...session },
      body: JSON.stringify({ jsonrpc: "2.0", ...message }),
      signal: AbortSignal.timeout(60_000),
    })
  const protocolVersion = "2025-11-25"
  const clientInfo = { name: "bench", version: "1" }
  const opening = { id: 0, method: "initialize", params: { protocolVersion, capabilities: {}, clientInfo } }
  const opened = await send(opening)
  const id = opened.headers.get("mcp-session-id")
  if (id === null) throw new Error(`initialize was answered with ${opened.status}: ${await opened.text()}`)
  await opened.text()
  const session = { "mcp-session-id": id, "mcp-protocol-version": protocolVersion }
  await (await send({ method: "notifications/initialized" }, session)).text()
  return session
}

/** A small tools/call in a session; without one it is what a proxy gets that passes on no session. */
export const sessionCall = (endpoint: Endpoint, session: Session, tool: "echo" | "big" = "echo"): Request => ({
  url: endpoint.url,
  headers: { ...headersOf(endpoint), ...session },
  body: call(tool),
})

/** A tools/call of revision 2026-07-28. */
export const modernCall = (endpoint: Endpoint, tool: "echo" | "big" = "echo"): Request => ({
  url: endpoint.url,
  headers: { ...headersOf(endpoint), "mcp-protocol-version": version, "mcp-method": "tools/call", "mcp-name": tool },
  body: call(tool, { _meta: meta }),
})

/** The request for a session's event stream. */
export const streamRequest = (endpoint: Endpoint, session: Session): Request => ({
  url: endpoint.url,
  method: "GET",
  headers: { ...headersOf(endpoint), accept: "text/event-stream", ...session },
})
