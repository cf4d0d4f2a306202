import { systemClock as clock } from "../adapters/system/clock.ts"
import type { Config } from "../config/schema.ts"
import { bootstrapSubject, ensureBootstrapToken, needsBootstrapToken } from "./bootstrap-token.ts"
import { type Front, startFront } from "./front.ts"
import { isLoopback } from "./http-listener.ts"
import type { Actor } from "./kube.ts"
import type { PublicListener } from "./public-listener.ts"
import type { Base } from "./role.ts"
import { untilReached } from "./until-reached.ts"

/** How long requests still come after a replica has said that it is not ready: endpoints and proxies learn it one by one. */
const endpointsMs = 5_000

/** Static tokens of the configuration, and the bootstrap token if nobody else could administer. */
const tokensOf = async (base: Base, { cluster, ownNamespace }: Actor): Promise<Config["auth"]["tokens"]> => {
  const { telemetry, signal } = base
  const { auth } = base.config
  const [adminRole] = auth.admin_roles
  if (adminRole === undefined || !needsBootstrapToken(auth)) return auth.tokens
  const token = await untilReached({ clock, log: telemetry.log, signal }, "the bootstrap token", () =>
    ensureBootstrapToken(cluster, { namespace: ownNamespace, adminRole, signal }),
  )
  telemetry.log.info("no administrator is configured: the bootstrap token is accepted", {
    subject: bootstrapSubject,
    namespace: ownNamespace,
  })
  return [...auth.tokens, token]
}

/**
 * Ends the serving: while endpoints still lead here requests are served, and clients learn from the answers that their
 * connections end; then there are no new connections, streams are told to come back, calls get kubernetes.drain_timeout.
 */
const drain = async ({ config, telemetry }: Base, { gateway }: Front, { listener }: PublicListener): Promise<void> => {
  telemetry.log.info("not ready any more; serving until endpoints know", { ms: endpointsMs })
  listener.sendAway()
  await clock.sleep(endpointsMs)
  const limit = new AbortController()
  const cancel = clock.timer(config.kubernetes.drain_timeout, () => limit.abort())
  telemetry.log.info("draining", { ms: config.kubernetes.drain_timeout })
  await listener.stopAccepting()
  await gateway.drain(limit.signal)
  await listener.settle(limit.signal)
  cancel()
}

/** Starts gateway and REST API on a real cluster; resolves when they serve. However long the API server is away, it waits. */
export const startGatewayHalf = async (base: Base, actor: Actor, door: PublicListener): Promise<void> => {
  const { config, started, signal } = base
  const { public_url: publicUrl, allowed_hosts: allowedHosts, listen } = config.gateway
  const front = await startFront({
    ...base,
    ...actor,
    clock,
    publicUrl: door.publicUrl,
    anyHost: publicUrl === "" && allowedHosts.length === 0 && !isLoopback(listen),
    tokens: await tokensOf(base, actor),
  })
  signal.throwIfAborted()
  await started.add("requests", () => drain(base, front, door))
  door.serve(front.handler)
}
