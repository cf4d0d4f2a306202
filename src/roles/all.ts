import { systemClock as clock } from "../adapters/system/clock.ts"
import { createRemoteProbe } from "../outgoing/probe.ts"
import { startGatewayHalf } from "./gateway.ts"
import { type KubeRoleOptions, kubeTelemetry, openCluster } from "./kube.ts"
import { startHealth } from "./listen/health-listener.ts"
import { listenPublicly } from "./listen/public-listener.ts"
import { type OperatorHalf, startOperatorHalf } from "./operator.ts"
import { createOutgoing, placeOfListener } from "./outgoing.ts"
import { loadPlugins } from "./plugins.ts"
import { type Base, type RunningRole, runRole } from "./role.ts"

const start = async (base: Base): Promise<void> => {
  const { telemetry, started, signal } = base
  let half: OperatorHalf | undefined
  let serves = false
  await startHealth(base, {
    // stays ready after a loss of leadership: requests to running instances need no operator
    isReady: () => serves && !signal.aborted,
    isAlive: () => half?.isAlive() !== false,
  })
  const door = await listenPublicly(base)
  const operator = await openCluster(base, "reflow-operator")
  const gateway = await openCluster(base, "reflow-gateway")
  // one plugin host for both halves: each plugin's setup runs once in a process
  const plugins = await loadPlugins({ ...base, clock, cluster: gateway.cluster })
  const listeners = [placeOfListener(base.config.gateway.listen, door.listener)]
  const outgoing = createOutgoing({ ...base, role: "all", apiServer: () => operator.cluster.server, listeners })
  half = startOperatorHalf({ ...base, ...operator, plugins, probe: createRemoteProbe(outgoing), ends: "half" })
  // closed after the requests (last started, first closed): some of them still wait for the operator to start instances
  await started.add("operator", half.close)
  await Promise.all([half.settled, startGatewayHalf({ ...base, plugins }, gateway, door)])
  serves = true
  telemetry.log.info("serving", { url: door.listener.url })
}

/**
 * The role all: gateway and operator over a real cluster in one process, each with the rights and the field manager of
 * its own role. When leadership is lost, the gateway goes on and the operator takes part in the election again.
 */
export const startAll = (options: KubeRoleOptions): RunningRole =>
  runRole({ config: options.config, telemetry: kubeTelemetry(options) }, start)
