import { randomUUID } from "node:crypto"
import type { IncomingHttpHeaders } from "node:http"
import type { Readable } from "node:stream"
import { AppError } from "../errors.ts"
import { bodiesTooLarge, createGather, declaredLength, type Holding } from "../intake/bodies.ts"
import { acceptsOneOf, isUtf8, parseMediaType } from "../intake/media-type.ts"
import type { Signal } from "../waiting/in-progress.ts"

/** The verbs of Streamable HTTP. */
export type Verb = "POST" | "GET" | "DELETE"

/** Where a client is, by a trusted proxy in front or by the connection. */
export type ClientOrigin = { readonly address: string; readonly host: string; readonly protocol: "http" | "https" }

/** An MCP request as it arrived, without its body (see {@link BodySource}). Nothing of it is verified yet. */
export type Incoming = {
  /** The id that we give the request: in the answer's x-request-id and in the log. */
  readonly requestId: string
  /** Wall-clock time in milliseconds. */
  readonly receivedAt: number
  readonly verb: Verb
  /** From the path; not validated. */
  readonly targetName: string
  /** By lower-case name. */
  readonly headers: IncomingHttpHeaders
  readonly origin: ClientOrigin
  /** Aborted when the client disconnects or the gateway ends the request. */
  readonly signal: Signal
}

/** A new random request id (UUID). */
export const newRequestId = (): string => randomUUID()

const verbs: readonly string[] = ["POST", "GET", "DELETE"]
const isVerb = (method: string | undefined): method is Verb => method !== undefined && verbs.includes(method)

/** Path of MCP endpoints, before the target's name. */
export const mcpPrefix = "/mcp/"

/** The target's name in a path such as `/mcp/github?x` or `/mcp/github/`; undefined if the path is no MCP endpoint. */
export const targetNameIn = (url: string): string | undefined => {
  if (!url.startsWith(mcpPrefix)) return undefined
  const query = url.indexOf("?")
  const path = url.slice(mcpPrefix.length, query === -1 ? undefined : query)
  const name = path.endsWith("/") ? path.slice(0, -1) : path
  return name === "" || name.includes("/") ? undefined : name
}

/**
 * Reads verb and target name of a request to `/mcp/{target}`. Throws RouteNotFound for other paths and MethodNotAllowed
 * for other verbs.
 */
export const receive = (
  { method, url = "" }: { readonly method?: string | undefined; readonly url?: string | undefined },
  facts: Omit<Incoming, "verb" | "targetName">,
): Incoming => {
  const targetName = targetNameIn(url)
  if (targetName === undefined) throw new AppError("RouteNotFound", { detail: "There is nothing at this path." })
  if (!isVerb(method)) {
    throw new AppError("MethodNotAllowed", {
      detail: `MCP endpoints do not take ${method}.`,
      headers: { allow: "GET, POST, DELETE" },
    })
  }
  const { requestId, receivedAt, headers, origin, signal } = facts
  return { requestId, receivedAt, verb: method, targetName, headers, origin, signal }
}

/**
 * Most bytes of a refused body that are read and dropped, so that a client that is still sending can read the answer.
 */
const discardLimit = 64 * 2 ** 20

/**
 * Names and values of parameters that every parser reads alike: no escapes, and no character that ends a value for some
 * parsers.
 */
const plainName = /^[\w-]+$/
const plainValue = /^[\w.+ /:-]*$/

/**
 * True for a Content-Type that says JSON in UTF-8 and nothing else. A server decodes the body by its charset: in UTF-7,
 * which Express servers know, text inside a string of the JSON that the policy read can become quotes and commas.
 */
const saysUtf8Json = (header: string): boolean => {
  const type = header.includes("\\") ? undefined : parseMediaType(header)
  if (type?.essence !== "application/json" || !isUtf8(type)) return false
  return type.parameters.every(({ name, value }) => plainName.test(name) && plainValue.test(value))
}

const answerTypes: readonly string[] = ["application/json", "text/event-stream"]
/**
 * The Accept header that clients send (MCP 2025-11-25, Sending Messages to the Server). A request without the header
 * accepts everything.
 */
const usualAccept = answerTypes.join(", ")

/** True unless an Accept header names neither JSON nor event streams. */
const acceptsAnswer = (header = usualAccept): boolean => header === usualAccept || acceptsOneOf(header, answerTypes)

/** Throws UnsupportedMediaType or NotAcceptable for a POST whose headers rule out an exchange of JSON-RPC messages. */
export const checkMedia = (headers: IncomingHttpHeaders): void => {
  const type = headers["content-type"] ?? ""
  if (type !== "application/json" && !saysUtf8Json(type)) {
    throw new AppError("UnsupportedMediaType", { detail: "The body is not declared as application/json in UTF-8." })
  }
  const encoding = headers["content-encoding"]
  if (encoding !== undefined && encoding.toLowerCase() !== "identity") {
    throw new AppError("UnsupportedMediaType", { detail: "The body has a Content-Encoding." })
  }
  if (!acceptsAnswer(headers.accept)) {
    throw new AppError("NotAcceptable", { detail: "Accept names neither application/json nor text/event-stream." })
  }
}

const tooLarge = (limit: number): AppError =>
  new AppError("BodyTooLarge", { detail: `The body is larger than ${limit} bytes.`, data: { limit } })

/** Reads and drops the rest of a body; closes the connection after `discardLimit` bytes. */
const discard = (request: Readable): void => {
  let seen = 0
  request.on("data", (chunk: Buffer) => {
    seen += chunk.length
    if (seen > discardLimit) request.destroy()
  })
  request.on("error", () => {})
}

/** Where the body of a request comes from. */
export type BodySource = {
  /** Reads the whole body; its bytes count for `owner`. Throws what {@link readBody} throws. */
  read(owner: string): Promise<Buffer>
}

/** How a body is read. */
type BodyReading = {
  /** Largest body that is accepted, bytes. */
  readonly limit: number
  /** The Content-Length header. */
  readonly declared: string | undefined
  /** Aborted when the client disconnects or the gateway ends the request; ends the reading. */
  readonly signal: Signal
  /** Reserves bytes of the budget before they are held; false if there are not enough. See src/intake/bodies.ts. */
  readonly take: (bytes: number) => boolean
}

/**
 * Reads a whole request body. Rejects with BodyTooLarge, with BodiesTooLarge when the caller may hold no more bytes, or
 * with the signal's reason when the client disconnects or the gateway ends the request. The time limit is
 * requestTimeout of the HTTP server. Bytes that were taken with `take` are not given back here, whatever becomes of the
 * body: this is the duty of the caller that passes `take`.
 */
export const readBody = (request: Readable, reading: BodyReading): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const { limit, signal, take } = reading
    const declared = declaredLength(reading.declared)
    const gather = createGather({ limit, declared, take })
    const fail = (error: unknown) => {
      request.removeListener("data", onData)
      signal.removeEventListener("abort", stop)
      // release the bytes: the listeners live longer than the body
      gather.whole()
      discard(request)
      reject(error)
    }
    const onData = (chunk: Buffer) => {
      const overflow = gather.add(chunk)
      if (overflow !== undefined) fail(overflow === "limit" ? tooLarge(limit) : bodiesTooLarge())
    }
    const leave = () => {
      if (request.readableEnded) return
      gather.whole()
      reject(signal.reason ?? new DOMException("The client went away.", "AbortError"))
    }
    const stop = () => {
      if (!request.readableEnded) fail(signal.reason)
    }
    if (declared !== undefined && declared > limit) return fail(tooLarge(limit))
    request.on("data", onData)
    request.on("end", () => resolve(gather.whole()))
    request.on("error", leave)
    request.on("close", leave)
    if (signal.aborted) return stop()
    signal.addEventListener("abort", stop, { once: true })
  })

/** The body of a request that comes as a stream; what is held of it is counted by `holding`. */
export const bodyOf = (
  request: Readable,
  { holding, limit, declared, signal }: Omit<BodyReading, "take"> & { readonly holding: Holding },
): BodySource => ({
  read: (owner) => readBody(request, { limit, declared, signal, take: (bytes) => holding.take(owner, bytes) }),
})
