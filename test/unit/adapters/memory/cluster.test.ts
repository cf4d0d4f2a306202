import { Readable } from "node:stream"
import { expect, test } from "vitest"
import { createMemoryCluster } from "../../../../src/adapters/memory/cluster.ts"
import { type Event, eventKind, secretKind, serviceKind } from "../../../../src/api/kinds/kubernetes.ts"
import { mcpInstanceKind } from "../../../../src/api/kinds/mcp-instance.ts"
import { mcpTargetKind } from "../../../../src/api/kinds/mcp-target.ts"
import { podKind } from "../../../../src/api/kinds/pod.ts"
import { instanceOf, ownedBy, podOf, secretOf, serviceOf, targetOf } from "../../../support/contracts/objects.ts"
import { fakeClock } from "../../../support/fake-clock.ts"
import { createFaults } from "../../../support/faults.ts"
import { quietTelemetry } from "../../../support/quiet-telemetry.ts"

const namespace = "reflow"
const at = (name: string) => ({ namespace, name })

const begin = (historyLimit = 100) => {
  const clock = fakeClock()
  const faults = createFaults(clock)
  const cluster = createMemoryCluster({ clock, telemetry: quietTelemetry(), historyLimit, intercept: faults })
  const direct = cluster.client({ fieldManager: "direct" })
  return { clock, faults, cluster, direct }
}

test("times come from the clock, in whole seconds", async () => {
  const { cluster, clock } = begin()
  await clock.advance(1_500)
  const made = await cluster.create(podKind, podOf(at("a"), "node"))
  expect(made.metadata.creationTimestamp).toBe("2030-01-01T00:00:01Z")
  await cluster.delete(podKind, at("a"))
  expect((await cluster.get(podKind, at("a")))?.metadata.deletionTimestamp).toBe("2030-01-01T00:00:11Z")
})

test("a Service is reached on this machine, and a new Pod is Pending", async () => {
  const { cluster } = begin()
  expect((await cluster.create(serviceKind, serviceOf(at("a")))).spec.clusterIP).toBe("127.0.0.1")
  expect((await cluster.create(podKind, podOf(at("a")))).status).toEqual({ phase: "Pending" })
})

test("what a caller gave stays the caller's, in every way of writing", async () => {
  const { cluster } = begin()
  const labels: Record<string, string> = { a: "1" }
  await cluster.create(secretKind, secretOf({ ...at("a"), labels }))
  await cluster.apply(secretKind, secretOf({ ...at("b"), labels }))
  await cluster.mergePatch(secretKind, at("b"), { metadata: { labels } })
  const status: { phase: string; conditions: object[] } = { phase: "Running", conditions: [] }
  await cluster.create(podKind, podOf(at("p")))
  await cluster.patchStatus(podKind, at("p"), { status })
  labels.a = "2"
  status.conditions.push({ type: "Ready" })
  for (const name of ["a", "b"]) expect((await cluster.get(secretKind, at(name)))?.metadata.labels).toEqual({ a: "1" })
  expect((await cluster.get(podKind, at("p")))?.status?.conditions).toEqual([])
})

test("a Pod is put on a node once", async () => {
  const { cluster } = begin()
  await cluster.create(podKind, podOf(at("a")))
  const bound = await cluster.mergePatch(podKind, at("a"), { spec: { nodeName: "one" } })
  expect(bound.spec.nodeName).toBe("one")
  for (const nodeName of ["two", null])
    await expect(cluster.mergePatch(podKind, at("a"), { spec: { nodeName } })).rejects.toMatchObject({
      code: "ApiInvalid",
    })
})

test("a Pod that has ended needs no grace", async () => {
  const { cluster } = begin()
  await cluster.create(podKind, podOf(at("a"), "node"))
  await cluster.patchStatus(podKind, at("a"), { status: { phase: "Failed" } })
  await cluster.delete(podKind, at("a"))
  expect(await cluster.get(podKind, at("a"))).toBeUndefined()
})

test("the cascade gives Pods their grace and takes the rest at once", async () => {
  const { cluster, clock } = begin()
  const instance = await cluster.create(mcpInstanceKind, instanceOf(at("a")))
  const owned = { ...at("a"), ownerReferences: [ownedBy(instance)] }
  await cluster.create(podKind, podOf(owned, "node"))
  await cluster.create(serviceKind, serviceOf(owned))
  await cluster.delete(mcpInstanceKind, at("a"))
  expect(await cluster.get(serviceKind, at("a"))).toBeDefined()
  await clock.advance(0)
  expect(await cluster.get(serviceKind, at("a"))).toBeUndefined()
  expect((await cluster.get(podKind, at("a")))?.metadata.deletionGracePeriodSeconds).toBe(10)
})

test("an owner of the same UID counts only under its own kind, name and namespace", async () => {
  const { cluster, clock } = begin()
  const target = await cluster.create(mcpTargetKind, targetOf(at("a")))
  const wrong = { ...ownedBy(target), name: "another" }
  await cluster.create(secretKind, secretOf({ ...at("wrong"), ownerReferences: [wrong] }))
  await cluster.create(secretKind, secretOf({ ...at("right"), ownerReferences: [ownedBy(target)] }))
  await cluster.create(secretKind, secretOf({ namespace: "far", name: "far", ownerReferences: [ownedBy(target)] }))
  await clock.advance(0)
  expect(await cluster.get(secretKind, at("wrong"))).toBeUndefined()
  expect(await cluster.get(secretKind, { namespace: "far", name: "far" })).toBeUndefined()
  expect(await cluster.get(secretKind, at("right"))).toBeDefined()
})

test("a refusal names every broken field and never a Secret's value", async () => {
  const { cluster } = begin()
  const target = targetOf(at("a"), { port: 0, path: "x" })
  await expect(cluster.create(mcpTargetKind, target)).rejects.toMatchObject({
    message: expect.stringMatching(/spec\.port: .*; spec\.path: /),
  })
  const secret = secretOf(at("a"), { data: { TOKEN: "not base64: hunter2" } })
  const error = await cluster.create(secretKind, secret).catch((refused: unknown) => refused)
  expect(JSON.stringify([String(error), error])).toMatch(/data\.TOKEN/)
  expect(JSON.stringify([String(error), error])).not.toMatch(/hunter2/)
})

test("a reflection that falls behind the history heals itself by a new list", async () => {
  const { cluster, faults, direct, clock } = begin(5)
  const reflection = cluster.watch(secretKind, { namespace })
  await clock.advance(0)
  faults.dropWatches()
  for (let index = 0; index < 20; index++) await direct.create(secretKind, secretOf(at(`s${index}`)))
  await direct.delete(secretKind, at("s0"))
  await clock.advance(10_000)
  expect(reflection.size).toBe(19)
  expect(faults.calls.filter(({ verb }) => verb === "list")).toHaveLength(2)
  await cluster.close()
})

test("bookmarks keep a quiet reflection alive: no new list or watch in an hour, and a closed cluster has no timers", async () => {
  const { cluster, faults, clock } = begin()
  const reflection = cluster.watch(secretKind, { namespace })
  await clock.advance(3_600_000)
  expect(faults.calls.map(({ verb }) => verb)).toEqual(["list", "watch"])
  expect(reflection.silenceMs()).toBeLessThan(75_000)
  await cluster.close()
  expect(clock.pending).toBe(0)
})

test("a client's cache lags behind while the cluster itself does not", async () => {
  const { cluster, faults, direct, clock } = begin()
  const lagging = cluster.watch(secretKind, { namespace })
  const prompt = direct.watch(secretKind, { namespace })
  await clock.advance(0)
  faults.lag(10_000)
  await cluster.create(secretKind, secretOf(at("a")))
  await clock.advance(9_999)
  expect([lagging.size, prompt.size]).toEqual([0, 1])
  expect(await cluster.get(secretKind, at("a"))).toBeDefined()
  await clock.advance(1)
  expect(lagging.size).toBe(1)
  await cluster.close()
})

test("calls fail as told, before or after they took effect, for one client only", async () => {
  const { cluster, faults, direct } = begin()
  faults.fail({ verb: "create", kind: "Secret", after: 1 })
  faults.fail({ verb: "create", name: "lost", answerLost: true, code: "ApiTooManyRequests" })
  await cluster.create(secretKind, secretOf(at("a")))
  await expect(cluster.create(secretKind, secretOf(at("b")))).rejects.toMatchObject({ code: "ClusterUnavailable" })
  await direct.create(secretKind, secretOf(at("c")))
  await cluster.create(secretKind, secretOf(at("b")))
  const lost = cluster.create(secretKind, secretOf(at("lost")))
  await expect(lost).rejects.toMatchObject({ code: "ApiTooManyRequests" })
  expect(await direct.get(secretKind, at("lost"))).toBeDefined()
})

test("a call of a caller who has given up does nothing", async () => {
  const { cluster } = begin()
  const signal = AbortSignal.abort()
  await expect(cluster.create(secretKind, secretOf(at("a")), { signal })).rejects.toMatchObject({ name: "AbortError" })
  expect(await cluster.get(secretKind, at("a"))).toBeUndefined()
})

test("logs come from the node; without one, or without the Pod, there are none", async () => {
  const { cluster } = begin()
  await expect(cluster.podLogs(at("a"), {})).rejects.toMatchObject({ code: "ApiNotFound" })
  await cluster.create(podKind, podOf(at("a")))
  await expect(cluster.podLogs(at("a"), {})).rejects.toMatchObject({ code: "ApiInvalid" })
  const withdraw = cluster.registerLogs({
    podLogs: async ({ name }, { tailLines }) => `${name} ${tailLines}`,
    streamLogs: async function* ({ name }) {
      yield `${name} 1`
      yield `${name} 2`
    },
  })
  expect(await cluster.podLogs(at("a"), { tailLines: 3 })).toBe("a 3")
  expect(await Readable.from(cluster.streamLogs(at("a"), {})).toArray()).toEqual(["a 1", "a 2"])
  withdraw()
  await expect(cluster.podLogs(at("a"), {})).rejects.toMatchObject({ code: "ApiInvalid" })
})

test("Events are counted for ten minutes and forgotten an hour after they last happened", async () => {
  const { cluster, clock } = begin()
  const regarding = await cluster.create(mcpTargetKind, targetOf(at("a")))
  const record = () => cluster.recordEvent({ regarding, type: "Normal", reason: "Accepted", note: "It is accepted." })
  const counts = async () => (await cluster.list(eventKind, { namespace })).items.map(({ count }: Event) => count)
  await record()
  await clock.advance(9 * 60_000)
  await record()
  expect(await counts()).toEqual([2])
  await clock.advance(10 * 60_000)
  await record()
  expect((await counts()).sort()).toEqual([1, 2])
  await clock.advance(60 * 60_000)
  await record()
  expect(await counts()).toEqual([1])
})

test("a page token that was never given is too old", async () => {
  const { cluster } = begin()
  const list = cluster.list(secretKind, { namespace, continue: "x" })
  await expect(list).rejects.toMatchObject({ code: "ApiGone" })
})

test("a kept object is restored with its UID, times and managers, and without its status", async () => {
  const first = begin()
  await first.cluster.create(mcpTargetKind, targetOf(at("a")))
  await first.direct.mergePatch(mcpTargetKind, at("a"), { spec: { idleTTL: "11m" } })
  await first.cluster.patchStatus(mcpTargetKind, at("a"), { status: { instances: 1 } })
  const before = await first.cluster.get(mcpTargetKind, at("a"))
  const kept = JSON.parse(JSON.stringify(first.cluster.keep(mcpTargetKind, namespace)))
  const second = begin()
  await second.clock.advance(60_000)
  for (const each of kept) second.cluster.restore(mcpTargetKind, each)
  const managed = await second.cluster.getManaged(mcpTargetKind, at("a"))
  const { uid, creationTimestamp, generation } = before?.metadata ?? {}
  expect(managed?.object).toMatchObject({ metadata: { uid, creationTimestamp, generation }, spec: before?.spec })
  expect(managed?.object.status).toBeUndefined()
  expect(managed?.others).toEqual([{ name: "direct", fields: { "f:spec": { "f:idleTTL": {} } } }])
  if (before === undefined) throw new Error("nothing was made")
  const metadata = { ...at("s"), uid: "of-s", ownerReferences: [ownedBy(before)] }
  second.cluster.restore(secretKind, { object: secretOf(metadata) })
  // the sweeper's turn, and another one
  for (let turn = 0; turn < 2; turn++) await new Promise((done) => setImmediate(done))
  expect((await second.cluster.get(secretKind, at("s")))?.data).toEqual({ TOKEN: "b25l" })
})

test("a kept object is refused if its kind does not allow it any more, or its name is taken", async () => {
  const { cluster } = begin()
  await cluster.create(mcpTargetKind, targetOf(at("a")))
  const [kept] = cluster.keep(mcpTargetKind, namespace)
  if (kept === undefined) throw new Error("nothing was kept")
  expect(() => cluster.restore(mcpTargetKind, kept)).toThrow('mcptargets "a" already exists')
  const broken = { ...kept, object: { ...kept.object, spec: { image: "a", port: 99_999 } } }
  await cluster.delete(mcpTargetKind, at("a"))
  expect(() => cluster.restore(mcpTargetKind, broken)).toThrow(/spec\.port/)
  expect(await cluster.get(mcpTargetKind, at("a"))).toBeUndefined()
})

test("a listener hears of each write, also of a deletion", async () => {
  const { cluster } = begin()
  const heard: string[] = []
  cluster.onWrite(({ kind, metadata }) => heard.push(`${kind} ${metadata.name}`))
  await cluster.create(mcpTargetKind, targetOf(at("a")))
  await cluster.create(secretKind, secretOf(at("s")))
  await cluster.delete(mcpTargetKind, at("a"))
  expect(heard).toEqual(["MCPTarget a", "Secret s", "MCPTarget a"])
})

test("a closed cluster answers no more", async () => {
  const { cluster, direct } = begin()
  await cluster.close()
  for (const client of [cluster, direct])
    await expect(client.get(secretKind, at("a"))).rejects.toMatchObject({ code: "ClusterUnavailable" })
})

test("five thousand instances are made, followed and cascaded away", async () => {
  const { cluster, clock } = begin()
  const target = await cluster.create(mcpTargetKind, targetOf(at("t")))
  const reflection = cluster.watch(mcpInstanceKind, { namespace })
  for (let index = 0; index < 5_000; index++)
    await cluster.create(mcpInstanceKind, instanceOf({ ...at(`i${index}`), ownerReferences: [ownedBy(target)] }))
  await clock.advance(10_000)
  expect(reflection.size).toBe(5_000)
  await cluster.delete(mcpTargetKind, at("t"))
  await clock.advance(10_000)
  expect(reflection.size).toBe(0)
  await cluster.close()
})
