import { systemClock as clock } from "../adapters/system/clock.ts"
import { startGatewayHalf } from "./gateway-half.ts"
import { startHealth } from "./health-listener.ts"
import { type KubeRoleOptions, kubeTelemetry, openCluster } from "./kube.ts"
import { loadPlugins } from "./plugins.ts"
import { listenPublicly } from "./public-listener.ts"
import { type Base, type RunningRole, runRole } from "./role.ts"

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
 * The role gateway: MCP endpoints and REST API over a real cluster. Ready rejects with PortInUse or ConfigInvalid; an API
 * server that is away is waited for.
 */
export const startGateway = (options: KubeRoleOptions): RunningRole =>
  runRole({ config: options.config, telemetry: kubeTelemetry(options) }, start)
