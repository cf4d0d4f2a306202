/** A drain that nothing cancels, with a gateway whose watch is late, over a real API server and with the roles' rights. */
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, expect, test } from "vitest"
import { gatewaysLeaseName } from "../../src/adapters/kube/access.ts"
import { systemClock as clock } from "../../src/adapters/system/clock.ts"
import { mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { type MCPTarget, mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import { createOperator } from "../../src/operator/controller.ts"
import type { ClusterPort } from "../../src/ports/cluster.ts"
import { presenceTiming } from "../../src/signals/presence.ts"
import { aroundWrites } from "../support/around-port.ts"
import { someSettings } from "../support/build/settings.ts"
import { beginsDrain } from "../support/collection-race.ts"
import { targetOf } from "../support/contracts/objects.ts"
import { eventually } from "../support/processes.ts"
import { quietTelemetry } from "../support/quiet-telemetry.ts"
import { type GatewayHalf, startGatewayHalf, type Visit, visit } from "../support/visits.ts"
import { openCluster } from "./support/cluster.ts"
import { makeInstallation } from "./support/role.ts"
import { answeringPods, unscheduled } from "./support/unscheduled.ts"

/** How late the watch of the one gateway is. */
const lateMs = 6_000

let truth: ClusterPort
let target: MCPTarget
let prompt: GatewayHalf
let late: GatewayHalf
/** When the last drain began, and when the instance was deleted. */
const drained = { from: Number.NaN, to: Number.NaN }
const closing: (() => Promise<void>)[] = []

beforeAll(async () => {
  const place = await makeInstallation("drain")
  const { own, instances: namespace } = place
  const lease = { namespace: own, name: gatewaysLeaseName }
  truth = openCluster("test")
  target = await truth.create(mcpTargetKind, targetOf({ namespace, name: "drained" }))
  await answeringPods(truth, namespace)
  const kubeconfig = await place.kubeconfig("gateway")
  const startGateway = async (replica: string, ms: number): Promise<GatewayHalf> => {
    const cluster = openCluster("reflow-gateway", { kubeconfig })
    const started = await startGatewayHalf({ cluster, clock, namespace, replica, lateMs: ms, lease })
    closing.push(started.close)
    return started
  }
  prompt = await startGateway("gw-prompt", 0)
  late = await startGateway("gw-late", lateMs)
  const asOperator = openCluster("reflow-operator", { kubeconfig: await place.kubeconfig("operator") })
  const cluster = aroundWrites(unscheduled(asOperator), (write, run) => {
    if (beginsDrain(write)) drained.from = Date.now()
    if (write.verb === "delete" && write.kind === "MCPInstance") drained.to = Date.now()
    return run()
  })
  const options = someSettings({ namespace })
  const operator = createOperator({ cluster, clock, telemetry: quietTelemetry(), options, gateways: lease })
  closing.push(operator.close)
  await operator.ready
})
afterAll(async () => {
  await Promise.all(closing.map((close) => close()))
})

const call = (gateway: GatewayHalf, callMs: number): Visit =>
  visit(gateway, { target, subject: "alice", callMs, truth, clock })

/** A call that must succeed; the name of its instance. */
const reach = async (gateway: GatewayHalf): Promise<string> => {
  const sent = call(gateway, 0)
  await sent.over
  expect(sent.error ?? sent.lost).toBeUndefined()
  return sent.placed?.instance ?? ""
}

const restart = async (name: string): Promise<void> => {
  Object.assign(drained, { from: Number.NaN, to: Number.NaN })
  const { namespace = "" } = target.metadata
  const patch = { spec: { restartTime: new Date().toISOString() } }
  await truth.mergePatch(mcpInstanceKind, { namespace, name }, patch)
}

test("a restart cuts no call of a gateway that learns of it seconds late, and waits for no gateway that has left", async () => {
  const name = await reach(prompt)
  expect(await reach(late)).toBe(name)

  await restart(name)
  const calls: Visit[] = []
  for (const until = Date.now() + lateMs + 1_000; Date.now() < until; await sleep(150)) {
    const sent = call(late, 100)
    calls.push(sent)
    // one after the other: a gateway in use without a break has a key, and learns of the drain by writing it
    await Promise.race([sent.over, sleep(1_000)])
  }
  await eventually(() => !Number.isNaN(drained.to), 60_000, "the drain is over")
  await Promise.all(calls.map(({ over }) => over))
  expect(calls.map(({ lost, error, placed }) => lost ?? error ?? typeof placed)).toEqual(calls.map(() => "object"))

  await late.close()
  const next = await reach(prompt)
  await restart(next)
  await eventually(() => !Number.isNaN(drained.to), 60_000, "the second drain is over")
  // a gateway that has not said that it leaves counts as living for so long
  expect(drained.to - drained.from).toBeLessThan(presenceTiming.ttlMs / 2)
}, 240_000)
