import { randomBytes } from "node:crypto"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { Kind, KubeObject } from "../../../src/api/kinds/kind.ts"
import {
  type Event,
  eventKind,
  type Lease,
  leaseKind,
  secretKind,
  serviceKind,
} from "../../../src/api/kinds/kubernetes.ts"
import { mcpInstanceKind } from "../../../src/api/kinds/mcp-instance.ts"
import { mcpTargetKind } from "../../../src/api/kinds/mcp-target.ts"
import { podKind } from "../../../src/api/kinds/pod.ts"
import type { ClusterPort, ObjectRef } from "../../../src/ports/cluster.ts"
import { eventually } from "../processes.ts"
import { describeRefusals } from "./cluster-refusals.ts"
import { describeWatch } from "./cluster-watch.ts"
import { instanceOf, ownedBy, podOf, secretOf, serviceOf, targetOf } from "./objects.ts"
import { describeRemoteRefusals } from "./remote-refusals.ts"

/** A cluster that the contract is tried on. */
export type ClusterUnderTest = {
  /** Two clients of one cluster, with different field managers. */
  readonly cluster: ClusterPort
  readonly other: ClusterPort
  /** An empty namespace that exists, where Pods may be made. */
  readonly namespace: string
  close(): Promise<void>
}

/** What the parts of the contract share. */
export type Bench = ClusterUnderTest & {
  /** A name that no other test uses, and its metadata. */
  fresh(): ObjectRef
}

/** Background work of a real cluster takes a while. */
const backgroundMs = 30_000

/** What every cluster does that the program runs on: only what Kubernetes itself promises. */
export const describeClusterContract = (name: string, makeCluster: () => Promise<ClusterUnderTest>): void => {
  describe(`the cluster contract on ${name}`, { timeout: 60_000 }, () => {
    let made: ClusterUnderTest
    let count = 0
    const prefix = `t${randomBytes(3).toString("hex")}`
    beforeAll(async () => {
      made = await makeCluster()
    })
    afterAll(() => made?.close())
    const bench: Bench = {
      get cluster() {
        return made.cluster
      },
      get other() {
        return made.other
      },
      get namespace() {
        return made.namespace
      },
      close: async () => {},
      fresh: () => ({ namespace: made.namespace, name: `${prefix}-${count++}` }),
    }
    describeObjects(bench)
    describeApply(bench)
    describeDeletion(bench)
    describeLists(bench)
    describeEvents(bench)
    describeWatch(bench)
    describeRefusals(bench)
    describeRemoteRefusals(bench)
  })
}

const gone = <T extends KubeObject>({ cluster }: Bench, kind: Kind<T>, ref: ObjectRef): Promise<void> =>
  eventually(async () => (await cluster.get(kind, ref)) === undefined, backgroundMs, `${kind.kind} ${ref.name} goes`)

const describeObjects = (bench: Bench): void => {
  test("a new object gets uid, version, generation 1 and a time, and shares nothing with what was given", async () => {
    const given = { ...targetOf(bench.fresh()), spec: { ...targetOf(bench.fresh()).spec, args: ["a"] } }
    const made = await bench.cluster.create(mcpTargetKind, given)
    expect(made.metadata).toMatchObject({ generation: 1, name: given.metadata.name })
    expect(made.metadata.uid).toMatch(/^[0-9a-f-]{36}$/)
    expect(made.metadata.resourceVersion).toMatch(/^\d+$/)
    expect(made.metadata.creationTimestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
    expect(Object.isFrozen(made) && Object.isFrozen(made.metadata) && Object.isFrozen(made.spec.args)).toBe(true)
    given.spec.args.push("b")
    expect((await bench.cluster.get(mcpTargetKind, refOf(given)))?.spec.args).toEqual(["a"])
  })

  test("a dry run answers with the object as it would be, and creates nothing", async () => {
    const ref = bench.fresh()
    const shown = await bench.cluster.create(mcpTargetKind, targetOf(ref), { dryRun: true })
    expect(shown.spec).toMatchObject({ statefulness: "stateful", isolationBoundary: "per_user" })
    expect(await bench.cluster.get(mcpTargetKind, ref)).toBeUndefined()
    await bench.cluster.create(mcpTargetKind, targetOf(ref))
    const again = bench.cluster.create(mcpTargetKind, targetOf(ref), { dryRun: true })
    await expect(again).rejects.toMatchObject({ code: "ApiAlreadyExists" })
  })

  test("defaults are filled in, unknown fields and an early status are dropped", async () => {
    const given = { ...targetOf(bench.fresh(), { colour: "red" }), status: { instances: 7 } }
    const made = await bench.cluster.create(mcpTargetKind, given)
    expect(made.spec).toMatchObject({
      transportType: "kubernetes",
      statefulness: "stateful",
      isolationBoundary: "per_user",
    })
    expect(made.spec).not.toHaveProperty("colour")
    expect(made.status).toBeUndefined()
  })

  test("a name is given once, and per kind", async () => {
    const ref = bench.fresh()
    await bench.cluster.create(mcpTargetKind, targetOf(ref))
    await expect(bench.cluster.create(mcpTargetKind, targetOf(ref))).rejects.toMatchObject({ code: "ApiAlreadyExists" })
    await bench.cluster.create(mcpInstanceKind, instanceOf(ref))
  })

  test("what is not there is undefined, absent or not found", async () => {
    const { cluster } = bench
    const ref = bench.fresh()
    const lacking = { code: "ApiNotFound" }
    expect(await cluster.get(mcpTargetKind, ref)).toBeUndefined()
    expect(await cluster.delete(mcpTargetKind, ref)).toBe("absent")
    await expect(cluster.mergePatch(mcpTargetKind, ref, { spec: { paused: true } })).rejects.toMatchObject(lacking)
    await expect(cluster.patchStatus(mcpTargetKind, ref, { status: { ready: 1 } })).rejects.toMatchObject(lacking)
    await expect(cluster.podLogs(ref, {})).rejects.toMatchObject(lacking)
    await expect(cluster.streamLogs(ref, {})[Symbol.asyncIterator]().next()).rejects.toMatchObject(lacking)
  })

  test("the generation counts changes of the spec, the version every change, and no change is no write", async () => {
    const { cluster } = bench
    const ref = bench.fresh()
    const made = await cluster.create(mcpTargetKind, targetOf(ref))
    const paused = await cluster.mergePatch(mcpTargetKind, ref, { spec: { paused: true } })
    expect(paused.metadata.generation).toBe(2)
    const labelled = await cluster.mergePatch(mcpTargetKind, ref, { metadata: { labels: { a: "b" } } })
    expect(labelled.metadata.generation).toBe(2)
    const counted = await cluster.patchStatus(mcpTargetKind, ref, { status: { ready: 1 } })
    expect(counted.metadata.generation).toBe(2)
    const versions = [made, paused, labelled, counted].map(({ metadata }) => metadata.resourceVersion)
    expect(new Set(versions).size).toBe(4)
    const again = await cluster.mergePatch(mcpTargetKind, ref, { spec: { paused: true } })
    const same = await cluster.patchStatus(mcpTargetKind, ref, { status: { ready: 1 } })
    for (const { metadata } of [again, same]) expect(metadata.resourceVersion).toBe(versions[3])
  })

  test("a patch leaves the status alone, and a status patch everything else", async () => {
    const { cluster } = bench
    const ref = bench.fresh()
    await cluster.create(mcpTargetKind, targetOf(ref))
    const patched = await cluster.mergePatch(mcpTargetKind, ref, { spec: { paused: true }, status: { ready: 9 } })
    expect(patched.status).toBeUndefined()
    const status = { spec: { paused: false }, status: { ready: 1, failed: 2 } }
    const told = await cluster.patchStatus(mcpTargetKind, ref, status)
    expect(told).toMatchObject({ spec: { paused: true }, status: { ready: 1, failed: 2 } })
    const removed = await cluster.patchStatus(mcpTargetKind, ref, { status: { failed: null } })
    expect(removed.status).toEqual({ ready: 1 })
  })

  test("a patch of the spec holds for the generation that was read, whatever was written into the status since", async () => {
    const { cluster } = bench
    const ref = bench.fresh()
    const limits = { cpu: "1", memory: "1Gi" }
    const read = await cluster.create(mcpTargetKind, targetOf(ref, { args: ["a"], resources: { limits } }))
    await cluster.patchStatus(mcpTargetKind, ref, { status: { ready: 1 } })
    const change = { args: ["b"], paused: true, resources: { limits: { cpu: null, memory: "2Gi" } }, env: null }
    const written = await cluster.mergePatchSpec(mcpTargetKind, read, change)
    expect(written.spec).toMatchObject({ args: ["b"], paused: true, port: read.spec.port })
    expect(written.spec.resources).toEqual({ limits: { memory: "2Gi" } })
    expect(written).toMatchObject({ metadata: { generation: 2 }, status: { ready: 1 } })
    const stale = { code: "ApiConflict" }
    await expect(cluster.mergePatchSpec(mcpTargetKind, read, { paused: false })).rejects.toMatchObject(stale)
    const namesake = { ...written, metadata: { ...written.metadata, uid: "00000000-0000-0000-0000-000000000000" } }
    await expect(cluster.mergePatchSpec(mcpTargetKind, namesake, { paused: false })).rejects.toMatchObject(stale)
    const invalid = cluster.mergePatchSpec(mcpTargetKind, written, { port: 0 })
    await expect(invalid).rejects.toMatchObject({ code: "ApiInvalid", message: expect.stringContaining("spec.port") })
    expect((await cluster.get(mcpTargetKind, ref))?.spec).toEqual(written.spec)
    const absent = { ...read, metadata: bench.fresh() }
    await expect(cluster.mergePatchSpec(mcpTargetKind, absent, { paused: true })).rejects.toMatchObject({
      code: "ApiNotFound",
    })
  })

  test("a merge patch removes with null, merges objects and replaces lists", async () => {
    const { cluster } = bench
    const ref = bench.fresh()
    const spec = { args: ["a", "b"], access: { users: ["ann"], groups: ["team"] } }
    await cluster.create(mcpTargetKind, targetOf({ ...ref, labels: { one: "1", two: "2" } }, spec))
    const patch = { metadata: { labels: { one: null } }, spec: { args: ["c"], access: { users: null } } }
    const patched = await cluster.mergePatch(mcpTargetKind, ref, patch)
    expect(patched.metadata.labels).toEqual({ two: "2" })
    expect(patched.spec).toMatchObject({ args: ["c"], access: { groups: ["team"] } })
    expect(patched.spec.access).not.toHaveProperty("users")
  })

  test("a patch that names an old version or another uid is refused", async () => {
    const { cluster } = bench
    const ref = bench.fresh()
    const { metadata } = await cluster.create(mcpTargetKind, targetOf(ref))
    const { resourceVersion, uid } = metadata
    await cluster.mergePatch(mcpTargetKind, ref, { metadata: { resourceVersion, uid }, spec: { paused: true } })
    const stale = { metadata: { resourceVersion }, spec: { paused: false }, status: { ready: 5 } }
    const stranger = { metadata: { uid: "00000000-0000-4000-8000-000000000000" }, spec: {}, status: { ready: 5 } }
    for (const patch of [stale, stranger]) {
      const refusal = { code: "ApiConflict" }
      await expect(cluster.mergePatch(mcpTargetKind, ref, patch)).rejects.toMatchObject(refusal)
      await expect(cluster.patchStatus(mcpTargetKind, ref, patch)).rejects.toMatchObject(refusal)
    }
    expect(await cluster.get(mcpTargetKind, ref)).toMatchObject({ spec: { paused: true } })
  })

  test("of two replacements of one version, one wins", async () => {
    const { cluster, other } = bench
    const ref = bench.fresh()
    const lease: Lease = { apiVersion: leaseKind.apiVersion, kind: leaseKind.kind, metadata: ref, spec: {} }
    const made = await cluster.create(leaseKind, lease)
    const claim = (holderIdentity: string): Lease => ({ ...made, spec: { holderIdentity } })
    const claims = await Promise.allSettled([
      cluster.replace(leaseKind, claim("one")),
      other.replace(leaseKind, claim("two")),
    ])
    const [won] = claims.flatMap((each) => (each.status === "fulfilled" ? [each.value.spec?.holderIdentity] : []))
    const lost = claims.flatMap((each) => (each.status === "rejected" ? [each.reason.code] : []))
    expect(lost).toEqual(["ApiConflict"])
    expect((await cluster.get(leaseKind, ref))?.spec?.holderIdentity).toBe(won)
  })

  test("a Service gets an address and keeps it", async () => {
    const ref = bench.fresh()
    const made = await bench.cluster.apply(serviceKind, serviceOf(ref))
    expect(made.spec.clusterIP).toMatch(/^[0-9a-f.:]+$/)
    const again = await bench.cluster.apply(serviceKind, serviceOf({ ...ref, labels: { a: "b" } }))
    expect(again.spec.clusterIP).toBe(made.spec.clusterIP)
  })

  test("an immutable Secret keeps its values, but may change owners", async () => {
    const { cluster } = bench
    const ref = bench.fresh()
    const owner = await cluster.create(mcpTargetKind, targetOf(bench.fresh()))
    await cluster.create(secretKind, secretOf(ref, { immutable: true }))
    for (const patch of [{ data: { TOKEN: "dHdv" } }, { data: { MORE: "dHdv" } }, { data: null }, { immutable: false }])
      await expect(cluster.mergePatch(secretKind, ref, patch)).rejects.toMatchObject({ code: "ApiInvalid" })
    const owned = await cluster.mergePatch(secretKind, ref, { metadata: { ownerReferences: [ownedBy(owner)] } })
    expect(owned).toMatchObject({
      data: { TOKEN: "b25l" },
      metadata: { ownerReferences: [{ uid: owner.metadata.uid }] },
    })
  })
}

const describeApply = (bench: Bench): void => {
  test("apply makes the object, then sets what is given and drops what the same manager no longer gives", async () => {
    const { cluster } = bench
    const ref = bench.fresh()
    const made = await cluster.apply(
      mcpTargetKind,
      targetOf({ ...ref, labels: { a: "1" } }, { args: ["x"], paused: true }),
    )
    expect(made.spec).toMatchObject({ args: ["x"], paused: true, isolationBoundary: "per_user" })
    const next = await cluster.apply(mcpTargetKind, targetOf(ref, { args: ["y"] }))
    expect(next.spec.args).toEqual(["y"])
    expect(next.spec).not.toHaveProperty("paused")
    expect(next.metadata.labels ?? {}).toEqual({})
    expect(next.metadata.uid).toBe(made.metadata.uid)
    const same = await cluster.apply(mcpTargetKind, targetOf(ref, { args: ["y"] }))
    expect(same.metadata.resourceVersion).toBe(next.metadata.resourceVersion)
  })

  test("apply leaves what others set, and takes over what it gives", async () => {
    const { cluster, other } = bench
    const ref = bench.fresh()
    await cluster.apply(mcpTargetKind, targetOf(ref, { paused: true }))
    await other.mergePatch(mcpTargetKind, ref, { metadata: { labels: { theirs: "1" } }, spec: { maxInstances: 3 } })
    const kept = await cluster.apply(mcpTargetKind, targetOf(ref, {}))
    expect(kept.metadata.labels).toEqual({ theirs: "1" })
    expect(kept.spec.maxInstances).toBe(3)
    const taken = await cluster.apply(mcpTargetKind, targetOf(ref, { maxInstances: 5 }))
    expect(taken.spec.maxInstances).toBe(5)
    const dropped = await cluster.apply(mcpTargetKind, targetOf(ref))
    expect(dropped.spec).not.toHaveProperty("maxInstances")
  })

  test("what two managers apply alike stays until both have dropped it", async () => {
    const { cluster, other } = bench
    const ref = bench.fresh()
    await cluster.apply(mcpTargetKind, targetOf(ref, { paused: true }))
    await other.apply(mcpTargetKind, targetOf(ref, { paused: true }))
    expect((await cluster.apply(mcpTargetKind, targetOf(ref))).spec.paused).toBe(true)
    expect((await other.apply(mcpTargetKind, targetOf(ref))).spec).not.toHaveProperty("paused")
  })

  test("a field is its last writer's, and of no interest to who asks for the others'", async () => {
    const { cluster, other } = bench
    const ref = bench.fresh()
    await cluster.create(mcpTargetKind, targetOf(ref, { access: { users: ["ann"] }, args: ["a"] }))
    const before = await cluster.getManaged(mcpTargetKind, ref)
    expect(before?.others).toEqual([])
    const spec = { access: { groups: ["team"] }, args: ["b"] }
    const changed = await other.mergePatch(mcpTargetKind, ref, { spec })
    await other.patchStatus(mcpTargetKind, ref, { status: { ready: 1 } })
    const after = await cluster.getManaged(mcpTargetKind, ref)
    expect(after?.object.spec).toEqual(changed.spec)
    expect(after?.others.map(({ fields }) => fields)).toEqual([
      { "f:spec": { "f:access": { "f:groups": {} }, "f:args": {} } },
    ])
    await cluster.mergePatch(mcpTargetKind, ref, { spec: { args: ["c"] } })
    const [rest] = (await cluster.getManaged(mcpTargetKind, ref))?.others ?? []
    expect(rest?.fields).toEqual({ "f:spec": { "f:access": { "f:groups": {} } } })
    expect(await cluster.getManaged(mcpTargetKind, bench.fresh())).toBeUndefined()
  })

  test("apply leaves the status alone and refuses an old version", async () => {
    const { cluster } = bench
    const ref = bench.fresh()
    const made = await cluster.apply(mcpTargetKind, targetOf(ref))
    await cluster.patchStatus(mcpTargetKind, ref, { status: { ready: 2 } })
    const applied = await cluster.apply(mcpTargetKind, { ...targetOf(ref, { paused: true }), status: { ready: 9 } })
    expect(applied.status).toEqual({ ready: 2 })
    const { resourceVersion } = made.metadata
    const stale = targetOf({ ...ref, ...(resourceVersion === undefined ? {} : { resourceVersion }) })
    await expect(cluster.apply(mcpTargetKind, stale)).rejects.toMatchObject({ code: "ApiConflict" })
  })
}

const describeDeletion = (bench: Bench): void => {
  test("a delete checks uid and version", async () => {
    const { cluster } = bench
    const ref = bench.fresh()
    const first = await cluster.create(mcpTargetKind, targetOf(ref))
    const { uid = "", resourceVersion = "" } = first.metadata
    const now = await cluster.mergePatch(mcpTargetKind, ref, { spec: { paused: true } })
    const another = "00000000-0000-4000-8000-000000000000"
    expect(await cluster.delete(mcpTargetKind, ref, { preconditions: { uid: another } })).toBe("absent")
    const stale = cluster.delete(mcpTargetKind, ref, { preconditions: { uid, resourceVersion } })
    await expect(stale).rejects.toMatchObject({ code: "ApiConflict" })
    const exact = { uid, resourceVersion: now.metadata.resourceVersion ?? "" }
    expect(await cluster.delete(mcpTargetKind, ref, { preconditions: exact })).toBe("deleted")
    expect(await cluster.get(mcpTargetKind, ref)).toBeUndefined()
    expect(await cluster.delete(mcpTargetKind, ref)).toBe("absent")
  })

  test("an object with a finalizer stays, marked, until the finalizer is gone", async () => {
    const { cluster } = bench
    const ref = bench.fresh()
    await cluster.create(mcpTargetKind, targetOf({ ...ref, finalizers: ["test.example/hold"] }))
    expect(await cluster.delete(mcpTargetKind, ref)).toBe("deleted")
    const held = await cluster.get(mcpTargetKind, ref)
    expect(held?.metadata.deletionTimestamp).toMatch(/Z$/)
    expect(held?.metadata.generation).toBe(2)
    await cluster.mergePatch(mcpTargetKind, ref, { metadata: { finalizers: null } })
    expect(await cluster.get(mcpTargetKind, ref)).toBeUndefined()
  })

  test("a Pod on a node gets its grace and stays until the node deletes it with none", async () => {
    const { cluster } = bench
    const ref = bench.fresh()
    await cluster.create(podKind, podOf(ref, "nowhere"))
    expect(await cluster.delete(podKind, ref)).toBe("deleted")
    const ending = await cluster.get(podKind, ref)
    expect(ending?.metadata).toMatchObject({ deletionGracePeriodSeconds: 10, deletionTimestamp: expect.any(String) })
    await cluster.delete(podKind, ref, { gracePeriodSeconds: 5 })
    expect((await cluster.get(podKind, ref))?.metadata.deletionGracePeriodSeconds).toBe(5)
    expect(await cluster.delete(podKind, ref, { gracePeriodSeconds: 0 })).toBe("deleted")
    expect(await cluster.get(podKind, ref)).toBeUndefined()
  })

  test("a Pod without a node goes at once", async () => {
    const ref = bench.fresh()
    await bench.cluster.create(podKind, podOf(ref))
    expect(await bench.cluster.delete(podKind, ref)).toBe("deleted")
    expect(await bench.cluster.get(podKind, ref)).toBeUndefined()
  })

  test("what an object owns goes after it, down to the last", async () => {
    const { cluster } = bench
    const target = await cluster.create(mcpTargetKind, targetOf(bench.fresh()))
    const middle = { ...bench.fresh(), ownerReferences: [ownedBy(target)] }
    const instance = await cluster.create(mcpInstanceKind, instanceOf(middle))
    const leaf = bench.fresh()
    await cluster.create(secretKind, secretOf({ ...leaf, ownerReferences: [ownedBy(instance)] }))
    await cluster.delete(mcpTargetKind, refOf(target))
    await gone(bench, mcpInstanceKind, middle)
    await gone(bench, secretKind, leaf)
  })

  test("an object with two owners stays until both are gone", async () => {
    const { cluster } = bench
    const [one, two] = [bench.fresh(), bench.fresh()]
    const owners = [
      await cluster.create(mcpTargetKind, targetOf(one)),
      await cluster.create(mcpTargetKind, targetOf(two)),
    ]
    const ref = bench.fresh()
    await cluster.create(secretKind, secretOf({ ...ref, ownerReferences: owners.map(ownedBy) }))
    await cluster.delete(mcpTargetKind, one)
    // The reference to the owner that is gone goes as well: the collector has looked, and has left the object.
    const left = async () => (await cluster.get(secretKind, ref))?.metadata.ownerReferences?.length === 1
    await eventually(left, backgroundMs, "the reference goes")
    await cluster.delete(mcpTargetKind, two)
    await gone(bench, secretKind, ref)
  })

  test("an object that is made with an owner that is no more goes as well", async () => {
    const { cluster } = bench
    const target = await cluster.create(mcpTargetKind, targetOf(bench.fresh()))
    await cluster.delete(mcpTargetKind, refOf(target))
    await cluster.create(mcpTargetKind, targetOf(refOf(target)))
    const ref = bench.fresh()
    await cluster.create(secretKind, secretOf({ ...ref, ownerReferences: [ownedBy(target)] }))
    await gone(bench, secretKind, ref)
  })
}

const refOf = ({ metadata }: KubeObject): ObjectRef => ({ namespace: metadata.namespace ?? "", name: metadata.name })

const describeLists = (bench: Bench): void => {
  test("lists select by label, by name and by the kind's selectable fields", async () => {
    const { cluster, namespace } = bench
    const [one, two] = [bench.fresh(), bench.fresh()]
    const target = bench.fresh().name
    await cluster.create(
      mcpInstanceKind,
      instanceOf({ ...one, labels: { set: target, part: "a" } }, { targetName: target }),
    )
    await cluster.create(mcpInstanceKind, instanceOf({ ...two, labels: { set: target, part: "b" } }))
    const names = async (selection: { labelSelector?: string; fieldSelector?: string }) =>
      (await cluster.list(mcpInstanceKind, { namespace, ...selection })).items.map(({ metadata }) => metadata.name)
    expect(await names({ labelSelector: `set=${target}` })).toEqual([one.name, two.name])
    expect(await names({ labelSelector: `set=${target},part=b` })).toEqual([two.name])
    expect(await names({ fieldSelector: `spec.targetName=${target}` })).toEqual([one.name])
    expect(await names({ fieldSelector: `metadata.name=${two.name}` })).toEqual([two.name])
    expect(await names({ labelSelector: "set=nobody" })).toEqual([])
    const bad = cluster.list(mcpInstanceKind, { namespace, fieldSelector: "spec.image=x" })
    await expect(bad).rejects.toMatchObject({ code: "ApiInvalid" })
  })

  test("pages of a list show one moment, whole", async () => {
    const { cluster, namespace } = bench
    const label = bench.fresh().name
    const refs = [1, 2, 3, 4, 5].map(() => bench.fresh())
    for (const ref of refs) await cluster.create(secretKind, secretOf({ ...ref, labels: { set: label } }))
    const selection = { namespace, labelSelector: `set=${label}`, limit: 2 }
    const first = await cluster.list(secretKind, selection)
    await cluster.delete(secretKind, refs[4] as ObjectRef)
    const names = first.items.map(({ metadata }) => metadata.name)
    const versions = new Set([first.resourceVersion])
    for (let next = first.continue; next !== undefined; ) {
      const page = await cluster.list(secretKind, { ...selection, continue: next })
      names.push(...page.items.map(({ metadata }) => metadata.name))
      versions.add(page.resourceVersion)
      next = page.continue
    }
    expect(names).toEqual(refs.map(({ name }) => name))
    expect(versions.size).toBe(1)
  })
}

const describeEvents = (bench: Bench): void => {
  test("equal Events are counted, others are kept apart", async () => {
    const { cluster, namespace } = bench
    const regarding = await cluster.create(mcpTargetKind, targetOf(bench.fresh()))
    const event = { regarding, type: "Warning", reason: "StartFailed", note: "It exits with 1." } as const
    await cluster.recordEvent(event)
    await cluster.recordEvent(event)
    await cluster.recordEvent({ ...event, type: "Normal", reason: "Started", note: "It runs." })
    const about = { namespace, fieldSelector: `involvedObject.name=${regarding.metadata.name}` }
    const told = async () => {
      const { items } = await cluster.list(eventKind, about)
      const line = ({ type, reason, message, count }: Event) => `${count} ${type} ${reason}: ${message}`
      return items.map(line).sort().join("\n") === "1 Normal Started: It runs.\n2 Warning StartFailed: It exits with 1."
    }
    await eventually(told, backgroundMs, "both Events are there")
  })
}
