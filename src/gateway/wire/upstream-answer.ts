import type { IncomingHttpHeaders } from "node:http"
import { errors } from "undici"
import { AppError, hasCode } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"

/** Takes the body of an answer. */
export type BodySink = {
  /** False = pause until {@link UpstreamAnswer.resume}. */
  data(chunk: Buffer): boolean
  end(): void
  /** The body is not complete: the server or the client went away. */
  fail(error: unknown): void
}

/** An answer whose head is here and whose body is coming. */
export type UpstreamAnswer = {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Hands the body to a sink, what came already first, in order, synchronously. */
  consume(sink: BodySink): void
  resume(): void
  /** Ends the exchange; harmless when it has ended. */
  abort(): void
}

/** Headers that say one thing, of those that are read of a server's answer. */
const single: readonly string[] = ["content-type", "location", "mcp-session-id", "retry-after"]

const oneOf = (name: string, values: readonly string[]): string => {
  const [first = ""] = values
  if (values.every((value) => value === first)) return first
  throw new AppError("UpstreamInvalid", {
    detail: `The server's answer has the header ${name} more than once, with different values.`,
    data: { phase: "head" },
  })
}

/**
 * The headers of an answer, each of them one text: equal repetitions of what says one thing are one, and repeated lists are
 * joined (RFC 9110 §5.3). Throws UpstreamInvalid for different values: who reads the first and who reads the last would
 * read two answers.
 */
export const singleHeaders = (headers: IncomingHttpHeaders): IncomingHttpHeaders => {
  const read: IncomingHttpHeaders = {}
  for (const [name, value] of Object.entries(headers)) {
    if (Array.isArray(value)) read[name] = single.includes(name) ? oneOf(name, value) : value.join(", ")
    else read[name] = value
  }
  return read
}

const failureCode = (error: unknown): string =>
  typeof error === "object" && error !== null && "code" in error ? String(error.code) : ""

/** True if the connection had carried an answer before: then the server may have closed it before it saw the request. */
const mayBeReused = (error: unknown): boolean => !(error instanceof errors.SocketError && error.socket?.bytesRead === 0)

/** What undici says of a head that is none, or of one that says two things: two lengths, a status that nobody asked for. */
const noHTTP: ReadonlySet<string> = new Set([
  "UND_ERR_HEADERS_OVERFLOW",
  "UND_ERR_RES_CONTENT_LENGTH_MISMATCH",
  "ERR_ASSERTION",
])

const isNoHTTP = (error: unknown, code: string): boolean =>
  error instanceof errors.HTTPParserError ||
  noHTTP.has(code) ||
  (error instanceof errors.SocketError && (error.message === "bad response" || error.message === "bad upgrade"))

/** What is told of a server that sends no head in time. */
export const tooSlow = (): AppError =>
  new AppError("UpstreamTimeout", { detail: "The server took too long to answer.", data: { phase: "head" } })

/** What a request hears that got no head: `started` is false while nothing was sent. */
export const toFailure = (error: unknown, started: boolean): AppError => {
  const code = failureCode(error)
  if (!started) {
    const detail = "The server does not accept connections."
    return new AppError("UpstreamUnreachable", { detail, data: { phase: "connect" }, cause: error })
  }
  if (code === "UND_ERR_HEADERS_TIMEOUT") return tooSlow()
  if (isNoHTTP(error, code)) {
    const detail = "The server's answer is not valid HTTP."
    return new AppError("UpstreamInvalid", { detail, data: { phase: "head" }, cause: error })
  }
  const data = { phase: "head", reused: mayBeReused(error) }
  return new AppError("UpstreamUnreachable", {
    detail: "The server closed the connection without an answer.",
    data,
    cause: error,
  })
}

/** True if nothing was sent, because the server took no connection. */
export const isDialFailure = (error: unknown): boolean =>
  hasCode(error, "UpstreamUnreachable") && error.data?.phase === "connect"

/** Most of a body without meaning that is read, so that its connection can carry the next request. */
const mostDropped = 64 * 2 ** 10
/** Longest time that its end is waited for, in milliseconds: some servers keep such a body open for good. */
const longestMs = 1_000

/** Reads and forgets a short body; ends the exchange with one that is longer, or that does not end in time. Never rejects. */
export const dropBody = (answer: UpstreamAnswer, clock: ClockPort): Promise<void> =>
  new Promise((resolve) => {
    let bytes = 0
    const cancel = clock.timer(longestMs, () => answer.abort())
    const end = () => {
      cancel()
      resolve()
    }
    answer.consume({
      data: (chunk) => {
        bytes += chunk.length
        if (bytes > mostDropped) answer.abort()
        return true
      },
      end,
      fail: end,
    })
  })
