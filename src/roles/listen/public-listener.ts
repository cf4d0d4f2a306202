import type { RequestListener } from "node:http"
import type { Config } from "../../config/schema.ts"
import type { Gateway, Unreadable } from "../../gateway/gateway.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { Logger } from "../../ports/telemetry.ts"
import type { Base } from "../role.ts"
import { type HttpListener, isLoopback, startHttpListener } from "./http-listener.ts"

/** The handlers of the public port. */
export type PublicServer = {
  readonly handler: RequestListener
  /** Logs a refused request that could not be parsed. */
  readonly logUnreadable: (unreadable: Unreadable) => void
}

/** The listener of the public port (gateway.listen), which serves MCP endpoints and REST API. */
export type PublicListener = {
  readonly listener: HttpListener
  /** Origin under which clients reach the gateway: gateway.public_url, else this machine's. */
  readonly publicUrl: string
  /** Passes all later requests to `server`. Before this call, requests are answered with 503. */
  serve(server: PublicServer): void
}

/** gateway.public_url, else an origin of this machine whose Host the guard accepts. */
const publicUrlOf = ({ gateway }: Config, { url, port }: HttpListener): string => {
  if (gateway.public_url !== "") return gateway.public_url
  return isLoopback(gateway.listen) ? url : `http://localhost:${port}`
}

/** Listens at gateway.listen at once, so that a port in use is reported before anything else starts. */
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

/**
 * How long a replica still gets requests after its readiness probe fails, in milliseconds: endpoints and proxies are
 * updated one after the other.
 */
const endpointsMs = 5_000

/** Dependencies of {@link endServing}. */
type EndServingDeps = {
  readonly clock: ClockPort
  readonly log: Logger
  readonly gateway: Pick<Gateway, "drain">
  readonly listener: Pick<HttpListener, "sendAway" | "stopAccepting" | "settle">
  /** How long open calls may go on, in milliseconds. */
  readonly drainMs: number
}

/**
 * Shuts down the public port of a replica that is no longer ready. For {@link endpointsMs} it serves on, and each
 * response closes its connection. Then it refuses new connections, asks the clients of streams to reconnect, and waits
 * for open calls. Resolves when nothing is open, at the latest after `drainMs` more.
 */
export const endServing = async ({ clock, log, gateway, listener, drainMs }: EndServingDeps): Promise<void> => {
  log.info("no longer ready; serving until endpoints are updated", { ms: endpointsMs })
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
