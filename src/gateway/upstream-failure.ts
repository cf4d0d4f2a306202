import { errors } from "undici"
import { AppError, hasCode } from "../errors.ts"

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
