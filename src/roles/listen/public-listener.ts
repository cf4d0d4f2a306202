import type { RequestListener } from "node:http"
import type { Config } from "../../config/schema.ts"
import type { Gateway, Unreadable } from "../../gateway/gateway.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { Logger } from "../../ports/telemetry.ts"
import type { Base } from "../role.ts"
import { type HttpListener, isLoopback, startHttpListener } from "./http-listener.ts"

/** What serves the public port. */
export type PublicServer = {
  readonly handler: RequestListener
  /** Hears of what could not be read as a request, and was refused. */
  readonly logUnreadable: (unreadable: Unreadable) => void
}

/** The port of MCP endpoints and REST API. */
export type PublicListener = {
  readonly listener: HttpListener
  /** Origin under which clients reach it. */
  readonly publicUrl: string
  /** Hands the requests that come from now on to `server`; before that they get 503. */
  serve(server: PublicServer): void
}

/** The configured origin, else this machine's: names that the guard of a listener on all addresses lets in too. */
const publicUrlOf = ({ gateway }: Config, { url, port }: HttpListener): string => {
  if (gateway.public_url !== "") return gateway.public_url
  return isLoopback(gateway.listen) ? url : `http://localhost:${port}`
}

/** Listens at gateway.listen at once, so that a port in use is told before anything runs. */
export const listenPublicly = async ({ config, started }: Base): Promise<PublicListener> => {
  let server: PublicServer = {
    handler: (_request, response) => {
      response.writeHead(503, { "retry-after": "1" }).end()
    },
    logUnreadable: () => {},
  }
  const listener = await startHttpListener(
    config.gateway.listen,
    (request, response) => server.handler(request, response),
    (unreadable) => server.logUnreadable(unreadable),
  )
  await started.add("listener", listener.close)
  return {
    listener,
    publicUrl: publicUrlOf(config, listener),
    serve: (next) => {
      server = next
    },
  }
}

/** How long requests still come after a replica has said that it is not ready: endpoints and proxies learn it one by one. */
const endpointsMs = 5_000

/** What the end of serving needs. */
type EndServingDeps = {
  readonly clock: ClockPort
  readonly log: Logger
  readonly gateway: Pick<Gateway, "drain">
  readonly listener: Pick<HttpListener, "sendAway" | "stopAccepting" | "settle">
  /** How long open calls get, milliseconds. */
  readonly drainMs: number
}

/**
 * Ends the serving of a replica that is not ready any more: while endpoints still lead here requests are served, and
 * clients learn from the answers that their connections end; then there are no new connections, streams are told to come
 * back, calls get their time. Resolves when nothing is open any more.
 */
export const endServing = async ({ clock, log, gateway, listener, drainMs }: EndServingDeps): Promise<void> => {
  log.info("not ready any more; serving until endpoints know", { ms: endpointsMs })
  listener.sendAway()
  await clock.sleep(endpointsMs)
  const limit = new AbortController()
  const cancel = clock.timer(drainMs, () => limit.abort())
  log.info("draining", { ms: drainMs })
  await listener.stopAccepting()
  await gateway.drain(limit.signal)
  await listener.settle(limit.signal)
  cancel()
}
