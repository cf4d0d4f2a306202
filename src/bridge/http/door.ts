import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http"
import { type AppError, errorTable, AppError as Refusal, toAppError } from "../../errors.ts"
import { createBudget, createShares } from "../../intake/bodies.ts"
import type { Incoming } from "../incoming.ts"
import { readBody } from "../incoming.ts"
import { noBatch, tooManyCalls } from "../modern.ts"
import { mostCalls } from "../peer.ts"
import { errorText } from "../rpc.ts"
import type { Sessions } from "../sessions.ts"
import { readRequest } from "./body.ts"
import { type Connection, createConnection } from "./connection.ts"

/** What the door needs. */
export type DoorDeps = {
  readonly sessions: Sessions
  /** Path of the MCP endpoint. */
  readonly path: string
  /** Gets errors that are faults of the bridge itself. */
  readonly report: (error: AppError) => void
}

/** Bytes of all bodies that are being read. */
const heldBytes = 64 * 2 ** 20

const one = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value[0] : value)

/** Answers with an error. `idText`: the JSON source of the request's id. `status`: if it is not the error's own. */
const refuse = (
  connection: Connection,
  error: AppError,
  idText?: string,
  status: number = errorTable[error.code].status,
): void => {
  const retry = error.retryAfterSeconds
  connection.json(status, errorText(error, idText), {
    ...(retry === undefined ? {} : { "retry-after": String(retry) }),
    ...error.headers,
  })
}

/**
 * The HTTP status of an error about these messages; undefined = that of the error. Many clients drop the body of a
 * status other than 200, and with it the server's last words. But an error with 200 to `server/discover` means a server
 * of the older era.
 */
const statusFor = ({ code }: AppError, [first]: readonly Incoming[]): number | undefined =>
  code === "ServerProcessEnded" && first?.message.kind === "request" && first.message.method !== "server/discover"
    ? 200
    : undefined

const isJson = (type: string | undefined): boolean => /^application\/json *(;|$)/i.test(type ?? "")

/** Why a request is refused before its body is read; undefined if it is not. */
const refusalOf = ({ url, method, headers }: IncomingMessage, path: string): AppError | undefined => {
  if (headers.origin !== undefined)
    return new Refusal("OriginNotAllowed", { detail: "Web pages have no access to this server." })
  if (url !== path) return new Refusal("RouteNotFound", { detail: `The MCP endpoint is ${path}.` })
  if (method === "POST" && (!isJson(headers["content-type"]) || headers["content-encoding"] !== undefined))
    return new Refusal("UnsupportedMediaType", { detail: "The body is not JSON." })
  return undefined
}

/**
 * Waits for a server in the name of a session, or of those without. Throws TooManyCalls if that are too many: small
 * bodies that wait are bounded by nothing else. A quarter may be of one name, as many as may wait for a server's answers.
 */
const createQueue = () => {
  const shares = createShares(4 * mostCalls)
  return async <T>(owner: string, wait: () => Promise<T>): Promise<T> => {
    if (!shares.take(owner, 1)) throw tooManyCalls("Too many requests wait.")
    try {
      return await wait()
    } finally {
      shares.give(owner, 1)
    }
  }
}

const sessionMissing = (): AppError =>
  new Refusal("InvalidRequest", { detail: "The header Mcp-Session-Id is missing: send initialize first." })

/**
 * Handles the requests of the bridge's port. A connection has one request at a time: what is bounded for each request or
 * response would not be bounded for a client that sends the next ones before it has the answer (pipelining, which hardly
 * any client does, and the gateway does not).
 */
export const createDoor = ({ sessions, path, report }: DoorDeps) => {
  const budget = createBudget(heldBytes)
  const queue = createQueue()
  let bodies = 0

  /**
   * Whose share of the budget a body takes: that of its session if there is one with this id, which anybody can make up,
   * else its connection's. A connection has one body at a time, so a number of the body's own says the same.
   */
  const ownerOf = (session = ""): string => (sessions.has(session) ? session : `#${++bodies}`)

  const inModernEra = async (
    messages: readonly Incoming[],
    headers: IncomingHttpHeaders,
    connection: Connection,
  ): Promise<void> => {
    const [first] = messages
    if (first === undefined || messages.length > 1) throw noBatch()
    // nothing that a client notifies of concerns a server without sessions: it cancels by closing the connection
    if (first.message.kind !== "request") return connection.empty(202)
    return queue("modern", async () => {
      const side = await sessions.modern()
      await side.ready(first)
      if (!connection.isGone) side.receive(first, headers, connection)
    })
  }

  const inSession = (id: string, messages: readonly Incoming[], connection: Connection): Promise<void> | undefined => {
    const session = sessions.get(id)
    const wait = session.drained()
    // others may have waited too, and their messages fill the pipe again; or the session has ended
    if (wait !== undefined) return queue(id, () => wait).then(() => inSession(id, messages, connection))
    return void session.receive(messages, connection)
  }

  const route = (
    messages: readonly Incoming[],
    { headers }: IncomingMessage,
    connection: Connection,
  ): Promise<void> | undefined => {
    const [first] = messages
    const session = one(headers["mcp-session-id"])
    if (first !== undefined && first.message.kind !== "response" && first.message.version !== undefined)
      return inModernEra(messages, headers, connection)
    if (session !== undefined) return inSession(session, messages, connection)
    if (messages.length !== 1 || first?.message.kind !== "request" || first.message.method !== "initialize")
      // Go's client names no version in a notification of the modern era
      return headers["mcp-method"] === undefined
        ? Promise.reject(sessionMissing())
        : inModernEra(messages, headers, connection)
    return queue("initialize", () => sessions.open(first, connection))
  }

  const post = (request: IncomingMessage, connection: Connection): void => {
    const fail = (error: unknown, idText?: string, messages: readonly Incoming[] = []): void => {
      const known = toAppError(error)
      if (known.code === "Internal") report(known)
      refuse(connection, known, idText, statusFor(known, messages))
    }
    const take = (bytes: Buffer): Promise<void> | undefined => {
      const body = readBody(bytes)
      if ("error" in body) return void fail(body.error, body.idText)
      const failed = (error: unknown): void => fail(error, body.idText, body.messages)
      try {
        return route(body.messages, request, connection)?.catch(failed)
      } catch (error) {
        return void failed(error)
      }
    }
    readRequest(request, budget, ownerOf(one(request.headers["mcp-session-id"])), take, fail)
  }

  const others = ({ method, headers }: IncomingMessage, connection: Connection): void => {
    const session = one(headers["mcp-session-id"])
    if (method !== "GET" && method !== "DELETE") return void connection.empty(405, { allow: "GET, POST, DELETE" })
    if (session === undefined) return void refuse(connection, sessionMissing())
    const found = sessions.get(session)
    if (method === "GET") return void found.listen(connection, one(headers["last-event-id"]))
    void found.end()
    connection.empty(204)
  }

  return (request: IncomingMessage, response: ServerResponse): void => {
    // Node gives the socket to the next response when the one before has been handed over whole
    if (response.socket === null) return void request.socket.destroy()
    const connection = createConnection(response)
    const refusal = refusalOf(request, path)
    try {
      if (refusal !== undefined) refuse(connection, refusal)
      else if (request.method === "POST") return void post(request, connection)
      else others(request, connection)
    } catch (error) {
      refuse(connection, toAppError(error))
    }
    request.resume()
  }
}
