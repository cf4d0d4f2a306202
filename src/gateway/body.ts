import type { IncomingMessage } from "node:http"
import { AppError } from "../errors.ts"
import { acceptsOneOf, isUtf8, parseMediaType } from "../intake/media-type.ts"

/** How much of a refused body is still read, so that a client which is sending gets to read the answer. */
const discardLimit = 64 * 2 ** 20

/** Names and values of parameters that every parser reads alike: no escapes, and nothing that ends one for some of them. */
const plainName = /^[\w-]+$/
const plainValue = /^[\w.+ /:-]*$/

/**
 * True for a Content-Type that says JSON in UTF-8 and nothing else. A server decodes by the charset: in UTF-7, which
 * Express servers know, text that the policy read inside a string is quotes and commas.
 */
const saysUtf8Json = (header: string): boolean => {
  const type = header.includes("\\") ? undefined : parseMediaType(header)
  if (type?.essence !== "application/json" || !isUtf8(type)) return false
  return type.parameters.every(({ name, value }) => plainName.test(name) && plainValue.test(value))
}

const answerTypes: readonly string[] = ["application/json", "text/event-stream"]

/** True unless an Accept header names neither JSON nor event streams. */
const acceptsAnswer = (header: string | undefined): boolean => header === undefined || acceptsOneOf(header, answerTypes)

/** Throws UnsupportedMediaType or NotAcceptable for a POST whose headers rule out an exchange of JSON-RPC messages. */
export const checkMedia = (headers: IncomingMessage["headers"]): void => {
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

/** Reads and forgets what still comes, up to a bound; then the connection ends. */
const discard = (request: IncomingMessage): void => {
  let seen = 0
  request.on("data", (chunk: Buffer) => {
    seen += chunk.length
    if (seen > discardLimit) request.destroy()
  })
  request.on("error", () => {})
}

/**
 * Reads a whole request body of at most `limit` bytes. Throws BodyTooLarge; rejects with the signal's reason when the
 * client goes away or the gateway gives up on it. How long it may take is the server's requestTimeout.
 */
export const readBody = (request: IncomingMessage, limit: number, signal: AbortSignal): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    const fail = (error: unknown) => {
      chunks = []
      request.removeListener("data", onData)
      discard(request)
      reject(error)
    }
    let chunks: Buffer[] = []
    let size = 0
    const finish = () => {
      resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks))
      // the listeners outlive the body, which would be held twice
      chunks = []
    }
    const onData = (chunk: Buffer) => {
      size += chunk.length
      if (size > limit) return fail(tooLarge(limit))
      chunks.push(chunk)
    }
    if (Number(request.headers["content-length"] ?? 0) > limit) return fail(tooLarge(limit))
    request.on("data", onData)
    request.on("end", finish)
    const leave = () => {
      if (request.readableEnded) return
      reject(signal.reason ?? new DOMException("The client went away.", "AbortError"))
    }
    const stop = () => {
      if (!request.readableEnded) fail(signal.reason)
    }
    request.on("error", leave)
    request.on("close", leave)
    if (signal.aborted) return stop()
    signal.addEventListener("abort", stop, { once: true })
  })
