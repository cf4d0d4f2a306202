import type { Gateway } from "../gateway/gateway.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { Logger } from "../ports/telemetry.ts"
import type { HttpListener } from "./http-listener.ts"

/** How long requests still come after a replica has said that it is not ready: endpoints and proxies learn it one by one. */
const endpointsMs = 5_000

/** What the end of serving needs. */
export type EndServingDeps = {
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
