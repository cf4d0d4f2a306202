import { z } from "zod"
import { AppError, isAppError } from "../errors.ts"
import { version } from "../version.ts"
import { type Answered, readAnswer } from "./mcp-answer.ts"
import type { TrialSeat } from "./trial-port.ts"

/** The revision whose requests stand alone. */
const modern = "2026-07-28"
/** The newest revision that opens with `initialize`. */
const legacy = "2025-11-25"
/** Most pages of tools, and most tools, that are asked for. */
const maxPages = 20
const maxTools = 1_000

/** What a server says of itself. */
export type Handshake = {
  readonly era: "modern" | "legacy"
  readonly protocolVersion: string
  readonly server?: { readonly name: string; readonly version: string }
  readonly tools: readonly string[]
}

const ServerInfo = z.object({ name: z.string().max(1_024), version: z.string().max(1_024) })
const serverKey = "io.modelcontextprotocol/serverInfo"
const Discovery = z.looseObject({
  supportedVersions: z.array(z.string()),
  serverInfo: ServerInfo.optional(),
  _meta: z.looseObject({ [serverKey]: ServerInfo.optional() }).optional(),
})
const Opening = z.looseObject({ protocolVersion: z.string().max(64), serverInfo: ServerInfo.optional() })
const Tools = z.looseObject({
  tools: z.array(z.looseObject({ name: z.string().max(1_024) })),
  nextCursor: z.string().optional(),
})

const clientInfo = { name: "reflow-gateway", version }
const envelope = {
  "io.modelcontextprotocol/protocolVersion": modern,
  "io.modelcontextprotocol/clientInfo": clientInfo,
  "io.modelcontextprotocol/clientCapabilities": {},
}

/** Asks the server that is tried. */
type Server = Pick<TrialSeat, "ask">
type Sent = { readonly method: string; readonly params: object; readonly headers?: Readonly<Record<string, string>> }
type Heard = Answered & { readonly status: number; readonly headers: Headers }

const failed = (error: unknown, signal: AbortSignal): AppError => {
  if (isAppError(error)) return error
  if (signal.aborted) return new AppError("UpstreamTimeout", { detail: "The server took too long to answer." })
  return new AppError("UpstreamUnreachable", { detail: "The server does not answer.", cause: error })
}

/** What to do about a status that tells it. */
const advice: Readonly<Record<number, string>> = {
  404: " Is 'path' where the server has its MCP endpoint?",
  421: " It checks the Host header: set 'host_header' to what it expects.",
}

const unexpected = (method: string, { status, message, said }: Heard): AppError => {
  const data = { status, ...(said === undefined ? {} : { said }) }
  if (status === 401)
    return new AppError("UpstreamUnauthorized", {
      detail: `The server refused ${method} with 401: it wants a login.`,
      data,
    })
  const code = message?.error?.code
  const what = code === undefined ? `HTTP status ${status} and no MCP result` : `the error ${code}`
  const detail = `The server answered ${method} with ${what}.${advice[status] ?? ""}`
  return new AppError("UpstreamInvalid", { detail, data })
}

/** A connection to a server that has one request after the other. */
const createAsk = (server: Server, signal: AbortSignal) => {
  let id = 0
  return async ({ method, params, headers }: Sent): Promise<Heard> => {
    const isNotice = method.startsWith("notifications/")
    const request = { jsonrpc: "2.0", ...(isNotice ? {} : { id: ++id }), method, params }
    try {
      const response = await server.ask({
        verb: "POST",
        signal,
        headers: { "content-type": "application/json", accept: "application/json, text/event-stream", ...headers },
        body: Buffer.from(JSON.stringify(request)),
      })
      const answered = isNotice ? {} : await readAnswer(response, id)
      if (isNotice) await response.body?.cancel()
      return { status: response.status, headers: response.headers, ...answered }
    } catch (error) {
      throw failed(error, signal)
    }
  }
}

type Ask = ReturnType<typeof createAsk>

const listTools = async (ask: Ask, meta: object, headers: Readonly<Record<string, string>>): Promise<string[]> => {
  const tools: string[] = []
  let cursor: string | undefined
  for (let page = 0; page < maxPages && tools.length < maxTools; page++) {
    const params = { ...meta, ...(cursor === undefined ? {} : { cursor }) }
    const heard = await ask({ method: "tools/list", params, headers })
    // a server without tools does not know the method
    if (page === 0 && heard.message?.error?.code === -32601) return []
    const { data } = Tools.safeParse(heard.message?.result)
    if (data === undefined) throw unexpected("tools/list", heard)
    tools.push(...data.tools.map(({ name }) => name))
    cursor = data.nextCursor
    if (cursor === undefined) break
  }
  return tools.slice(0, maxTools)
}

const tryModern = async (ask: Ask): Promise<Handshake | undefined> => {
  const meta = { _meta: envelope }
  const headers = (method: string) => ({ "mcp-protocol-version": modern, "mcp-method": method })
  const heard = await ask({ method: "server/discover", params: meta, headers: headers("server/discover") })
  const { data } = Discovery.safeParse(heard.message?.result)
  if (data === undefined || !data.supportedVersions.includes(modern)) return undefined
  const server = data._meta?.[serverKey] ?? data.serverInfo
  const tools = await listTools(ask, meta, headers("tools/list"))
  return { era: "modern", protocolVersion: modern, ...(server === undefined ? {} : { server }), tools }
}

const endSession = (server: Server, headers: Record<string, string>, signal: AbortSignal): Promise<unknown> =>
  // not every server has sessions to end
  server
    .ask({ verb: "DELETE", signal, headers })
    .then((response) => response.body?.cancel())
    .catch(() => {})

const openLegacy = async (ask: Ask, server: Server, signal: AbortSignal): Promise<Handshake> => {
  const params = { protocolVersion: legacy, capabilities: {}, clientInfo }
  const heard = await ask({ method: "initialize", params })
  const { data } = Opening.safeParse(heard.message?.result)
  if (data === undefined) throw unexpected("initialize", heard)
  const { protocolVersion, serverInfo } = data
  const session = heard.headers.get("mcp-session-id")
  const headers = {
    "mcp-protocol-version": protocolVersion,
    ...(session === null ? {} : { "mcp-session-id": session }),
  }
  try {
    await ask({ method: "notifications/initialized", params: {}, headers })
    const tools = await listTools(ask, {}, headers)
    return { era: "legacy", protocolVersion, ...(serverInfo === undefined ? {} : { server: serverInfo }), tools }
  } finally {
    if (session !== null) await endSession(server, headers, signal)
  }
}

/**
 * Opens an MCP server as a client would, asks for its tools, and leaves nothing behind: `server/discover` first, else
 * `initialize`. Throws UpstreamUnreachable, UpstreamTimeout, UpstreamUnauthorized, UpstreamInvalid with
 * `data`: `status`, and `said` where the server said something else than MCP.
 */
export const handshake = async (server: Server, signal: AbortSignal): Promise<Handshake> => {
  const ask = createAsk(server, signal)
  return (await tryModern(ask)) ?? (await openLegacy(ask, server, signal))
}
