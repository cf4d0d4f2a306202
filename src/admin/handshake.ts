import { z } from "zod"
import { AppError, isAppError } from "../errors.ts"
import { version } from "../version.ts"
import { type Message, readAnswer } from "./mcp-answer.ts"

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

const Server = z.object({ name: z.string().max(1_024), version: z.string().max(1_024) })
const serverKey = "io.modelcontextprotocol/serverInfo"
const Discovery = z.looseObject({
  supportedVersions: z.array(z.string()),
  serverInfo: Server.optional(),
  _meta: z.looseObject({ [serverKey]: Server.optional() }).optional(),
})
const Opening = z.looseObject({ protocolVersion: z.string().max(64), serverInfo: Server.optional() })
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

type Sent = { readonly method: string; readonly params: object; readonly headers?: Readonly<Record<string, string>> }
type Heard = { readonly status: number; readonly headers: Headers; readonly message: Message | undefined }

const failed = (error: unknown, signal: AbortSignal): AppError => {
  if (isAppError(error)) return error
  if (signal.aborted) return new AppError("UpstreamTimeout", { detail: "The server took too long to answer." })
  return new AppError("UpstreamUnreachable", { detail: "The server does not answer.", cause: error })
}

const unexpected = (method: string, { status, message }: Heard): AppError => {
  if (status === 401)
    return new AppError("UpstreamUnauthorized", { detail: `The server refused ${method} with 401: it wants a login.` })
  const code = message?.error?.code
  const said = code === undefined ? `HTTP status ${status} and no MCP result` : `the error ${code}`
  return new AppError("UpstreamInvalid", { detail: `The server answered ${method} with ${said}.` })
}

/** A connection to a server that has one request after the other. */
const createAsk = (url: URL, signal: AbortSignal) => {
  let id = 0
  return async ({ method, params, headers }: Sent): Promise<Heard> => {
    const isNotice = method.startsWith("notifications/")
    const request = { jsonrpc: "2.0", ...(isNotice ? {} : { id: ++id }), method, params }
    try {
      const response = await fetch(url, {
        method: "POST",
        redirect: "manual",
        signal,
        headers: { "content-type": "application/json", accept: "application/json, text/event-stream", ...headers },
        body: JSON.stringify(request),
      })
      const message = isNotice ? undefined : await readAnswer(response, id)
      if (isNotice) await response.body?.cancel()
      return { status: response.status, headers: response.headers, message }
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

const endSession = (url: URL, headers: Record<string, string>, signal: AbortSignal): Promise<unknown> =>
  // not every server has sessions to end
  fetch(url, { method: "DELETE", redirect: "manual", signal, headers })
    .then((response) => response.body?.cancel())
    .catch(() => {})

const openLegacy = async (ask: Ask, url: URL, signal: AbortSignal): Promise<Handshake> => {
  const params = { protocolVersion: legacy, capabilities: {}, clientInfo }
  const heard = await ask({ method: "initialize", params })
  const { data } = Opening.safeParse(heard.message?.result)
  if (data === undefined) throw unexpected("initialize", heard)
  const { protocolVersion, serverInfo: server } = data
  const session = heard.headers.get("mcp-session-id")
  const headers = {
    "mcp-protocol-version": protocolVersion,
    ...(session === null ? {} : { "mcp-session-id": session }),
  }
  try {
    await ask({ method: "notifications/initialized", params: {}, headers })
    const tools = await listTools(ask, {}, headers)
    return { era: "legacy", protocolVersion, ...(server === undefined ? {} : { server }), tools }
  } finally {
    if (session !== null) await endSession(url, headers, signal)
  }
}

/**
 * Opens an MCP server as a client would, asks for its tools, and leaves nothing behind: `server/discover` first, else
 * `initialize`. Throws UpstreamUnreachable, UpstreamTimeout, UpstreamUnauthorized, UpstreamInvalid.
 */
export const handshake = async (url: URL, signal: AbortSignal): Promise<Handshake> => {
  const ask = createAsk(url, signal)
  return (await tryModern(ask)) ?? (await openLegacy(ask, url, signal))
}
