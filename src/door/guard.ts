import type { IncomingMessage, ServerResponse } from "node:http"
import { AppError } from "../errors.ts"
import { corsExposedHeaders, isCorsRequestHeader } from "../gateway/wire/headers.ts"

/** Which requests are let in at all. */
export type GuardOptions = {
  /** Origin under which clients reach the gateway, e.g. `https://mcp.example.com`. */
  readonly publicUrl: string
  /** HOST (any port) or HOST:PORT, besides the public URL's. */
  readonly allowedHosts: readonly string[]
  /** Browser origins besides the public URL's. */
  readonly allowedOrigins: readonly string[]
  /** True if only this machine can connect: then its own names are accepted too, as Host and as Origin. */
  readonly loopback: boolean
  /**
   * True if every Host is accepted, default false: without a configured name nobody can know under which ones a Service
   * is reached. Origins are checked nevertheless, and a page of a rebound name has no token to send.
   */
  readonly anyHost?: boolean
}

/** Lets requests in or not, before anybody looks at them. */
export type Guard = {
  /** Throws BadPath, BadHost, HostNotAllowed or OriginNotAllowed. */
  check(request: IncomingMessage): void
  /** Sets the CORS headers for an allowed origin; true if the request was a preflight, which is answered then. */
  cors(request: IncomingMessage, response: ServerResponse): boolean
}

const loopbackHost = /^(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?$/
const plainPath = /^(?:\/[A-Za-z0-9_~-][A-Za-z0-9._~@:,+=-]*)*\/?$/
const suspicious = /[\\\0-\x20\x7f]|%(?:2e|2f|5c|00)/i
const dotSegment = /\/\.{1,2}(?:\/|$)/

/** Names of roles, groups and users may hold slashes, as Keycloak's groups do; elsewhere no name has one. */
const beforeWho = /^\/api\/targets\/[^/%]+\/env\/[^/%]+\//

const withSlashesOfWho = (path: string): string => {
  const [before = ""] = beforeWho.exec(path) ?? []
  return before === "" ? path : `${before}${path.slice(before.length).replaceAll(/%2f/gi, "/")}`
}

/**
 * True if the path is its own normal form: otherwise two routers could read it as two paths (`/mcp/../api/x`).
 * @param url path and query as they stand in the request line
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

/** The one Host header. Node keeps only the first, a proxy in front may have looked at another. */
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

/** The Host values that stand for the public URL: with its port, or without and with the scheme's own one. */
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

/** Makes the guard of one listener, for MCP endpoints and the REST API alike. */
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
