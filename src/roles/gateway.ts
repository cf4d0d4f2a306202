import { systemClock as clock } from "../adapters/system/clock.ts"
import type { Config } from "../config/schema.ts"
import type { PluginHost } from "../plugin/host.ts"
import { bootstrapSubject, ensureBootstrapToken, needsBootstrapToken } from "./bootstrap-token.ts"
import { startFront } from "./front.ts"
import { type Actor, type KubeRoleOptions, kubeTelemetry, openCluster } from "./kube.ts"
import { startHealth } from "./listen/health-listener.ts"
import { isLoopback } from "./listen/http-listener.ts"
import { endServing, listenPublicly, type PublicListener } from "./listen/public-listener.ts"
import { createOutgoing, placeOfListener } from "./outgoing.ts"
import { loadPlugins } from "./plugins.ts"
import { type Base, type RunningRole, runRole, untilReached } from "./role.ts"

/** Dependencies of {@link startGatewayHalf}. */
export type GatewayHalfBase = Base & { readonly plugins: PluginHost }

/** Static tokens of the configuration, plus the bootstrap token if {@link needsBootstrapToken}. */
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

/** Starts gateway and REST API on a real cluster; resolves when they serve. Waits without limit for the API server. */
export const startGatewayHalf = async (base: GatewayHalfBase, actor: Actor, door: PublicListener): Promise<void> => {
  const { config, started, signal } = base
  const { public_url: publicUrl, allowed_hosts: allowedHosts, listen } = config.gateway
  const front = await startFront({
    ...base,
    ...actor,
    clock,
    publicUrl: door.publicUrl,
    anyHost: publicUrl === "" && allowedHosts.length === 0 && !isLoopback(listen),
    tokens: tokensOf(base, actor),
    outgoing: createOutgoing({
      ...base,
      role: "gateway",
      apiServer: () => actor.cluster.server,
      listeners: [placeOfListener(listen, door.listener)],
    }),
  })
  signal.throwIfAborted()
  const { log } = base.telemetry
  const drainMs = base.config.kubernetes.drain_timeout
  await started.add("requests", () => endServing({ clock, log, ...front, ...door, drainMs }))
  door.serve(front)
}

const start = async (base: Base): Promise<void> => {
  const { telemetry, signal } = base
  let serves = false
  await startHealth(base, { isReady: () => serves && !signal.aborted })
  const door = await listenPublicly(base)
  const actor = await openCluster(base, "reflow-gateway")
  const plugins = await loadPlugins({ ...base, clock, cluster: actor.cluster })
  await startGatewayHalf({ ...base, plugins }, actor, door)
  serves = true
  telemetry.log.info("serving", { url: door.listener.url })
}

/**
 * The role gateway: MCP endpoints and REST API over a real cluster. `ready` rejects with PortInUse, ConfigInvalid or
 * PluginFailed. If the API server cannot be reached, the role waits for it.
 */
export const startGateway = (options: KubeRoleOptions): RunningRole =>
  runRole({ config: options.config, telemetry: kubeTelemetry(options) }, start)
