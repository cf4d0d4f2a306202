import type { IncomingHttpHeaders } from "node:http"
import { errors } from "undici"
import { AppError, hasCode } from "../../errors.ts"
import type { Placement } from "../../placement/port.ts"
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

/** Redirects that keep method and body (RFC 9110 §15.4.8, §15.4.9). */
const faithful: readonly number[] = [307, 308]
const redirects: readonly number[] = [301, 302, 303, ...faithful]

/** Longest path that is followed, in UTF-16 units. */
const longestPath = 2_048
/** Longest place that an error repeats. */
const longestShown = 200

/** Where an answer sends its reader; undefined if it is no redirect. */
const locationOf = ({ status, headers }: UpstreamAnswer): string | undefined =>
  redirects.includes(status) && headers.location !== undefined ? String(headers.location) : undefined

/** Names by which a server may mean itself: what it was asked by, and what it was told that the client asks. */
const ownNames = ({ host }: URL, headers: readonly string[]): readonly string[] => {
  const names = [host]
  for (let at = 0; at < headers.length; at += 2)
    if (headers[at] === "host" || headers[at] === "x-forwarded-host") names.push(headers[at + 1] ?? "")
  return names.map((name) => name.toLowerCase())
}

/**
 * The path, with its query, that a faithful redirect names on the same server; undefined for every other answer. The scheme
 * is not looked at: a server that believes X-Forwarded-Proto names https. Nothing but the path is taken from the answer.
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

/** A place without what credentials stand in: the part of a user before the host, query and fragment. */
const withoutSecrets = (location: string): string => {
  const place = location.split(/[?#]/, 1)[0] ?? ""
  const host = place.indexOf("//") + 2
  const path = place.indexOf("/", host)
  const user = place.lastIndexOf("@", path === -1 ? undefined : path)
  return host > 1 && user >= host ? place.slice(0, host) + place.slice(user + 1) : place
}

/** A place for people, and for the log: what does not print is left out. */
const shown = (location: string): string => withoutSecrets(location.replace(/[^\x21-\x7e]/g, "")).slice(0, longestShown)

/** Throws UpstreamInvalid for a redirect: no client could follow it, since only we reach the server. */
export const checkNoRedirect = (answer: UpstreamAnswer): void => {
  const location = locationOf(answer)
  if (location === undefined) return
  throw new AppError("UpstreamInvalid", {
    detail: `The server redirects to '${shown(location)}', which is not followed: set the target's path to where the server answers.`,
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

/** Paths on which servers answer instead of those that they are asked on, for one life of each server. */
type Detours = {
  /** The path to ask on. */
  pathOf(placement: Placement): string
  /**
   * Remembers the path on which the server answered instead, if only slashes at its end make the difference: any other one may
   * have been chosen for this caller, and those who share the server must not be led there.
   */
  remember(placement: Placement, path: string): void
}

/** Most servers whose detour is remembered; the others are redirected anew. */
const remembered = 10_000

/** Makes an empty memory of detours. */
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
