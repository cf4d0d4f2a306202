import type { IncomingMessage, RequestListener, ServerOptions, ServerResponse } from "node:http"
import { BlockList, isIP } from "node:net"
import { type H3, toNodeHandler } from "h3/node"
import { AppError } from "../errors.ts"
import type { Gateway } from "../gateway/gateway.ts"
import { type ClientOrigin, mcpPrefix } from "../gateway/incoming.ts"
import { metadataPath, type ProtectedResources } from "../identity/protected-resources.ts"
import { checkFraming, collapseRepeated, type Guard } from "./guard.ts"

/** True if the X-Forwarded-* headers on a connection from this IP address are believed. */
type ProxyTrust = (address: string) => boolean

const familyOf = (address: string): "ipv4" | "ipv6" => (isIP(address) === 6 ? "ipv6" : "ipv4")

/** Decides by networks in CIDR notation (or single addresses) which proxies' X-Forwarded-* headers are believed. */
export const trustNetworks = (networks: readonly string[]): ProxyTrust => {
  if (networks.length === 0) return () => false
  const list = new BlockList()
  for (const network of networks) {
    const [address = "", bits] = network.split("/")
    if (bits === undefined) list.addAddress(address, familyOf(address))
    else list.addSubnet(address, Number(bits), familyOf(address))
  }
  return (address) => {
    const plain = address.startsWith("::ffff:") && isIP(address.slice(7)) === 4 ? address.slice(7) : address
    return isIP(plain) !== 0 && list.check(plain, familyOf(plain))
  }
}

/** Where the request came from: by its connection, or by X-Forwarded-* if the connection is a trusted proxy's. */
export const clientOrigin = (request: IncomingMessage, trusts: ProxyTrust): ClientOrigin => {
  const address = request.socket.remoteAddress ?? "unknown"
  const host = request.headers.host ?? ""
  const forwarded = request.headers["x-forwarded-for"]
  if (forwarded === undefined || !trusts(address)) return { address, host, protocol: "http" }
  const hops = String(forwarded)
    .split(",")
    .map((hop) => hop.trim())
  return {
    address: hops.findLast((hop) => !trusts(hop)) ?? hops[0] ?? address,
    host: String(request.headers["x-forwarded-host"] ?? host),
    protocol: request.headers["x-forwarded-proto"] === "https" ? "https" : "http",
  }
}

/** How long clients may keep the metadata, seconds: it changes with the configuration only. */
const maxAgeSeconds = 300

/**
 * The resource's path inside the URL of a metadata document; undefined if the URL is not one of a metadata document.
 */
const resourcePathIn = (url: string): string | undefined => {
  if (!url.startsWith(metadataPath)) return undefined
  const query = url.indexOf("?")
  const path = url.slice(metadataPath.length, query === -1 ? undefined : query)
  return path === "" || path.startsWith("/") ? path.replace(/\/$/, "") : undefined
}

/**
 * Answers with the metadata of a resource (RFC 9728 §3.2), without authentication. Throws RouteNotFound and
 * MethodNotAllowed.
 */
const answerMetadata = (
  request: IncomingMessage,
  response: ServerResponse,
  about: { readonly path: string; readonly resources: ProtectedResources },
): void => {
  const metadata = about.resources.metadata(about.path)
  if (metadata === undefined) throw new AppError("RouteNotFound", { detail: "There is nothing at this path." })
  if (request.method !== "GET" && request.method !== "HEAD") {
    throw new AppError("MethodNotAllowed", { detail: "Metadata can only be read.", headers: { allow: "GET, HEAD" } })
  }
  const body = JSON.stringify(metadata)
  response.writeHead(200, {
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(body)),
    "cache-control": `public, max-age=${maxAgeSeconds}`,
  })
  response.end(request.method === "HEAD" ? undefined : body)
}

/**
 * Options of the node:http server that listens: bounds on how long a client may take to send its request, none on how
 * long an answer may take. Node's own check of Host is off, because the guard checks Host with a more specific error.
 */
export const httpServerOptions: ServerOptions = {
  requireHostHeader: false,
  headersTimeout: 30_000,
  requestTimeout: 120_000,
  keepAliveTimeout: 75_000,
  maxHeaderSize: 32 * 1024,
  noDelay: true,
  // more than one piece of a server's answer, which are of 64 KiB: one piece alone paused its server until the next turn
  highWaterMark: 128 * 1024,
}

/** What is served on the public port. */
type FrontDoorDeps = {
  readonly guard: Guard
  readonly gateway: Gateway
  /** Networks whose X-Forwarded-* headers are believed; default none. */
  readonly trustedProxies?: readonly string[]
  /** Metadata that names the issuers of tokens (RFC 9728); absent: none is served. */
  readonly resources?: ProtectedResources
  /** The REST API as an h3 app; it gets every path below `/api`. */
  readonly api?: H3
}

const isBelow = (url: string, path: string): boolean =>
  url.startsWith(path) && (url.length === path.length || url[path.length] === "/" || url[path.length] === "?")

/**
 * The listener of the public port: the guard first, then `/mcp/{target}` or the REST API. MCP requests go to the data
 * path directly over Node's request and response: a bare pipe behind h3's bridge to Node took three times the CPU of the
 * same pipe without it, more than all of the gateway's own work on a warm call.
 */
export const createFrontDoor = ({
  guard,
  gateway,
  trustedProxies = [],
  resources,
  api,
}: FrontDoorDeps): RequestListener => {
  const trusts = trustNetworks(trustedProxies)
  const serveApi = api === undefined ? undefined : toNodeHandler(api)

  const route = (request: IncomingMessage, response: ServerResponse): void => {
    collapseRepeated(request)
    guard.check(request)
    checkFraming(request)
    if (guard.cors(request, response)) return
    const url = request.url ?? ""
    if (url.startsWith(mcpPrefix)) return void gateway.handle(request, response, clientOrigin(request, trusts))
    if (serveApi !== undefined && isBelow(url, "/api")) return void serveApi(request, response)
    const path = resourcePathIn(url)
    if (path !== undefined && resources !== undefined)
      return void answerMetadata(request, response, { path, resources })
    throw new AppError("RouteNotFound", { detail: "There is nothing at this path." })
  }
  return (request, response) => {
    try {
      route(request, response)
    } catch (error) {
      gateway.refuse(request, response, error)
    }
  }
}
