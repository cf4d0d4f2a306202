import type { IncomingMessage, RequestListener, ServerOptions, ServerResponse } from "node:http"
import { type H3, toNodeHandler } from "h3/node"
import { AppError } from "../errors.ts"
import type { ProtectedResources } from "../identity/protected-resources.ts"
import type { Gateway } from "./gateway.ts"
import type { Guard } from "./guard.ts"
import { mcpPrefix } from "./incoming.ts"
import { answerMetadata, resourcePathIn } from "./resource-metadata.ts"
import { collapseRepeated } from "./single-headers.ts"
import { checkFraming } from "./unreadable.ts"

/**
 * Options of the node:http server that listens: bounds on how long a client may take to send its request, none on how
 * long an answer may take. Host is checked by the guard, which says what is wrong.
 */
export const httpServerOptions: ServerOptions = {
  requireHostHeader: false,
  headersTimeout: 30_000,
  requestTimeout: 120_000,
  keepAliveTimeout: 75_000,
  maxHeaderSize: 32 * 1024,
  noDelay: true,
}

/** What is served on the public port. */
export type FrontDoorDeps = {
  readonly guard: Guard
  readonly gateway: Gateway
  /** Tells clients who issues tokens; absent: nobody is told. */
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
export const createFrontDoor = ({ guard, gateway, resources, api }: FrontDoorDeps): RequestListener => {
  const serveApi = api === undefined ? undefined : toNodeHandler(api)

  const route = (request: IncomingMessage, response: ServerResponse): void => {
    collapseRepeated(request)
    guard.check(request)
    checkFraming(request)
    if (guard.cors(request, response)) return
    const url = request.url ?? ""
    if (url.startsWith(mcpPrefix)) return void gateway.handle(request, response)
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
