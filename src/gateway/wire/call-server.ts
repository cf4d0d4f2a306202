import type { IncomingHttpHeaders } from "node:http"
import { AppError } from "../../errors.ts"
import type { Identity } from "../../identity/identity.ts"
import type { Mirrored } from "../../mcp/mirrored-headers.ts"
import type { Placement, RemoteWay } from "../../placement/port.ts"
import type { Signal } from "../../waiting/in-progress.ts"
import type { ClientOrigin, Verb } from "../incoming.ts"
import type { Admitted, Keyed } from "../pipeline.ts"
import type { Upstream } from "./upstream.ts"
import type { UpstreamAnswer } from "./upstream-answer.ts"

/**
 * Request headers that reach the server as they are (MCP transport, W3C Trace Context and Baggage). None of them names
 * a method or a tool: a server that read these from a header could be led past the policy.
 */
const toUpstream: ReadonlySet<string> = new Set([
  "accept",
  "content-type",
  "mcp-protocol-version",
  "last-event-id",
  "traceparent",
  "tracestate",
  "baggage",
  "user-agent",
])
/** Headers that repeat the message (MCP 2026-07-28, standard request headers). */
const repeating: ReadonlySet<string> = new Set(["mcp-method", "mcp-name"])
/** Begins the names of headers that repeat an argument of a tool. */
const paramPrefix = "mcp-param-"

const passes = (name: string, mirrored: Mirrored): boolean =>
  toUpstream.has(name) ||
  (mirrored === "method" && name === "mcp-method") ||
  ((mirrored === "message" || mirrored === "call") && repeating.has(name)) ||
  (mirrored === "call" && name.startsWith(paramPrefix))

/** Request headers that a browser may send, besides `Mcp-Param-*`. */
const corsRequestHeaders: ReadonlySet<string> = new Set([
  ...toUpstream,
  ...repeating,
  "authorization",
  "mcp-session-id",
  "if-match",
])
/** Response headers that a browser may read. */
export const corsExposedHeaders = "Mcp-Session-Id, WWW-Authenticate, X-Request-Id, Retry-After, ETag, Location"

/** True if a browser may send this header. */
export const isCorsRequestHeader = (name: string): boolean =>
  corsRequestHeaders.has(name) || (name.startsWith(paramPrefix) && /^[\w-]+$/.test(name))

const answerTypes: readonly string[] = ["application/json", "text/event-stream"]

/**
 * The Accept header for the server: the client's, with what MCP demands of a POST (both types) or a GET (event
 * streams). Many servers search for these very names and refuse a client that accepts all types by a wildcard.
 */
const acceptFor = (verb: Verb, header = ""): string => {
  const needed = verb === "POST" ? answerTypes : answerTypes.slice(1)
  const missing = needed.filter((type) => !header.includes(type))
  if (missing.length === 0) return header
  return header.trim() === "" ? missing.join(", ") : `${header}, ${missing.join(", ")}`
}

const noNames: ReadonlySet<string> = new Set()

/** Header names that the Connection header makes hop-by-hop (RFC 9110 §7.6.1). */
const connectionNames = (header: string | undefined): ReadonlySet<string> =>
  header === undefined || header === "keep-alive" || header === "close"
    ? noNames
    : new Set(header.split(",").map((name) => name.trim().toLowerCase()))

/**
 * The headers of the request to the server, as a flat list of names and values: the client's of `toUpstream`, those
 * that repeat the body as far as `mirrored` permits, the server's session id, no compression, the identity headers, and
 * our own X-Forwarded-*. No other header of the client is passed on. So neither its token, nor a forged identity, nor a
 * header that contradicts the body can reach a server.
 */
export const toUpstreamHeaders = (
  headers: IncomingHttpHeaders,
  facts: {
    readonly session: string | undefined
    /** Accept header; see {@link acceptFor}. Absent: the client's own. */
    readonly accept?: string | undefined
    readonly origin: ClientOrigin
    /** Host header for servers that check it; absent: the server's address. */
    readonly host?: string | undefined
    /**
     * Which headers that repeat the body were compared with it; see mirroredOf. Default: none, and none is passed on.
     */
    readonly mirrored?: Mirrored
    /** Headers of identityHeadersFor, for servers that get them. */
    readonly identity?: readonly string[] | undefined
  },
): string[] => {
  const dropped = connectionNames(headers.connection)
  const { address, host, protocol } = facts.origin
  const list = ["accept-encoding", "identity", "x-forwarded-for", address]
  list.push("x-forwarded-host", host, "x-forwarded-proto", protocol)
  if (facts.accept !== undefined) list.push("accept", facts.accept)
  if (facts.host !== undefined) list.push("host", facts.host)
  if (facts.session !== undefined) list.push("mcp-session-id", facts.session)
  if (facts.identity !== undefined) list.push(...facts.identity)
  for (const name in headers) {
    if (!passes(name, facts.mirrored ?? "none") || (name === "accept" && facts.accept !== undefined)) continue
    const value = headers[name]
    if (value === undefined || dropped.has(name)) continue
    list.push(name, Array.isArray(value) ? value.join(", ") : value)
  }
  return list
}

/** Headers of the client that do not leave the cluster: what its own network says about a request (W3C Baggage). */
const keptInside: ReadonlySet<string> = new Set(["baggage"])

/**
 * The header CDN-Loop (RFC 8586) with the target added. Throws AddressNotAllowed if it is there already: then the
 * target's URL leads back to this gateway, by whatever names and proxies, and each request would become one more.
 */
const withLoop = (header: string | readonly string[] | undefined, loop: string): string => {
  const before =
    header === undefined
      ? []
      : String(header)
          .split(",")
          .map((each) => each.trim())
  if (before.includes(loop))
    throw new AppError("AddressNotAllowed", {
      detail: "remote.url leads back to this gateway.",
      data: { reason: "loop" },
    })
  return [...before, loop].join(", ")
}

/**
 * The headers of the request to a remote server: the same, without identity and X-Forwarded-*, which say who calls and
 * from where, and with the target's own headers, which replace those of the client.
 */
export const toRemoteHeaders = (
  headers: IncomingHttpHeaders,
  facts: Pick<Parameters<typeof toUpstreamHeaders>[1], "session" | "accept" | "mirrored">,
  { headers: own, loop }: Pick<RemoteWay, "headers" | "loop">,
): string[] => {
  const dropped = connectionNames(headers.connection)
  const list = ["accept-encoding", "identity", "cdn-loop", withLoop(headers["cdn-loop"], loop), ...own]
  if (facts.accept !== undefined) list.push("accept", facts.accept)
  if (facts.session !== undefined) list.push("mcp-session-id", facts.session)
  const replaced = new Set(own.filter((_, at) => at % 2 === 0))
  for (const name in headers) {
    if (!passes(name, facts.mirrored ?? "none") || (name === "accept" && facts.accept !== undefined)) continue
    const value = headers[name]
    if (value === undefined || dropped.has(name) || replaced.has(name) || keptInside.has(name)) continue
    list.push(name, Array.isArray(value) ? value.join(", ") : value)
  }
  return list
}

/**
 * The headers of the server's answer that the client gets as they are, as a flat list of names and values: Content-Type,
 * Retry-After and Allow; everything else is dropped. `type`: the Content-Type instead of the server's.
 */
export const toClientHeaders = (headers: IncomingHttpHeaders, type?: string): string[] => {
  const { "content-type": own, "retry-after": after, allow } = headers
  const list: string[] = []
  const contentType = type ?? own
  // by name, not in a loop: V8 reads a property of a varying name several times more slowly
  if (contentType !== undefined) list.push("content-type", contentType)
  if (after !== undefined) list.push("retry-after", after)
  if (allow !== undefined) list.push("allow", allow)
  return list
}

/** Longest list, bytes: a longer one is cut between two entries, which can only take something away. */
const maxBytes = 4_096

/**
 * Text as a header value: printable ASCII as it is, all else and `%` and `,` percent-encoded as UTF-8 (RFC 3986 §2.1), so
 * that no value can end its header, or its place in a list.
 */
const encode = (text: string): string =>
  text
    .toWellFormed()
    .replace(/[^\x21-\x24\x26-\x2b\x2d-\x7e]/gu, (character) => encodeURIComponent(character).replace(",", "%2C"))

const list = (values: readonly string[]): string => {
  let text = ""
  for (const value of values) {
    const next = text === "" ? encode(value) : `${text},${encode(value)}`
    if (next.length > maxBytes) break
    text = next
  }
  return text
}

/**
 * Who is calling, as headers for a server whose target asks for them (spec.identityHeaders), as a flat list of names
 * and values. They name the caller of this very request, so that a shared server can distinguish its users. A client
 * cannot send them, because its own headers of these names are never passed on.
 */
export const identityHeaders = ({ issuer, subject, email, groups, roles }: Identity): string[] => [
  "x-reflow-issuer",
  encode(issuer),
  "x-reflow-subject",
  encode(subject),
  ...(email === undefined ? [] : ["x-reflow-email", encode(email)]),
  "x-reflow-groups",
  list(groups),
  "x-reflow-roles",
  list(roles),
]

/** {@link identityHeaders} of the caller if the target asks for them. */
const identityHeadersFor = ({
  target,
  identity,
}: Pick<Admitted, "target" | "identity">): readonly string[] | undefined =>
  target.spec.identityHeaders === true ? identityHeaders(identity) : undefined

/** A request to a server, without its caller. */
type ServerCall = {
  readonly placement: Placement
  readonly verb: Verb
  /** By lower-case name; only those are sent that {@link toUpstreamHeaders} passes on. */
  readonly headers: IncomingHttpHeaders
  /** The server's own session id. */
  readonly session: string | undefined
  /** Which headers that repeat the body were compared with it; default: none, and none is passed on. */
  readonly mirrored?: Mirrored
  readonly body: Buffer | undefined
  /** How long the head of the answer may take, milliseconds. */
  readonly headersTimeoutMs: number
  /** `stream` for answers that stay open for hours: they must not take the connections of calls. */
  readonly lane: "call" | "stream"
  readonly signal: Signal
}

const headersFor = (input: Keyed, { placement, verb, headers, session, mirrored = "none" }: ServerCall): string[] => {
  const accept = verb === "DELETE" ? undefined : acceptFor(verb, headers.accept)
  if (placement.remote !== undefined) return toRemoteHeaders(headers, { session, mirrored, accept }, placement.remote)
  return toUpstreamHeaders(headers, {
    session,
    mirrored,
    accept,
    origin: input.origin,
    host: input.target.spec.hostHeader,
    identity: identityHeadersFor(input),
  })
}

/**
 * Throws the placement's error for a remote server that refuses the login. Its own 401 must not reach the client, which
 * would renew its healthy token again and again.
 */
const ensureLogin = ({ remote }: Placement, answer: UpstreamAnswer): UpstreamAnswer => {
  if (remote === undefined || (answer.status !== 401 && answer.status !== 403)) return answer
  answer.abort()
  throw remote.rejected(answer.status)
}

/**
 * Sends a call to its server for the caller of `input`: with the headers that the server may get about that caller, and
 * with the Host header that the target names, or with the headers of a remote server's target. Throws what
 * {@link Upstream.send} throws, and UpstreamLoginRejected.
 */
export const callServer = (upstream: Upstream, input: Keyed, call: ServerCall): Promise<UpstreamAnswer> => {
  const { placement, verb, body, headersTimeoutMs, lane, signal } = call
  const headers = headersFor(input, call)
  const sent = upstream.send({ placement, verb, headers, body, headersTimeoutMs, lane, signal })
  return placement.remote === undefined ? sent : sent.then((answer) => ensureLogin(placement, answer))
}
