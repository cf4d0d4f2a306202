import type { IncomingHttpHeaders } from "node:http"
import { errors } from "undici"
import { AppError, hasCode, isAppError } from "../../errors.ts"
import type { Placement } from "../../placement/port.ts"
import type { ClockPort } from "../../ports/clock.ts"

/** Takes the body of an answer. */
export type BodySink = {
  /** False = pause until {@link UpstreamAnswer.resume}. */
  data(chunk: Buffer): boolean
  /** The body is complete. */
  end(): void
  /** The body is incomplete: the server broke off, or the exchange was aborted. */
  fail(error: unknown): void
}

/** An answer whose head has arrived; its body follows. */
export type UpstreamAnswer = {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Passes the body to a sink. Pieces that have already arrived are passed synchronously, in order. */
  consume(sink: BodySink): void
  /** Continues a body that its sink has paused. */
  resume(): void
  /** Ends the exchange; harmless when it has already ended. */
  abort(): void
}

/** Headers that we read of a server's answer and that may have one value only. */
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
 * The headers of an answer, each with one text: equal repetitions of a header with one value are merged, and repeated
 * lists are joined (RFC 9110 §5.3). Throws UpstreamInvalid for different values of a header with one value: readers of
 * the first and readers of the last would read different answers.
 */
export const singleHeaders = (headers: IncomingHttpHeaders): IncomingHttpHeaders => {
  if (!Object.values(headers).some(Array.isArray)) return headers
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

/**
 * undici's codes for a head that is not HTTP or that is contradictory: two lengths, or a status that the request does
 * not permit.
 */
const noHTTP: ReadonlySet<string> = new Set([
  "UND_ERR_HEADERS_OVERFLOW",
  "UND_ERR_RES_CONTENT_LENGTH_MISMATCH",
  "ERR_ASSERTION",
])

const isNoHTTP = (error: unknown, code: string): boolean =>
  error instanceof errors.HTTPParserError ||
  noHTTP.has(code) ||
  (error instanceof errors.SocketError && (error.message === "bad response" || error.message === "bad upgrade"))

/** The error for a server that sends no head in time. */
export const tooSlow = (): AppError =>
  new AppError("UpstreamTimeout", { detail: "The server took too long to answer.", data: { phase: "head" } })

/** Codes of Node and OpenSSL for a certificate that is not trusted, or that is not that of the host. */
const untrusted =
  /^(?:CERT_|ERR_TLS_CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|INVALID_CA|INVALID_PURPOSE|HOSTNAME_MISMATCH|PATH_LENGTH_)/

/** The error of a request that got no connection. */
const toDialFailure = (error: unknown, code: string): AppError => {
  if (untrusted.test(code))
    return new AppError("UpstreamUntrusted", {
      detail: `The server's certificate is not trusted: ${code}.`,
      data: { phase: "connect", reason: code },
      cause: error,
    })
  const isSlow = code === "UND_ERR_CONNECT_TIMEOUT"
  return new AppError("UpstreamUnreachable", {
    detail: isSlow ? "The server took too long to accept a connection." : "The server does not accept connections.",
    data: { phase: "connect", ...(isSlow ? { slow: true } : {}) },
    cause: error,
  })
}

/** The error of a request that got no head. `started`: false if nothing was sent. */
export const toFailure = (error: unknown, started: boolean): AppError => {
  // the guard of outgoing connections says itself what is wrong
  if (isAppError(error)) return error
  const code = failureCode(error)
  if (!started) return toDialFailure(error, code)
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

/** True if nothing was sent, because the server accepted no connection. */
export const isDialFailure = (error: unknown): boolean =>
  hasCode(error, "UpstreamUnreachable") && error.data?.phase === "connect"

/** Most bytes of a meaningless body that are read, so that its connection can carry the next request. */
const mostDropped = 64 * 2 ** 10
/** Longest wait for the end of such a body, milliseconds: some servers never end it. */
const longestMs = 1_000

/** Reads and drops a short body. Aborts the exchange if the body is longer, or does not end in time. Never rejects. */
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

/** Redirects that keep method and body (RFC 9110 §15.4.8, §15.4.9). */
const faithful: readonly number[] = [307, 308]
const redirects: readonly number[] = [301, 302, 303, ...faithful]

/** Longest path that is followed, in UTF-16 units. */
const longestPath = 2_048
/** Most characters of a Location that an error repeats. */
const longestShown = 200

/** The Location of a redirect; undefined for other answers. */
const locationOf = ({ status, headers }: UpstreamAnswer): string | undefined =>
  redirects.includes(status) && headers.location !== undefined ? String(headers.location) : undefined

/**
 * Hosts by which a server may name itself: the one that was asked, and those of the headers Host and X-Forwarded-Host
 * that were sent.
 */
const ownNames = ({ host }: URL, headers: readonly string[]): readonly string[] => {
  const names = [host]
  for (let at = 0; at < headers.length; at += 2)
    if (headers[at] === "host" || headers[at] === "x-forwarded-host") names.push(headers[at + 1] ?? "")
  return names.map((name) => name.toLowerCase())
}

/**
 * The path, with its query, of a redirect that keeps method and body (307, 308) and stays on the same server; undefined
 * for every other answer. The scheme is not compared, because a server that believes X-Forwarded-Proto names https.
 * Only the path is taken from the answer.
 */
export const detourOf = (answer: UpstreamAnswer, asked: URL, sent: readonly string[]): string | undefined => {
  const location = locationOf(answer)
  if (location === undefined || !faithful.includes(answer.status) || !URL.canParse(location, asked)) return undefined
  const { host, pathname, search, protocol } = new URL(location, asked)
  const path = pathname + search
  if (!/^https?:$/.test(protocol) || path.length > longestPath || path === asked.pathname + asked.search)
    return undefined
  return ownNames(asked, sent).includes(host) ? path : undefined
}

/** A Location without the parts that may hold credentials: user information, query and fragment. */
const withoutSecrets = (location: string): string => {
  const place = location.split(/[?#]/, 1)[0] ?? ""
  const host = place.indexOf("//") + 2
  const path = place.indexOf("/", host)
  const user = place.lastIndexOf("@", path === -1 ? undefined : path)
  return host > 1 && user >= host ? place.slice(0, host) + place.slice(user + 1) : place
}

/** A Location for messages and logs: without credentials and without characters that do not print. */
const shown = (location: string): string => withoutSecrets(location.replace(/[^\x21-\x7e]/g, "")).slice(0, longestShown)

/**
 * Throws UpstreamInvalid for a redirect: clients cannot follow it, because only the gateway reaches the server. The
 * message has no place of a remote server, which may repeat the credentials that it was sent.
 */
export const checkNoRedirect = (answer: UpstreamAnswer, isRemote: boolean): void => {
  const location = locationOf(answer)
  if (location === undefined) return
  throw new AppError("UpstreamInvalid", {
    detail: isRemote
      ? `The remote server redirects (${answer.status}), which is not followed: set remote.url to where the server answers.`
      : `The server redirects to '${shown(location)}', which is not followed: set the target's path to where the server answers.`,
    data: { upstream_status: answer.status },
  })
}

/** A path and its query, without slashes at the path's end. */
const stem = (path: string): string => {
  const query = path.indexOf("?")
  const until = query === -1 ? path.length : query
  let end = until
  while (path[end - 1] === "/") end--
  return path.slice(0, end) + path.slice(until)
}

/**
 * Remembers on which path a server answers instead of the one that it is asked on, for one incarnation of each server.
 */
type Detours = {
  /** The path for the next request. */
  pathOf(placement: Placement): string
  /**
   * Remembers the path on which the server answered instead, only if the two differ in nothing but slashes at the end.
   * Any other path may have been chosen for this caller, and must not be used for others who share the server.
   */
  remember(placement: Placement, path: string): void
}

/** Most servers whose path is remembered; the others redirect each request. */
const remembered = 10_000

/** Creates an empty memory of paths. */
export const createDetours = (): Detours => {
  const known = new Map<string, { readonly incarnation: string; readonly from: string; readonly path: string }>()
  return {
    pathOf: ({ instance, incarnation, url }) => {
      const from = url.pathname + url.search
      const detour = known.get(instance)
      return detour?.incarnation === incarnation && detour.from === from ? detour.path : from
    },
    remember: ({ instance, incarnation, url }, path) => {
      const from = url.pathname + url.search
      if (stem(from) !== stem(path)) return
      known.delete(instance)
      const [oldest] = known.size >= remembered ? known.keys() : []
      if (oldest !== undefined) known.delete(oldest)
      known.set(instance, { incarnation, from, path })
    },
  }
}
