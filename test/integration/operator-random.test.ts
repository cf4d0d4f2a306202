import fc from "fast-check"
import { expect, it } from "vitest"
import { controllerUID } from "../../src/api/kind.ts"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/mcp-instance.ts"
import { podKind } from "../../src/api/pod.ts"
import type { Operator } from "../../src/operator/controller.ts"
import { crashedStatus } from "../support/build/pod.ts"
import { healthy } from "../support/fake-kubelet.ts"
import { type OperatorWorld, operatorWorld } from "../support/operator-world.ts"

const namespace = "reflow"
const limit = 3
const names = ["a", "b", "c", "d", "e"] as const
const settings = { max_instances: limit, idle_ttl: 60_000, drain_timeout: 20_000 }

const some = fc.constantFrom(...names)
const step = fc.oneof(
  fc.record({ do: fc.constant("make" as const), name: some }),
  fc.record({ do: fc.constant("make" as const), name: some }),
  fc.record({ do: fc.constant("pass" as const), seconds: fc.integer({ min: 1, max: 40 }) }),
  fc.record({ do: fc.constant("open" as const), name: some }),
  fc.record({ do: fc.constant("end" as const), name: some }),
  fc.record({ do: fc.constant("use" as const), name: some }),
  fc.record({ do: fc.constant("edit" as const), name: some, version: fc.integer({ min: 2, max: 4 }) }),
  fc.record({ do: fc.constant("delete" as const), name: some }),
  fc.record({ do: fc.constant("killPod" as const), name: some }),
  fc.record({ do: fc.constant("evictPod" as const), name: some }),
  fc.record({ do: fc.constant("node" as const), works: fc.boolean() }),
  fc.record({ do: fc.constant("restartOperator" as const) }),
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

/** What the gateways of the test know: whose calls are open, renewed every second that passes. */
type Model = { operator: Operator; readonly open: Set<string>; renewals: number }

const list = async (world: OperatorWorld): Promise<readonly MCPInstance[]> =>
  (await world.cluster.list(mcpInstanceKind, { namespace })).items

const check = async (world: OperatorWorld, { open }: Model): Promise<void> => {
  const instances = await list(world)
  expect((await world.holders()).size, "the limit holds").toBeLessThanOrEqual(limit)
  const live = (await world.livePods()).map((pod) => controllerUID(pod))
  expect(new Set(live).size, "one live Pod per instance").toBe(live.length)
  const there = new Set(instances.map(({ metadata }) => metadata.name))
  for (const name of open) expect(there.has(name), `${name} is in use and stays`).toBe(true)
}

const second = async (world: OperatorWorld, model: Model): Promise<void> => {
  for (const name of model.open) await world.touch({ inUseBy: { "gw-0": String(model.renewals++) } }, name)
  await world.pass(1)
  await check(world, model)
}

const podOf = async (world: OperatorWorld, name: string) => {
  const uid = (await world.instance(name))?.metadata.uid
  return (await world.livePods()).find((pod) => controllerUID(pod) === uid)?.metadata.name
}

const onInstance = async (
  world: OperatorWorld,
  model: Model,
  each: Step & { readonly name: string },
): Promise<void> => {
  const { name } = each
  const exists = (await world.instance(name)) !== undefined
  if (each.do === "make" && !exists) await world.make({ name, spec: { subjectKey: `user:${name}` } })
  if (!exists) return
  const pod = await podOf(world, name)
  switch (each.do) {
    case "open":
      model.open.add(name)
      return world.touch({ inUseBy: { "gw-0": String(model.renewals++) } }, name)
    case "end":
      model.open.delete(name)
      return world.touch({ inUseBy: { "gw-0": null } }, name)
    case "use":
      return world.touch({ lastUsedTime: new Date(world.clock.now()).toISOString() }, name)
    case "edit":
      return world.edit({ spec: { image: `ghcr.io/org/files:${each.version}` } }, name)
    case "delete":
      model.open.delete(name)
      return void (await world.cluster.delete(mcpInstanceKind, { namespace, name }))
    case "killPod":
      if (pod !== undefined) await world.cluster.delete(podKind, { namespace, name: pod })
      return
    case "evictPod":
      if (pod !== undefined) await world.kubelet.set(pod, { phase: "Failed", reason: "Evicted" })
  }
}

const play = async (world: OperatorWorld, model: Model, each: Step): Promise<void> => {
  switch (each.do) {
    case "pass":
      for (let passed = 0; passed < each.seconds; passed++) await second(world, model)
      return
    case "node":
      return world.kubelet.play(each.works ? healthy : [{ afterMs: 100, status: () => crashedStatus(1) }])
    case "restartOperator":
      await model.operator.close()
      model.operator = await world.start(settings)
      return
    default:
      await onInstance(world, model, each)
      await world.pass(0)
      return check(world, model)
  }
}

it("whatever happens: one live Pod per instance, the limit holds, and nothing in use is collected", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 40 }), async (steps) => {
      const world = operatorWorld()
      try {
        const model: Model = { operator: await world.start(settings), open: new Set(), renewals: 0 }
        for (const each of steps) await play(world, model, each)
        world.kubelet.play(healthy)
        model.open.clear()
        await world.pass(20 * 60)
        expect(await list(world), "in the end everything unused is gone").toEqual([])
        expect(await world.pods()).toEqual([])
        expect(world.lines.filter(({ level }) => level === "warn")).toEqual([])
      } finally {
        await world.close()
      }
    }),
    { seed: 20260101, numRuns: 40 },
  )
}, 120_000)
