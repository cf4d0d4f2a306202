import { systemClock as clock } from "../adapters/system/clock.ts"
import { startHealth } from "./health-listener.ts"
import { type KubeRoleOptions, kubeTelemetry, openCluster } from "./kube.ts"
import { type OperatorHalf, startOperatorHalf } from "./operator-half.ts"
import { loadPlugins } from "./plugins.ts"
import { type Base, type RunningRole, runRole } from "./role.ts"

const start = async (base: Base): Promise<void> => {
  const { signal, started } = base
  let half: OperatorHalf | undefined
  await startHealth(base, {
    isReady: () => half?.isReady() === true && !signal.aborted,
    isAlive: () => half?.isAlive() !== false,
  })
  const actor = await openCluster(base, "reflow-operator")
  const plugins = await loadPlugins({ ...base, clock })
  half = startOperatorHalf({ ...base, ...actor, plugins, ends: "role" })
  await started.add("operator", half.close)
  await half.settled
}

/**
 * The role operator: takes part in the election and reconciles while it leads. It fails with LeadershipLost when it may no
 * longer lead; an API server that is away at the start is waited for.
 */
export const startOperator = (options: KubeRoleOptions): RunningRole =>
  runRole({ config: options.config, telemetry: kubeTelemetry(options) }, start)
