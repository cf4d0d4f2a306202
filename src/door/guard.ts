import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http"
import { AppError, systemCode } from "../errors.ts"
import { requestIdHeader, toProblem } from "../gateway/answer/error-answer.ts"
import type { Unreadable } from "../gateway/gateway.ts"
import { corsExposedHeaders, isCorsRequestHeader } from "../gateway/wire/call-server.ts"

/** Which requests the guard accepts. */
export type GuardOptions = {
  /** Origin under which clients reach the gateway, e.g. `https://mcp.example.com`. */
  readonly publicUrl: string
  /** HOST (any port) or HOST:PORT, besides the public URL's. */
  readonly allowedHosts: readonly string[]
  /** Browser origins besides the public URL's. */
  readonly allowedOrigins: readonly string[]
  /**
   * True if only this machine can connect: then localhost, 127.0.0.1 and [::1] are accepted too, as Host and as Origin.
   */
  readonly loopback: boolean
  /**
   * True if every Host is accepted; default false. For a gateway without a configured public URL, since the names under
   * which its Service is reached are unknown then. DNS rebinding is still harmless: Origins are checked, and a page on
   * a rebound name has no token to send.
   */
  readonly anyHost?: boolean
}

/** Checks path, Host and Origin of each request before the request is routed. */
export type Guard = {
  /** Throws BadPath, BadHost, HostNotAllowed or OriginNotAllowed. */
  check(request: IncomingMessage): void
  /**
   * Sets the CORS headers for an origin that {@link check} has accepted. True if the request was a preflight: then it
   * is answered.
   */
  cors(request: IncomingMessage, response: ServerResponse): boolean
}

const loopbackHost = /^(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?$/
const plainPath = /^(?:\/[A-Za-z0-9_~-][A-Za-z0-9._~@:,+=-]*)*\/?$/
const suspicious = /[\\\0-\x20\x7f]|%(?:2e|2f|5c|00)/i
const dotSegment = /\/\.{1,2}(?:\/|$)/

/**
 * What comes before the name of a role, group or user in a path. Such a name may hold an encoded slash, as Keycloak's
 * groups do; other names in paths may not.
 */
const beforeWho = /^\/api\/targets\/[^/%]+\/env\/[^/%]+\//

const withSlashesOfWho = (path: string): string => {
  const [before = ""] = beforeWho.exec(path) ?? []
  return before === "" ? path : `${before}${path.slice(before.length).replaceAll(/%2f/gi, "/")}`
}

/**
 * True if the path is its own normal form. Otherwise two routers could read it as two different paths
 * (`/mcp/../api/x`).
 * @param url path and query of the request line
 */
export const isNormalPath = (url: string): boolean => {
  const query = url.indexOf("?")
  const path = query === -1 ? url : url.slice(0, query)
  if (plainPath.test(path) && path !== "") return true
  const meant = withSlashesOfWho(path)
  if (!path.startsWith("/") || path.includes("//") || suspicious.test(meant) || dotSegment.test(meant)) return false
  try {
    decodeURIComponent(path)
    return new URL(path, "http://gateway").pathname === path
  } catch {
    return false
  }
}

const checkPath = (request: IncomingMessage): void => {
  if (isNormalPath(request.url ?? "")) return
  throw new AppError("BadPath", { detail: "The path is not in its normal form." })
}

/**
 * The request's only Host header, in lower case. Throws BadHost if it is missing or repeated: Node keeps the first one,
 * while a proxy in front may have used another one.
 */
const hostOf = (request: IncomingMessage): string => {
  const { rawHeaders } = request
  let host: string | undefined
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? ""
    if (name.length !== 4 || name.toLowerCase() !== "host") continue
    if (host !== undefined) throw new AppError("BadHost", { detail: "There is more than one Host header." })
    host = rawHeaders[at + 1] ?? ""
  }
  if (!host) throw new AppError("BadHost", { detail: "There is no Host header." })
  return host.toLowerCase()
}

const withoutPort = (host: string): string => host.replace(/:\d+$/, "")

/**
 * The Host values of the public URL: with its port if it names one; else without a port and with the scheme's default
 * port.
 */
const publicHosts = (publicUrl: string): readonly string[] => {
  const { host, hostname, port, protocol } = new URL(publicUrl)
  return port === "" ? [host, `${hostname}:${protocol === "https:" ? 443 : 80}`] : [host]
}

const setCors = (response: ServerResponse, origin: string): void => {
  response.setHeader("access-control-allow-origin", origin)
  response.setHeader("access-control-expose-headers", corsExposedHeaders)
  response.setHeader("vary", "Origin")
}

const answerPreflight = (request: IncomingMessage, response: ServerResponse): void => {
  const asked = String(request.headers["access-control-request-headers"] ?? "")
  const allowed = asked
    .split(",")
    .map((name) => name.trim().toLowerCase())
    .filter(isCorsRequestHeader)
  response.setHeader("access-control-allow-methods", "GET, POST, PUT, PATCH, DELETE, OPTIONS")
  if (allowed.length > 0) response.setHeader("access-control-allow-headers", allowed.join(", "))
  response.setHeader("access-control-max-age", "600")
  response.writeHead(204)
  response.end()
}

/** Creates the guard of one listener, for MCP endpoints and the REST API alike. */
export const createGuard = (options: GuardOptions): Guard => {
  const allowed = options.allowedHosts.map((host) => host.toLowerCase())
  const hosts = new Set([...publicHosts(options.publicUrl), ...allowed])
  const anyPort = new Set(allowed.filter((host) => withoutPort(host) === host))
  const origins = new Set([
    new URL(options.publicUrl).origin,
    ...options.allowedOrigins.map((each) => each.toLowerCase()),
  ])

  const isHost = (host: string): boolean =>
    options.anyHost === true ||
    hosts.has(host) ||
    anyPort.has(withoutPort(host)) ||
    (options.loopback && loopbackHost.test(host))
  const isOrigin = (origin: string): boolean =>
    origins.has(origin) || (options.loopback && loopbackHost.test(origin.replace(/^https?:\/\//, "")))

  return {
    check: (request) => {
      checkPath(request)
      const host = hostOf(request)
      if (!isHost(host))
        throw new AppError("HostNotAllowed", { detail: `The host '${host.slice(0, 128)}' is not served here.` })
      const { origin } = request.headers
      if (origin === undefined || isOrigin(origin.toLowerCase())) return
      throw new AppError("OriginNotAllowed", {
        detail: `Pages of '${origin.slice(0, 128)}' may not call this gateway.`,
      })
    },
    cors: (request, response) => {
      const { origin } = request.headers
      if (origin === undefined) return false
      setCors(response, origin)
      if (request.method !== "OPTIONS" || request.headers["access-control-request-method"] === undefined) return false
      answerPreflight(request, response)
      return true
    },
  }
}

/** Headers that we read and that may have one value only. Host has a rule of its own: see `hostOf`. */
const single: readonly string[] = [
  "authorization",
  "content-type",
  "content-encoding",
  "origin",
  "last-event-id",
  "mcp-protocol-version",
  "mcp-session-id",
  "mcp-method",
  "mcp-name",
]
const paramPrefix = "mcp-param-"

/**
 * Headers whose values never contain a comma. A comma in one of them means that a proxy or Node joined repeated lines.
 */
const withoutComma: readonly string[] = ["mcp-protocol-version", "mcp-session-id", "mcp-method"]

const differing = (name: string): AppError =>
  new AppError("RepeatedHeader", { detail: `The header ${name} is there more than once, with different values.` })

/** The common value of a repeated header; throws RepeatedHeader if the values differ. */
const oneOf = (name: string, values: readonly string[]): string => {
  const [first = ""] = values
  if (values.some((value) => value !== first)) throw differing(name)
  return first
}

const countOf = (headers: object): number => {
  let count = 0
  for (const _ in headers) count++
  return count
}

/** The raw headers, with only the first occurrence of each name in `names`. */
const onlyFirst = (rawHeaders: readonly string[], names: ReadonlySet<string>): string[] => {
  const kept: string[] = []
  const seen = new Set<string>()
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const [name = "", value = ""] = [rawHeaders[at], rawHeaders[at + 1]]
    const key = name.toLowerCase()
    if (!names.has(key) || !seen.has(key)) kept.push(name, value)
    seen.add(key)
  }
  return kept
}

/**
 * Merges each header that a client repeats with equal values into one; some clients repeat headers in all their
 * requests. Node keeps the first of some headers and joins others, and what we read must not depend on this difference.
 * Throws RepeatedHeader for different values.
 */
export const collapseRepeated = (request: IncomingMessage): void => {
  const { headers, rawHeaders } = request
  for (const name of withoutComma) {
    const value = headers[name]
    if (typeof value === "string" && value.includes(",")) headers[name] = oneOf(name, value.split(/, ?/))
  }
  if (countOf(headers) * 2 === rawHeaders.length) return
  const collapsed = new Set<string>()
  for (const [name, values = []] of Object.entries(request.headersDistinct))
    if (values.length > 1 && (single.includes(name) || name.startsWith(paramPrefix))) {
      headers[name] = oneOf(name, values)
      collapsed.add(name)
    }
  // the REST API's adapter reads some headers from rawHeaders
  if (collapsed.size > 0) request.rawHeaders = onlyFirst(rawHeaders, collapsed)
}

/**
 * The error for bytes that Node could not read as a request (the parser's codes HPE_…), or for a request that did not
 * arrive in time. `undefined` if the connection broke: then no answer can be sent.
 */
export const unreadable = (fault: unknown): AppError | undefined => {
  const code = systemCode(fault)
  if (code === "HPE_HEADER_OVERFLOW") return new AppError("HeadersTooLarge", { detail: "The headers are too large." })
  if (code === "ERR_HTTP_REQUEST_TIMEOUT")
    return new AppError("RequestTimeout", { detail: "The request did not arrive completely in time." })
  if (!code.startsWith("HPE_")) return undefined
  // without the parser's message, which may quote the bytes
  return new AppError("MalformedHttp", { detail: "The received bytes are not an HTTP/1.1 request." })
}

/** A complete HTTP response as text, with `Connection: close`. */
export const unreadableAnswer = ({ error, requestId }: Unreadable): string => {
  const { status, headers, body } = toProblem(error, { headers: {} }, requestId)
  const lines = {
    ...headers,
    "content-length": String(Buffer.byteLength(body)),
    [requestIdHeader]: requestId,
    date: new Date().toUTCString(),
    connection: "close",
  }
  const head = Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n${head.join("")}\r\n${body}`
}

/**
 * Checks the headers Transfer-Encoding and Expect. Node decodes chunked bodies, passes on bodies of any other coding
 * undecoded, and leaves unknown expectations to us. Throws TransferCodingUnknown (RFC 9112 §6.1) or ExpectationFailed
 * (RFC 9110 §10.1.1).
 */
export const checkFraming = ({ headers }: Pick<IncomingMessage, "headers">): void => {
  const coding = headers["transfer-encoding"]
  if (coding !== undefined && coding.toLowerCase() !== "chunked")
    throw new AppError("TransferCodingUnknown", {
      detail: "The request has a Transfer-Encoding other than chunked.",
      headers: { connection: "close" },
    })
  if (headers.expect !== undefined && headers.expect.toLowerCase() !== "100-continue")
    throw new AppError("ExpectationFailed", { detail: "The Expect header has a value other than 100-continue." })
}
