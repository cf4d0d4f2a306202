import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, expect, test } from "vitest"
import { systemClock } from "../../src/adapters/system/clock.ts"
import { controllerUID } from "../../src/api/kinds/kind.ts"
import { mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import { podKind } from "../../src/api/kinds/pod.ts"
import { createOperator, type Operator } from "../../src/operator/controller.ts"
import type { ClusterPort } from "../../src/ports/cluster.ts"
import { aroundWrites } from "../support/around-port.ts"
import { someSettings } from "../support/build/settings.ts"
import { prepareRaces, racesOf, resultOf } from "../support/collection-race.ts"
import { targetOf } from "../support/contracts/objects.ts"
import { eventually } from "../support/processes.ts"
import { quietTelemetry } from "../support/quiet-telemetry.ts"
import { type GatewayHalf, startGatewayHalf } from "../support/visits.ts"
import { openCluster } from "./support/cluster.ts"
import { type Installation, makeInstallation } from "./support/role.ts"
import { answeringPods, unscheduled } from "./support/unscheduled.ts"

const seed = 20_260_103
const count = 50
const clock = systemClock

let place: Installation
const parts: (Operator | GatewayHalf)[] = []

beforeAll(async () => {
  place = await makeInstallation("race")
})
afterAll(async () => {
  await Promise.all(parts.map((each) => each.close()))
})

/** Instances that ever had two Pods at once, as the watch tells. */
const findDoubles = async (truth: ClusterPort, namespace: string): Promise<ReadonlySet<string>> => {
  const doubles = new Set<string>()
  const pods = truth.watch(podKind, { namespace })
  pods.subscribe(() => {
    const seen = new Set<string>()
    for (const pod of pods.items()) {
      const owner = controllerUID(pod) ?? ""
      if (seen.has(owner)) doubles.add(owner)
      seen.add(owner)
    }
  })
  await pods.synced
  return doubles
}

test(`fifty requests in the middle of a collection, with two operators (seed ${seed}): none fails, nothing is collected under one`, {
  timeout: 300_000,
}, async () => {
  const namespace = place.instances
  const settings = someSettings({ namespace, idle_ttl: 4_000, max_instances: 1_000 })
  const truth = openCluster("test")
  const target = await truth.create(mcpTargetKind, targetOf({ namespace, name: "raced" }))
  await answeringPods(truth, namespace)
  const doubles = await findDoubles(truth, namespace)
  const kubeconfig = await place.kubeconfig("gateway")
  const startGateway = async (replica: string, lateMs: number): Promise<GatewayHalf> => {
    const cluster = openCluster("reflow-gateway", { kubeconfig })
    const started = await startGatewayHalf({ cluster, clock, namespace, replica, lateMs, options: { idle_ttl: 4_000 } })
    parts.push(started)
    return started
  }
  const [prompt, late] = await Promise.all([startGateway("gw-prompt", 0), startGateway("gw-late", 6_000)])
  const { racers, around, begin, isOver } = prepareRaces({
    target,
    races: racesOf(seed, count),
    racers: 25,
    prompt,
    late,
    truth,
    clock,
    lead: (turns) => sleep(turns),
  })
  const operatorConfig = await place.kubeconfig("operator")
  for (let operator = 0; operator < 2; operator++) {
    const cluster = aroundWrites(unscheduled(openCluster("reflow-operator", { kubeconfig: operatorConfig })), around)
    parts.push(createOperator({ cluster, clock, telemetry: quietTelemetry(), options: settings }))
  }
  await Promise.all(begin().map(({ over }) => over))
  await eventually(isOver, 180_000, "all races are run")
  const result = resultOf(racers)
  expect(result.wrong).toEqual([])
  expect([...doubles]).toEqual([])
  expect(result.count).toBe(count)
  // either side may win, and both do
  expect(result.replaced).toBeGreaterThan(0)
  expect(result.replaced).toBeLessThan(count)
})
