import { z } from "zod"
import { AppError, isAppError } from "../errors.ts"
import { version } from "../version.ts"
import { type Answered, readAnswer } from "./read-answer.ts"
import { firstModern as modern, newestLegacy } from "./versions.ts"

/** One request to a server, with the names of headers in lower case. */
export type ServerRequest = {
  readonly verb: "POST" | "DELETE"
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Buffer
  readonly signal: AbortSignal
}

/** Sends a request to one fixed server and resolves with its answer; the session id is the server's own. */
export type Send = (request: ServerRequest) => Promise<Response>

/** How a server is asked. */
type AskOptions = {
  /** Aborts the request that is in progress. */
  readonly signal: AbortSignal
  /** Most bytes of an answer that are read; default 4 MiB. */
  readonly maxBytes?: number
}

const defaultMaxBytes = 4 * 2 ** 20
/** Most pages of tools, and most tools, that are requested. */
const maxPages = 20
const maxTools = 1_000

/** What a server reports about itself. */
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

type Sent = { readonly method: string; readonly params: object; readonly headers?: Readonly<Record<string, string>> }

/** A server's answer, with its status and headers. */
type Reply = Answered & { readonly status: number; readonly headers: Headers }

/**
 * Sends one message: as a notification if the method begins with `notifications/`, else as a request. Throws AppErrors
 * of the upstream kind.
 */
type Ask = (message: Sent) => Promise<Reply>

const failed = (error: unknown, signal: AbortSignal): AppError => {
  if (isAppError(error)) return error
  if (signal.aborted) return new AppError("UpstreamTimeout", { detail: "The server took too long to answer." })
  return new AppError("UpstreamUnreachable", { detail: "The server does not answer.", cause: error })
}

/** Advice for statuses with a known cause. */
const advice: Readonly<Record<number, string>> = {
  404: " Is 'path' (of a remote server 'remote.url') where the server has its MCP endpoint?",
  421: " It checks the Host header: set 'host_header' to what it expects.",
}

const unexpected = (method: string, { status, message, said }: Reply): AppError => {
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

/** Creates the function that sends messages to a server, one after the other. */
export const createAsk = (send: Send, { signal, maxBytes = defaultMaxBytes }: AskOptions): Ask => {
  let id = 0
  return async ({ method, params, headers }) => {
    const isNotice = method.startsWith("notifications/")
    const request = { jsonrpc: "2.0", ...(isNotice ? {} : { id: ++id }), method, params }
    try {
      const response = await send({
        verb: "POST",
        signal,
        headers: { "content-type": "application/json", accept: "application/json, text/event-stream", ...headers },
        body: Buffer.from(JSON.stringify(request)),
      })
      const answered = isNotice ? {} : await readAnswer(response, { id, maxBytes })
      if (isNotice) await response.body?.cancel()
      return { status: response.status, headers: response.headers, ...answered }
    } catch (error) {
      throw failed(error, signal)
    }
  }
}

const listTools = async (ask: Ask, meta: object, headers: Readonly<Record<string, string>>): Promise<string[]> => {
  const tools: string[] = []
  let cursor: string | undefined
  for (let page = 0; page < maxPages && tools.length < maxTools; page++) {
    const params = { ...meta, ...(cursor === undefined ? {} : { cursor }) }
    const reply = await ask({ method: "tools/list", params, headers })
    // a server without tools does not know the method
    if (page === 0 && reply.message?.error?.code === -32601) return []
    const { data } = Tools.safeParse(reply.message?.result)
    if (data === undefined) throw unexpected("tools/list", reply)
    tools.push(...data.tools.map(({ name }) => name))
    cursor = data.nextCursor
    if (cursor === undefined) break
  }
  return tools.slice(0, maxTools)
}

const tryModern = async (ask: Ask): Promise<Handshake | undefined> => {
  const meta = { _meta: envelope }
  const headers = (method: string) => ({ "mcp-protocol-version": modern, "mcp-method": method })
  const reply = await ask({ method: "server/discover", params: meta, headers: headers("server/discover") })
  const { data } = Discovery.safeParse(reply.message?.result)
  if (data === undefined || !data.supportedVersions.includes(modern)) return undefined
  const server = data._meta?.[serverKey] ?? data.serverInfo
  const tools = await listTools(ask, meta, headers("tools/list"))
  return { era: "modern", protocolVersion: modern, ...(server === undefined ? {} : { server }), tools }
}

const endSession = (send: Send, headers: Record<string, string>, signal: AbortSignal): Promise<unknown> =>
  // not every server has sessions to end
  send({ verb: "DELETE", signal, headers })
    .then((response) => response.body?.cancel())
    .catch(() => {})

/** A session of the legacy era, as its server has opened it. */
type ServerSession = {
  /** The server's own id; undefined if the server has no sessions. */
  readonly id: string | undefined
  /** Headers of every request in the session. */
  readonly headers: Readonly<Record<string, string>>
  /** The answer to `initialize`. It has a result, of which only the version was read. */
  readonly reply: Reply
}

/**
 * Sends `initialize` with these parameters. Reads no more of the result than a session needs: the caller decides what
 * else a server must say, and sends {@link noteInitialized}. Throws UpstreamUnauthorized and UpstreamInvalid with the
 * server's `status` if there is no result, and what `ask` throws.
 */
export const openSession = async (ask: Ask, params: object): Promise<ServerSession> => {
  const reply = await ask({ method: "initialize", params })
  const result = reply.message?.result
  if (result === undefined || result === null) throw unexpected("initialize", reply)
  const { protocolVersion: revision } = result
  const id = reply.headers.get("mcp-session-id") ?? undefined
  const headers = {
    ...(typeof revision === "string" ? { "mcp-protocol-version": revision } : {}),
    ...(id === undefined ? {} : { "mcp-session-id": id }),
  }
  return { id, headers, reply }
}

/** Sends `notifications/initialized`. Resolves with the status of the answer; throws what `ask` throws. */
export const noteInitialized = async (ask: Ask, { headers }: Pick<ServerSession, "headers">): Promise<number> =>
  (await ask({ method: "notifications/initialized", params: {}, headers })).status

const inspectLegacy = async (ask: Ask, send: Send, signal: AbortSignal): Promise<Handshake> => {
  const session = await openSession(ask, { protocolVersion: newestLegacy, capabilities: {}, clientInfo })
  const { id, headers, reply } = session
  try {
    const { data } = Opening.safeParse(reply.message?.result)
    if (data === undefined) throw unexpected("initialize", reply)
    await noteInitialized(ask, session)
    const tools = await listTools(ask, {}, headers)
    const { protocolVersion, serverInfo: server } = data
    return { era: "legacy", protocolVersion, ...(server === undefined ? {} : { server }), tools }
  } finally {
    if (id !== undefined) await endSession(send, headers, signal)
  }
}

/**
 * Opens an MCP server as a client would, asks for its tools, and ends the session that it opened: `server/discover`
 * first, else `initialize`. Throws UpstreamUnreachable, UpstreamTimeout, UpstreamUnauthorized, and UpstreamInvalid with
 * `data`: `status`, and `said`, the beginning of an answer that is not MCP.
 */
export const handshake = async (send: Send, signal: AbortSignal): Promise<Handshake> => {
  const ask = createAsk(send, { signal })
  return (await tryModern(ask)) ?? (await inspectLegacy(ask, send, signal))
}
