import { afterEach, describe, expect, test } from "vitest"
import { createMemoryCluster } from "../../src/adapters/memory/cluster.ts"
import type { Condition } from "../../src/api/kinds/kind.ts"
import { fromSecretData, type Secret, secretKind } from "../../src/api/kinds/kubernetes.ts"
import { type MCPInstance, type MCPInstanceStatus, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { type MCPTarget, type MCPTargetSpec, mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import { labels } from "../../src/api/names.ts"
import { createCompose } from "../../src/credentials/compose.ts"
import { createNeedleShare } from "../../src/credentials/needle-share.ts"
import { setScope } from "../../src/credentials/store.ts"
import type { Identity } from "../../src/identity/identity.ts"
import { type SubjectKey, subjectKeyFor } from "../../src/identity/subject-key.ts"
import { createPlacement, type PlacementOptions } from "../../src/placement/placement.ts"
import type { Placement, PlacementPort, PlacementRequest } from "../../src/placement/port.ts"
import type { ClusterPort, Reflection } from "../../src/ports/cluster.ts"
import { condition, readyStatus } from "../support/build/placed.ts"
import { identity, target as targetOf } from "../support/build/who.ts"
import { fakeClock } from "../support/fake-clock.ts"
import { quietTelemetry } from "../support/quiet-telemetry.ts"

const namespace = "reflow"
const minute = 60_000
const pod = "http://10.1.0.1:8080/mcp"
const service = "http://10.0.0.1:8080/mcp"
const signal = new AbortController().signal

const options: PlacementOptions = {
  namespace,
  hold_timeout: 45_000,
  idle_ttl: 30 * minute,
  stream_ttl: undefined,
  max_instances: 100,
  expose_subjects: true,
  max_waiting: 10_000,
  issuers: ["corp"],
}

/** The cluster, with a note of each call on instances and Secrets. */
const noting = (cluster: ClusterPort, calls: string[]): ClusterPort =>
  new Proxy(cluster, {
    get: (inner, name: keyof ClusterPort) => {
      const member = inner[name] as (...args: unknown[]) => unknown
      return (...args: unknown[]) => {
        calls.push(`${name} ${(args[0] as { kind?: string } | undefined)?.kind ?? ""}`.trim())
        return member.apply(inner, args)
      }
    },
  })

type Replica = { readonly placement: PlacementPort; readonly calls: string[] }

const setUp = async (spec: Partial<MCPTargetSpec>, more: Partial<PlacementOptions>) => {
  const clock = fakeClock()
  const cluster = createMemoryCluster({ clock, telemetry: quietTelemetry() })
  const made = await cluster.create(mcpTargetKind, {
    ...targetOf(spec),
    metadata: { name: "github", namespace },
  })
  const instances = cluster.watch(mcpInstanceKind, { namespace })
  const targets = cluster.watch(mcpTargetKind, { namespace })
  await clock.advance(0)
  await Promise.all([instances.synced, targets.synced])
  const answering = new Set<string>()
  const cache = { silence: 0, hidden: false }
  const reflection: Reflection<MCPInstance> = {
    synced: instances.synced,
    hasSynced: instances.hasSynced,
    get: (name) => (cache.hidden ? undefined : instances.get(name)),
    items: () => (cache.hidden ? [] : instances.items()),
    get size() {
      return instances.size
    },
    silenceMs: () => cache.silence,
    subscribe: (listener) => instances.subscribe(listener),
    close: () => instances.close(),
  }
  const replicas: Replica[] = []
  const addReplica = (own: Partial<PlacementOptions> = {}): Replica => {
    const calls: string[] = []
    const noted = noting(cluster, calls)
    const placement = createPlacement({
      needles: createNeedleShare(),
      cluster: noted,
      instances: reflection,
      targets,
      compose: createCompose({
        cluster: noted,
        namespace,
        apiUrl: "https://x/api",
      }),
      clock,
      telemetry: quietTelemetry(),
      replica: `gw-${replicas.length}`,
      options: { ...options, ...more, ...own },
      probe: async (url) => (answering.has(url.href) ? "answered" : "refused"),
    })
    const replica = { placement, calls }
    replicas.push(replica)
    return replica
  }
  const own = addReplica()
  return { clock, cluster, target: made, instances, targets, answering, cache, replicas, addReplica, ...own }
}
type World = Awaited<ReturnType<typeof setUp>>

const worlds: World[] = []
const world = async (spec: Partial<MCPTargetSpec> = {}, more: Partial<PlacementOptions> = {}): Promise<World> => {
  const made = await setUp(spec, more)
  worlds.push(made)
  return made
}
afterEach(async () => {
  for (const { clock, cluster, replicas } of worlds.splice(0)) {
    const closed = Promise.all(replicas.map(({ placement }) => placement.close()))
    await clock.advance(5_000)
    await closed
    await cluster.close()
  }
})

type Ask = {
  who?: Identity
  mode?: "create" | "find"
  signal?: AbortSignal
  of?: MCPTarget
  continues?: boolean
  by?: PlacementPort
}

const requestOf = (w: World, ask: Ask = {}): PlacementRequest => {
  const who = ask.who ?? identity()
  const target = ask.of ?? w.target
  return {
    target,
    identity: who,
    subjectKey: subjectKeyFor(target, who, { issuers: ["corp"] }) as SubjectKey,
    mode: ask.mode ?? "create",
    signal: ask.signal ?? signal,
    ...(ask.continues === undefined ? {} : { continues: ask.continues }),
  }
}

/** Asks for a place; the outcome can be looked at without waiting for it. */
const ask = (w: World, how: Ask = {}) => {
  const outcome: {
    placed?: Placement
    error?: { code?: string; data?: Record<string, unknown>; retryAfterSeconds?: number }
  } = {}
  const place = async () => (how.by ?? w.placement).place(requestOf(w, how))
  const promise = place().then(
    (placed) => {
      outcome.placed = placed
    },
    (error) => {
      outcome.error = error
    },
  )
  return Object.assign(outcome, { promise })
}

const list = async (w: World): Promise<readonly MCPInstance[]> =>
  (await w.cluster.list(mcpInstanceKind, { namespace })).items
const secrets = async (w: World): Promise<readonly Secret[]> => (await w.cluster.list(secretKind, { namespace })).items
const only = async (w: World): Promise<MCPInstance> => {
  const all = await list(w)
  expect(all).toHaveLength(1)
  return all[0] as MCPInstance
}

/** Plays the operator. */
const report = async (w: World, status: MCPInstanceStatus): Promise<MCPInstance> => {
  const { metadata } = await only(w)
  const patched = await w.cluster.patchStatus(mcpInstanceKind, { namespace, name: metadata.name }, { status })
  await w.clock.advance(0)
  return patched
}
const conditions = (...each: Condition[]) => ({ conditions: each })
const remove = async (w: World): Promise<void> => {
  await w.cluster.delete(mcpInstanceKind, { namespace, name: (await only(w)).metadata.name })
  await w.clock.advance(0)
}

/** Makes alice's instance and brings it up. */
const bringUp = async (w: World, who: Ask = {}): Promise<Placement> => {
  const asked = ask(w, who)
  await w.clock.advance(0)
  w.answering.add(pod).add(service)
  await report(w, readyStatus({ url: service, podURL: pod }))
  await w.clock.advance(300)
  expect(asked.error).toBeUndefined()
  expect(asked.placed).toBeDefined()
  for (const { calls } of w.replicas) calls.splice(0)
  return asked.placed as Placement
}

describe("a cold start", () => {
  test("makes an immutable Secret and an instance that owns it, and goes on at the first answer, before Ready", async () => {
    const w = await world({ credentials: [{ name: "TOKEN" }] })
    const values = { TOKEN: "canary" }
    await setScope({
      cluster: w.cluster,
      target: w.target,
      namespace,
      scope: "default",
      who: undefined,
      values,
      signal,
    })
    const asked = ask(w)
    await w.clock.advance(0)
    const instance = await only(w)
    const secret = (await secrets(w)).find(({ metadata }) => metadata.name === instance.spec.secretName)
    expect(secret?.immutable).toBe(true)
    expect(fromSecretData(secret?.data)).toEqual(values)
    expect(secret?.metadata.ownerReferences).toEqual([
      {
        apiVersion: "mcp.reflow.io/v1alpha1",
        kind: "MCPInstance",
        name: instance.metadata.name,
        uid: instance.metadata.uid,
      },
    ])
    expect(instance.metadata.annotations?.[labels.subject]).toBe("corp/alice")
    expect(instance.metadata.annotations?.[labels.credentialScopes]?.split(",")).toHaveLength(2)
    expect(JSON.stringify(instance)).not.toContain("canary")

    await report(w, {
      phase: "Starting",
      podURL: pod,
      incarnation: "p.0",
      timings: { queue: 0.1 },
      ...conditions(condition("Ready", "False", "ContainerStarting")),
    })
    await w.clock.advance(1_000)
    expect(asked.placed).toBeUndefined()
    w.answering.add(pod)
    await w.clock.advance(250)
    expect(asked.placed).toMatchObject({
      instance: instance.metadata.name,
      incarnation: "p.0",
      timings: { queue: 0.1 },
      waitedMs: 1_156,
    })
    expect(asked.placed?.url.href).toBe(pod)
    w.answering.add(service)
    await report(w, readyStatus({ url: service, podURL: pod, incarnation: "p.0", timings: { queue: 0.1 } }))
    await w.clock.advance(1_000)
    const warm = ask(w)
    await w.clock.advance(0)
    expect(warm.placed).toMatchObject({ incarnation: "p.0" })
    expect(Object.keys(warm.placed ?? {}).filter((key) => ["timings", "waitedMs"].includes(key))).toEqual([])
  })

  test("goes through the Service from the Service's own first answer on, also if its address comes later", async () => {
    const w = await world()
    const asked = ask(w)
    await w.clock.advance(0)
    w.answering.add(pod)
    await report(w, { phase: "Starting", podURL: pod, incarnation: "p.0" })
    await asked.promise
    expect(asked.placed?.url.href).toBe(pod)
    await report(w, readyStatus({ url: service, podURL: pod, incarnation: "p.0" }))
    const [second, elsewhere] = [ask(w), ask(w, { by: w.addReplica().placement })]
    await w.clock.advance(1_000)
    expect([second.placed, elsewhere.placed]).toEqual([undefined, undefined])
    w.answering.add(service)
    // it was refused before, so that a second answer must confirm the first
    await w.clock.advance(550)
    expect([second.placed?.url.href, elsewhere.placed?.url.href]).toEqual([service, service])
    expect((await w.placement.place(requestOf(w))).url.href).toBe(service)
  })

  test("waits no longer than five seconds for a Service that does not route while the Pod answers", async () => {
    const w = await world()
    const asked = ask(w)
    await w.clock.advance(0)
    w.answering.add(pod)
    await report(w, { phase: "Starting", podURL: pod, incarnation: "p.0" })
    await asked.promise
    await report(w, { phase: "Ready", url: service })
    const second = ask(w)
    await w.clock.advance(4_900)
    expect(second.placed).toBeUndefined()
    await w.clock.advance(100)
    expect(second.placed?.url.href).toBe(pod)
  })

  test("of 100 parallel first requests over three replicas makes one instance and leaves one Secret", async () => {
    const w = await world()
    const three = [w.placement, w.addReplica().placement, w.addReplica().placement]
    const asked = Array.from({ length: 100 }, (_, index) => ask(w, { by: three[index % 3] as PlacementPort }))
    await w.clock.advance(0)
    for (const { calls } of w.replicas)
      expect(calls.filter((call) => call === "create MCPInstance").length).toBeLessThanOrEqual(1)
    w.answering.add(pod).add(service)
    await report(w, readyStatus({ url: service, podURL: pod }))
    await w.clock.advance(300)
    expect(asked.filter(({ placed }) => placed !== undefined)).toHaveLength(100)
    expect((await secrets(w)).map(({ metadata }) => metadata.name)).toEqual([(await only(w)).spec.secretName])
  })

  test("gives two users two instances with their own values, and a shared target's users one without either's", async () => {
    const w = await world()
    const set = (name: string) =>
      setScope({
        cluster: w.cluster,
        target: w.target,
        namespace,
        scope: "user",
        who: { issuer: "corp", name },
        values: { T: name },
        signal,
      })
    await Promise.all([set("alice"), set("bob")])
    ask(w)
    ask(w, { who: identity({ subject: "bob" }) })
    await w.clock.advance(0)
    const all = await list(w)
    expect(all).toHaveLength(2)
    const composed = await Promise.all(
      all.map(({ spec }) => w.cluster.get(secretKind, { namespace, name: spec.secretName ?? "" })),
    )
    expect(composed.map((secret) => fromSecretData(secret?.data).T).sort()).toEqual(["alice", "bob"])

    const shared = await w.cluster.create(mcpTargetKind, {
      ...targetOf({ isolationBoundary: "shared" }),
      metadata: { name: "docs", namespace },
    })
    await w.clock.advance(0)
    ask(w, { of: shared })
    ask(w, { of: shared, who: identity({ subject: "bob" }) })
    await w.clock.advance(0)
    expect((await list(w)).filter(({ spec }) => spec.targetName === "docs")).toHaveLength(1)
  })

  test("goes on when the first who asked has left, and the next joins it", async () => {
    const w = await world()
    const client = new AbortController()
    const first = ask(w, { signal: client.signal })
    client.abort()
    await first.promise
    expect(first.error).toMatchObject({ name: "AbortError" })
    await w.clock.advance(0)
    await only(w)
    const placed = await bringUp(w)
    expect(placed.instance).toBe((await only(w)).metadata.name)
  })

  test("without a required credential makes nothing and says which one and where to set it", async () => {
    const w = await world({ credentials: [{ name: "TOKEN", required: true }, { name: "OTHER" }] })
    const asked = ask(w)
    await w.clock.advance(0)
    expect(asked.error).toMatchObject({
      code: "CredentialMissing",
      data: { names: ["TOKEN"], url: "https://x/api/targets/github/env/me" },
    })
    expect(await list(w)).toHaveLength(0)
    expect(await secrets(w)).toHaveLength(0)
  })

  test("that fails because the API server refuses leaves no Secret behind", async () => {
    const w = await world({ idleTTL: "30m" })
    const broken = { ...w.target, spec: { ...w.target.spec, idleTTL: "1s" } }
    const asked = ask(w, { of: broken })
    await w.clock.advance(0)
    expect(asked.error).toMatchObject({ code: "InstanceFailed", data: { reason: "CreateRefused" } })
    expect(await secrets(w)).toHaveLength(0)
  })

  test("of a paused target is refused, and so is a warm request", async () => {
    const w = await world()
    await bringUp(w)
    const paused = { ...w.target, spec: { ...w.target.spec, paused: true } }
    const asked = ask(w, { of: paused })
    await asked.promise
    expect(asked.error).toMatchObject({ code: "TargetPaused" })
  })

  test("meets an object of its name that belongs to somebody else: a conflict, told and left alone", async () => {
    const w = await world()
    const client = new AbortController()
    ask(w, { signal: client.signal })
    await w.clock.advance(0)
    client.abort()
    const { metadata, spec, apiVersion, kind } = await only(w)
    await remove(w)
    const { name } = metadata
    const stranger = { apiVersion, kind, metadata: { name, namespace }, spec: { ...spec, subjectKey: "user:other" } }
    await w.cluster.create(mcpInstanceKind, stranger)
    const asked = ask(w)
    await w.clock.advance(0)
    expect(asked.error).toMatchObject({ code: "NameConflict" })
    w.cache.hidden = true
    const unseen = w.addReplica()
    const blind = ask(w, { by: unseen.placement })
    await w.clock.advance(0)
    expect(blind.error).toMatchObject({ code: "NameConflict" })
    expect(await secrets(w)).toHaveLength(0)
    expect((await only(w)).spec.subjectKey).toBe("user:other")
  })
})

describe("a warm request", () => {
  test("costs no call to the API server", async () => {
    const w = await world()
    await bringUp(w)
    for (let index = 0; index < 100; index++) await w.placement.place(requestOf(w))
    await w.placement.place(requestOf(w, { mode: "find" }))
    expect(w.calls).toEqual([])
  })

  test("after half the idle TTL waits until its use is recorded", async () => {
    const w = await world()
    await bringUp(w)
    await w.clock.advance(16 * minute)
    w.calls.splice(0)
    const asked = ask(w)
    await w.clock.advance(0)
    expect(asked.placed).toBeDefined()
    expect(w.calls).toEqual(["patchStatus MCPInstance"])
    expect(Date.parse((await only(w)).status?.lastUsedTime ?? "")).toBeGreaterThan(w.clock.now() - 1_000)
  })

  test("whose record loses against the collection is served by a new instance", async () => {
    const w = await world()
    const before = await bringUp(w)
    await w.clock.advance(16 * minute)
    // the delete has happened, and this replica's cache does not know yet
    const patched = w.cluster.delete(mcpInstanceKind, { namespace, name: before.instance })
    const asked = ask(w)
    await patched
    await w.clock.advance(0)
    expect((await only(w)).metadata.uid).not.toBe(before.instanceUID)
    await report(w, readyStatus({ url: service, podURL: pod, incarnation: "new.0" }))
    await w.clock.advance(300)
    expect(asked.placed).toMatchObject({ incarnation: "new.0" })
  })

  test("is held if the answer to its record says that the instance drains", async () => {
    const w = await world()
    const before = await bringUp(w)
    await w.clock.advance(16 * minute)
    const draining = { status: conditions(condition("Ready", "True"), condition("Draining", "True", "MaxLifetime")) }
    // the drain has begun, and this replica's cache does not know yet
    const patched = w.cluster.patchStatus(mcpInstanceKind, { namespace, name: before.instance }, draining)
    const asked = ask(w)
    await patched
    await w.clock.advance(100)
    expect(asked.placed).toBeUndefined()
  })

  test("asks the API server first while the watch is silent, once for all and not each time", async () => {
    const w = await world()
    await bringUp(w)
    w.cache.silence = 75_001
    const asked = Array.from({ length: 20 }, () => ask(w))
    await w.clock.advance(0)
    expect(asked.every(({ placed }) => placed !== undefined)).toBe(true)
    expect(w.calls).toEqual(["get MCPInstance"])
    await w.placement.place(requestOf(w))
    expect(w.calls).toHaveLength(1)
  })

  test("never goes to the address of an instance that the silent cache only believes in", async () => {
    const w = await world()
    const { instance } = await bringUp(w)
    const cached = w.instances.get(instance) as MCPInstance
    await remove(w)
    // a cache that missed the deletion
    const stale: Reflection<MCPInstance> = {
      ...w.instances,
      get: () => cached,
      size: 1,
      silenceMs: () => 80_000,
      subscribe: () => () => {},
    }
    const placement = createPlacement({
      needles: createNeedleShare(),
      cluster: w.cluster,
      instances: stale,
      targets: w.targets,
      compose: createCompose({ cluster: w.cluster, namespace }),
      clock: w.clock,
      telemetry: quietTelemetry(),
      replica: "stale",
      options,
      probe: async () => "answered",
    })
    const asked = ask(w, { by: placement, mode: "find" })
    await w.clock.advance(0)
    expect(asked.error).toMatchObject({ code: "SessionNotFound" })
    await placement.close()
  })
})

describe("a request that may not create", () => {
  test("hears that its session is gone after one read, however many ask, and makes nothing", async () => {
    const w = await world()
    const asked = Array.from({ length: 10 }, () => ask(w, { mode: "find" }))
    await w.clock.advance(0)
    expect(asked.map(({ error }) => error?.code)).toEqual(Array.from({ length: 10 }, () => "SessionNotFound"))
    expect(w.calls).toEqual(["get MCPInstance"])
    expect(await list(w)).toHaveLength(0)
  })

  test("finds an instance that a lagging cache does not know", async () => {
    const w = await world()
    await bringUp(w)
    w.cache.hidden = true
    const other = w.addReplica()
    w.answering.clear()
    const asked = ask(w, { mode: "find", by: other.placement })
    await w.clock.advance(100)
    expect(asked.error).toBeUndefined()
    w.answering.add(pod)
    await w.clock.advance(300)
    expect(asked.placed).toBeDefined()
    expect(other.calls).toEqual(["get MCPInstance"])
  })
})

describe("an instance that cannot run", () => {
  const crash = (more: Partial<MCPInstanceStatus> = {}): MCPInstanceStatus => ({
    phase: "Failed",
    podName: "p",
    ...conditions(condition("Ready", "False", "CrashLoop", "exited with 3")),
    failure: { reason: "CrashLoop", message: "exited with 3", exitCode: 3 },
    ...more,
  })

  test("is told to those who wait and to those who come, at once", async () => {
    const w = await world()
    const waiting = ask(w)
    await w.clock.advance(0)
    await report(w, crash())
    await w.clock.advance(0)
    const next = ask(w)
    await w.clock.advance(0)
    for (const { error } of [waiting, next])
      expect(error).toMatchObject({ code: "InstanceFailed", data: { reason: "CrashLoop", exit_code: 3 } })
  })

  test("is waited for again as soon as the operator starts anew", async () => {
    const w = await world()
    ask(w)
    await w.clock.advance(0)
    await report(w, crash())
    await report(w, { phase: "Starting", starts: 2, ...conditions(condition("Ready", "False", "ContainerStarting")) })
    const asked = ask(w)
    await w.clock.advance(0)
    expect(asked.error).toBeUndefined()
    w.answering.add(pod)
    await report(w, { podURL: pod, incarnation: "q.0" })
    await w.clock.advance(300)
    expect(asked.placed).toMatchObject({ incarnation: "q.0" })
  })
})

describe("holding", () => {
  test("ends with 503 and the scheduler's words, while the instance stays for the next", async () => {
    const w = await world()
    const asked = ask(w)
    await w.clock.advance(0)
    await report(w, { phase: "Pending", ...conditions(condition("Ready", "False", "Unschedulable", "0/3 nodes: cpu")) })
    await w.clock.advance(45_000)
    expect(asked.error).toMatchObject({
      code: "InstanceStarting",
      data: { reason: "Unschedulable", message: "0/3 nodes: cpu" },
    })
    expect(asked.error?.retryAfterSeconds).toBeGreaterThan(0)
    await bringUp(w)
  })

  test("in the queue ends with 429, and a full queue answers so at once", async () => {
    const w = await world()
    const queued = (reason: string) =>
      report(w, { phase: "Queued", ...conditions(condition("Admitted", "False", reason)) })
    const asked = ask(w)
    await w.clock.advance(0)
    await queued("MaxInstancesReached")
    await w.clock.advance(44_000)
    expect(asked.error).toBeUndefined()
    await w.clock.advance(1_000)
    expect(asked.error).toMatchObject({ code: "CapacityExceeded" })
    expect(asked.error?.retryAfterSeconds).toBeGreaterThan(0)
    await queued("QueueFull")
    const full = ask(w)
    await w.clock.advance(0)
    expect(full.error).toMatchObject({ code: "CapacityExceeded" })
  })

  test("tells the operator that somebody waits, from the second second to the end", async () => {
    const w = await world()
    const client = new AbortController()
    const asked = ask(w, { signal: client.signal })
    await w.clock.advance(1_400)
    expect((await only(w)).status?.inUseBy).toBeUndefined()
    await w.clock.advance(200)
    expect(Object.keys((await only(w)).status?.inUseBy ?? {})).toEqual(["gw-0"])
    client.abort()
    await asked.promise
    await w.clock.advance(0)
    expect((await only(w)).status?.inUseBy ?? {}).toEqual({})
  })

  test("an instance that drains for idleness cancels the drain at once", async () => {
    const w = await world()
    await bringUp(w)
    await report(w, conditions(condition("Ready", "True"), condition("Draining", "True", "Idle")))
    const asked = ask(w)
    await w.clock.advance(0)
    expect(asked.placed).toBeUndefined()
    expect(Object.keys((await only(w)).status?.inUseBy ?? {})).toEqual(["gw-0"])
    await report(w, conditions(condition("Ready", "True"), condition("Draining", "False", "NotDraining")))
    await asked.promise
    expect(asked.placed).toBeDefined()
  })

  test("an instance that drains for good is not kept alive by it; its end makes a new one", async () => {
    const w = await world()
    const before = await bringUp(w)
    await report(w, conditions(condition("Ready", "True"), condition("Draining", "True", "Restarted")))
    const asked = ask(w)
    await w.clock.advance(10_000)
    expect((await only(w)).status?.inUseBy ?? {}).toEqual({})
    await remove(w)
    await w.clock.advance(0)
    expect((await only(w)).metadata.uid).not.toBe(before.instanceUID)
    await report(w, readyStatus({ url: service, podURL: pod, incarnation: "new.0" }))
    await w.clock.advance(300)
    expect(asked.placed).toMatchObject({ incarnation: "new.0" })
  })

  test("a drain lets through what belongs to an open call", async () => {
    const w = await world()
    await bringUp(w)
    await report(w, conditions(condition("Ready", "True"), condition("Draining", "True", "Restarted")))
    const asked = ask(w, { mode: "find", continues: true })
    await asked.promise
    expect(asked.placed).toBeDefined()
  })
})

describe("credentials that changed hands", () => {
  test("an identity that lost a group has its instance restarted once, and the next is made without the group's values", async () => {
    const w = await world()
    const who = { issuer: "corp", name: "eng" }
    await setScope({
      cluster: w.cluster,
      target: w.target,
      namespace,
      scope: "group",
      who,
      values: { T: "team" },
      signal,
    })
    const before = await bringUp(w, { who: identity({ groups: ["eng"] }) })
    const asked = [ask(w), ask(w), ask(w)]
    await w.clock.advance(100)
    expect(asked.every(({ placed, error }) => placed === undefined && error === undefined)).toBe(true)
    expect((await only(w)).spec.restartTime).toBeDefined()
    expect(w.calls.filter((call) => call.startsWith("mergePatch"))).toHaveLength(1)
    await remove(w)
    const instance = await only(w)
    expect(instance.metadata.uid).not.toBe(before.instanceUID)
    const secret = await w.cluster.get(secretKind, { namespace, name: instance.spec.secretName ?? "" })
    expect(fromSecretData(secret?.data)).toEqual({})
  })
})

describe("use", () => {
  test("of a call is told from its second second to its end", async () => {
    const w = await world()
    const end = w.placement.beginCall(await bringUp(w))
    await w.clock.advance(2_000)
    expect(Object.keys((await only(w)).status?.inUseBy ?? {})).toEqual(["gw-0"])
    end()
    await w.clock.advance(0)
    expect((await only(w)).status?.inUseBy ?? {}).toEqual({})
  })

  test("of a call is told at once when the instance drains", async () => {
    const w = await world()
    w.placement.beginCall(await bringUp(w))
    await report(w, conditions(condition("Ready", "True"), condition("Draining", "True", "MaxLifetime")))
    expect(Object.keys((await only(w)).status?.inUseBy ?? {})).toEqual(["gw-0"])
  })

  test("of a stream is recorded by its bytes, and by no key", async () => {
    const w = await world()
    const placed = await bringUp(w)
    await w.clock.advance(10 * minute)
    w.placement.touchStream(placed)
    await w.clock.advance(0)
    const { status } = await only(w)
    expect(Date.parse(status?.lastUsedTime ?? "")).toBe(w.clock.now())
    expect(status?.inUseBy).toBeUndefined()
  })

  /** Minutes from a stream's last byte to the last use that is recorded for it. */
  const recordedAfter = async (w: World): Promise<number> => {
    const placed = await bringUp(w)
    // so long after the start that use is recorded at once
    await w.clock.advance(10 * minute)
    w.placement.touchStream(placed)
    const lastByte = w.clock.now()
    await w.clock.advance(400 * minute)
    return (Date.parse((await only(w)).status?.lastUsedTime ?? "") - lastByte) / minute
  }

  test.each([
    ["of the target", "120m", undefined],
    ["of the configuration", undefined, 120 * minute],
    ["of the target, not the configuration's", "120m", 1_000 * minute],
  ])(
    "of a silent stream goes on by the TTL %s, less the idle TTL, and then stops",
    async (_, streamTTL, stream_ttl) => {
      const w = await world(streamTTL === undefined ? {} : { streamTTL }, { stream_ttl })
      // an instance lives an idle TTL of 30 min longer than its last use, and use is recorded each third of that
      const after = await recordedAfter(w)
      expect(after).toBeGreaterThanOrEqual(80)
      expect(after).toBeLessThanOrEqual(90)
    },
  )

  test.each([
    ["without a TTL of streams", undefined],
    ["with one that is no longer than the idle TTL", "30m"],
  ])("of a silent stream %s ends with its last byte", async (_, streamTTL) => {
    const w = await world(streamTTL === undefined ? {} : { streamTTL })
    expect(await recordedAfter(w)).toBe(0)
  })

  test("of an instance that is gone writes nothing to its successor", async () => {
    const w = await world()
    const old = await bringUp(w)
    await remove(w)
    await bringUp(w)
    w.placement.beginCall(old)
    await w.clock.advance(10 * minute)
    w.placement.touchStream(old)
    await w.clock.advance(10 * minute)
    expect((await only(w)).status?.inUseBy).toBeUndefined()
    expect((await only(w)).status?.lastUsedTime).toBeUndefined()
  })
})

describe("an instance that the cluster calls Ready though its port is closed, or open without an answer", () => {
  test("gets nothing sent: the request is held until an address of it answers", async () => {
    const w = await world()
    const asked = ask(w)
    await w.clock.advance(0)
    await report(w, readyStatus({ url: service, podURL: pod }))
    await w.clock.advance(40_000)
    expect([asked.placed, asked.error]).toEqual([undefined, undefined])
    w.answering.add(pod)
    await w.clock.advance(300)
    expect(asked.placed).toMatchObject({ url: new URL(pod) })
  })

  test("is a 503 with Retry-After once the hold is over", async () => {
    const w = await world()
    const asked = ask(w)
    await w.clock.advance(0)
    await report(w, readyStatus({ url: service, podURL: pod }))
    await w.clock.advance(45_000)
    expect(asked.error).toMatchObject({ code: "InstanceStarting", retryAfterSeconds: expect.any(Number) })
  })
})

describe("a process that dies", () => {
  test("is waited for, and its next life has to answer before anything is sent there", async () => {
    const w = await world()
    await bringUp(w)
    w.answering.clear()
    await report(w, { phase: "Starting", ...conditions(condition("Ready", "False", "Restarting", "exited with 137")) })
    const asked = ask(w)
    await w.clock.advance(1_000)
    expect(asked.placed).toBeUndefined()
    w.answering.add(pod)
    await report(w, { incarnation: "pod-uid.1" })
    await w.clock.advance(300)
    expect(asked.placed).toMatchObject({ incarnation: "pod-uid.1" })
  })

  test("before the cluster knows makes the next request look again instead of fail", async () => {
    const w = await world()
    const placed = await bringUp(w)
    w.answering.clear()
    w.placement.reportUnreachable(placed)
    // the API server may know what the watch has not told yet
    expect(w.calls).toEqual(["get MCPInstance"])
    const asked = ask(w)
    await w.clock.advance(1_000)
    expect(asked.placed).toBeUndefined()
    w.answering.add(pod).add(service)
    await w.clock.advance(550)
    expect(asked.placed).toBeDefined()
  })

  test("is another life for whoever asks the cluster, and none once its instance is gone", async () => {
    const w = await world()
    const placed = await bringUp(w)
    expect(await w.placement.currentIncarnation(placed, signal)).toBe("pod-uid.0")
    await report(w, { incarnation: "pod-uid.1" })
    expect(await w.placement.currentIncarnation(placed, signal)).toBe("pod-uid.1")
    await remove(w)
    expect(await w.placement.currentIncarnation(placed, signal)).toBeUndefined()
    await bringUp(w)
    expect(await w.placement.currentIncarnation(placed, signal)).toBeUndefined()
  })
})

describe("closing", () => {
  test("ends those who wait, removes the own key, and takes no more", async () => {
    const w = await world()
    w.placement.beginCall(await bringUp(w))
    await w.clock.advance(2_000)
    const asked = ask(w, { who: identity({ subject: "bob" }) })
    await w.clock.advance(0)
    const closed = w.placement.close()
    await w.clock.advance(0)
    await closed
    expect(asked.error).toMatchObject({ code: "ShuttingDown" })
    for (const { status } of await list(w)) expect(status?.inUseBy ?? {}).toEqual({})
    const late = ask(w)
    await late.promise
    expect(late.error).toMatchObject({ code: "ShuttingDown" })
  })
})

describe("a target that goes", () => {
  test("a request that waits for its instance is told so, and no instance is made for it again", async () => {
    const w = await world()
    const asked = ask(w)
    await w.clock.advance(100)
    await w.cluster.delete(mcpTargetKind, { namespace, name: "github" })
    await w.clock.advance(1_000)
    expect(asked.error).toMatchObject({ code: "TargetNotFound" })
    expect(await list(w)).toEqual([])
    expect(w.calls.filter((call) => call === "create MCPInstance")).toHaveLength(1)
  })
})
