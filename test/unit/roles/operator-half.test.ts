import { afterEach, beforeEach, describe, expect, test } from "vitest"
import type { Intercept } from "../../../src/adapters/memory/client.ts"
import { createMemoryCluster, type MemoryCluster } from "../../../src/adapters/memory/cluster.ts"
import { type Lease, leaseKind } from "../../../src/api/kinds/kubernetes.ts"
import { mcpInstanceKind } from "../../../src/api/kinds/mcp-instance.ts"
import { mcpTargetKind } from "../../../src/api/kinds/mcp-target.ts"
import { podKind } from "../../../src/api/kinds/pod.ts"
import { configSchema } from "../../../src/config/schema.ts"
import { heldBy } from "../../../src/election/lease.ts"
import { type OperatorHalf, startOperatorHalf } from "../../../src/roles/operator.ts"
import { anInstance } from "../../support/build/instance.ts"
import { aTarget } from "../../support/build/target.ts"
import { type FakeClock, fakeClock } from "../../support/fake-clock.ts"
import { createFaults, type Faults } from "../../support/faults.ts"
import { quietTelemetry } from "../../support/quiet-telemetry.ts"

const namespace = "reflow"
const lease = { namespace: "reflow-system", name: "reflow-operator" }
const config = configSchema.parse({})

type Started = { readonly half: OperatorHalf; readonly faults: Faults; readonly failures: unknown[] }

let clock: FakeClock
let cluster: MemoryCluster
let halves: OperatorHalf[]

beforeEach(() => {
  clock = fakeClock()
  cluster = createMemoryCluster({ clock, telemetry: quietTelemetry() })
  halves = []
})
afterEach(async () => {
  const closing = Promise.all(halves.map((half) => half.close()))
  await clock.advance(5_000)
  await closing
  await cluster.close()
})

const noStrategy = { reason: "StrategyUnknown", path: ["subjectKey", "strategy"], message: "None is here." } as const

const start = (
  ends: "role" | "half",
  prepare: (faults: Faults) => void = () => {},
  more: (faults: Faults) => Intercept = (faults) => faults,
): Started => {
  const faults = createFaults(clock)
  prepare(faults)
  const failures: unknown[] = []
  const half = startOperatorHalf({
    config,
    telemetry: quietTelemetry(),
    cluster: cluster.client({ fieldManager: "reflow-operator", intercept: more(faults) }),
    plugins: { podTemplates: new Set(), template: (pod) => pod, faults: () => [noStrategy] },
    ownNamespace: lease.namespace,
    ends,
    fail: (error) => void failures.push(error),
    clock,
  })
  halves.push(half)
  return { half, faults, failures }
}

const makeInstance = (name: string) => {
  const { metadata: _, ...rest } = anInstance()
  return cluster.create(mcpInstanceKind, { ...rest, metadata: { name, namespace } })
}

const countPods = async (): Promise<number> => (await cluster.list(podKind, { namespace })).items.length

const readLease = async (): Promise<Lease> => {
  const found = await cluster.get(leaseKind, lease)
  if (found === undefined) throw new Error("there is no lease")
  return found
}

/** Somebody else writes its name into the lease. */
const steal = async () => cluster.replace(leaseKind, heldBy(await readLease(), lease, "thief", clock.now()))

test("who leads works, and is ready once its caches are filled", async () => {
  const { half } = start("role")
  expect([half.isReady(), half.isAlive()]).toEqual([false, true])
  await clock.advance(100)
  await half.settled
  expect(half.isReady()).toBe(true)
  await makeInstance("one")
  await clock.advance(1_000)
  expect(await countPods()).toBe(1)
})

test("who leads tells of a target's choices that no plugin has, and of entries that match nobody on this cluster", async () => {
  start("role")
  await clock.advance(1_000)
  const [spec, metadata] = [aTarget({ spec: { access: { groups: ["corp/eng"] } } }).spec, { name: "odd", namespace }]
  await cluster.create(mcpTargetKind, { ...aTarget(), metadata, spec })
  await clock.advance(10_000)
  const target = await cluster.get(mcpTargetKind, { namespace, name: "odd" })
  const [accepted, , resolved] = target?.status?.conditions ?? []
  expect(accepted).toMatchObject({ status: "False", reason: "StrategyUnknown", message: "None is here." })
  // nobody but the bootstrap token's static issuer vouches for anybody
  expect(resolved).toMatchObject({ type: "AccessResolved", status: "True" })
})

test("who leads but cannot read its objects yet is alive and not ready", async () => {
  const { half } = start("role", (faults) => void faults.fail({ verb: "list", kind: "Pod", times: 1_000 }))
  await clock.advance(30_000)
  expect([half.isReady(), half.isAlive()]).toEqual([false, true])
})

test("who leads and hangs in its work is not alive, so that it is started anew", async () => {
  const hung = Promise.withResolvers<never>()
  const hang: Intercept = {
    call: (call, run) => (call.verb === "create" && call.kind === "Service" ? hung.promise : run()),
  }
  const { half } = start("role", undefined, () => hang)
  await clock.advance(100)
  await makeInstance("one")
  await clock.advance(590_000)
  expect(half.isAlive()).toBe(true)
  await clock.advance(20_000)
  expect(half.isAlive()).toBe(false)
  hung.reject(new Error("ended"))
})

test("a standby is ready, follows nothing and writes nothing", async () => {
  start("role")
  await clock.advance(1_000)
  const { half, faults } = start("role")
  await clock.advance(60_000)
  await half.settled
  expect([half.isReady(), half.isAlive()]).toEqual([true, true])
  expect(new Set(faults.calls.map(({ verb, kind }) => `${verb} ${kind}`))).toEqual(new Set(["get Lease"]))
})

test("an API server that is away at the start is waited for", async () => {
  const fault = { end: () => {} }
  const { half, failures } = start("role", (faults) => {
    fault.end = faults.fail({ times: 1_000_000 })
  })
  await clock.advance(600_000)
  expect([half.isReady(), half.isAlive(), failures]).toEqual([false, true, []])
  fault.end()
  await clock.advance(5_000)
  expect(half.isReady()).toBe(true)
})

describe("leadership that is lost", () => {
  test("ends the work, and the role with it, where the operator is the role", async () => {
    const { failures } = start("role")
    await clock.advance(1_000)
    await steal()
    await clock.advance(3_000)
    expect(failures).toMatchObject([{ code: "LeadershipLost" }])
    await makeInstance("one")
    await clock.advance(30_000)
    expect(await countPods()).toBe(0)
    expect((await readLease()).spec?.holderIdentity).toBe("thief")
  })

  test("ends only the operator where a gateway is beside it: it works again once it leads again", async () => {
    const { half, failures } = start("half")
    await clock.advance(1_000)
    await steal()
    await clock.advance(3_000)
    await makeInstance("one")
    await clock.advance(10_000)
    expect(await countPods()).toBe(0)
    expect(half.isReady()).toBe(true)
    await clock.advance(20_000)
    expect(await countPods()).toBe(1)
    expect(failures).toEqual([])
  })
})

test("closing ends the work before the lease is given back, and may be repeated", async () => {
  const first = start("role")
  await clock.advance(1_000)
  start("role")
  await clock.advance(1_000)
  await Promise.all([first.half.close(), first.half.close()])
  expect((await readLease()).spec?.holderIdentity).toBe("")
  expect(first.faults.calls.at(-1)).toMatchObject({ verb: "replace", kind: "Lease" })
  await makeInstance("one")
  await clock.advance(2_500)
  expect(await countPods()).toBe(1)
  expect(first.failures).toEqual([])
})

test("closing while the API server is away takes no longer than its bounds", async () => {
  const { half } = start("role", (faults) => void faults.fail({ times: 1_000_000 }))
  await clock.advance(10_000)
  await half.close()
  await expect(half.settled).rejects.toMatchObject({ name: "AbortError" })
})
