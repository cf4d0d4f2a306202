/** An operator and two gateways over the embedded cluster: the watch of the one is prompt, that of the other one late. */

import type { MCPTarget, MCPTargetSpec } from "../../src/api/kinds/mcp-target.ts"
import { createOperator } from "../../src/operator/controller.ts"
import type { Settings } from "../../src/operator/snapshot.ts"
import { aroundWrites, type PortWrite } from "./around-port.ts"
import { type OperatorWorld, operatorWorld } from "./operator-world.ts"
import { quietTelemetry } from "./quiet-telemetry.ts"
import { type GatewayHalf, startGatewayHalf } from "./visits.ts"

/** Namespace of the instances. */
export const namespace = "reflow"
/** Where the gateways announce themselves. */
export const lease = { namespace: "reflow-system", name: "reflow-gateways" }
/** How late the watch of the late gateway is, in milliseconds. */
export const lateMs = 20_000
/** How long a write of the gateways takes, in milliseconds, as on a network. */
const writeMs = 200

type Options = {
  /** Of the target. */
  readonly spec: Partial<MCPTargetSpec>
  /** Of operator and gateways. */
  readonly settings: Settings
  /** Called with each write of the operator before it is made, and the time in milliseconds. */
  readonly onWrite: (write: PortWrite, now: number) => void
}

/** What runs, and how it ends. */
export type TwoGateways = {
  readonly world: OperatorWorld
  readonly target: MCPTarget
  readonly prompt: GatewayHalf
  readonly late: GatewayHalf
  close(): Promise<void>
}

/** Starts all of it. Close it. */
export const startTwoGateways = async ({ spec, settings, onWrite }: Options): Promise<TwoGateways> => {
  const world = operatorWorld()
  const { clock, cluster } = world
  const target = await world.makeTarget({ spec })
  const far = aroundWrites(cluster, async (_write, run) => {
    await clock.sleep(writeMs)
    return run()
  })
  const parts = { cluster: far, clock, namespace, lease, options: settings }
  const starting = Promise.all([
    startGatewayHalf({ ...parts, replica: "gw-prompt" }),
    startGatewayHalf({ ...parts, replica: "gw-late", lateMs }),
  ])
  await clock.advance(1_000)
  const [prompt, late] = await starting
  const watched = aroundWrites(cluster.client({ fieldManager: "reflow-operator" }), (write, run) => {
    onWrite(write, clock.now())
    return run()
  })
  const telemetry = quietTelemetry()
  const operator = createOperator({ cluster: watched, clock, telemetry, options: settings, gateways: lease })
  await clock.advance(0)
  const close = async (): Promise<void> => {
    const closed = Promise.all([operator.close(), prompt.close(), late.close()])
    await clock.advance(5_000)
    await closed
    await world.close()
  }
  return { world, target, prompt, late, close }
}
