/** Placement over an embedded cluster and a clock that the test turns: one target, any number of gateway replicas. */
import { afterEach, expect } from "vitest"
import { createMemoryCluster } from "../../src/adapters/memory/cluster.ts"
import type { Condition } from "../../src/api/kinds/kind.ts"
import { type Secret, secretKind } from "../../src/api/kinds/kubernetes.ts"
import { type MCPInstance, type MCPInstanceStatus, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { type MCPTarget, type MCPTargetSpec, mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import { createCompose } from "../../src/credentials/compose.ts"
import { createNeedleShare } from "../../src/credentials/needle-share.ts"
import type { AppError } from "../../src/errors.ts"
import type { Identity } from "../../src/identity/identity.ts"
import { type SubjectKey, subjectKeyFor } from "../../src/identity/subject-key.ts"
import { createPlacement, type PlacementOptions } from "../../src/placement/placement.ts"
import type { Placement, PlacementPort, PlacementRequest } from "../../src/placement/port.ts"
import type { ClusterPort, Reflection } from "../../src/ports/cluster.ts"
import { readyStatus } from "./build/placed.ts"
import { identity, target as targetOf } from "./build/who.ts"
import { fakeClock } from "./fake-clock.ts"
import { quietTelemetry } from "./quiet-telemetry.ts"

/** Namespace of the instances. */
export const namespace = "reflow"
/** In milliseconds. */
export const minute = 60_000
/** Where the instance's Pod is. */
export const pod = "http://10.1.0.1:8080/mcp"
/** Where its Service is. */
export const service = "http://10.0.0.1:8080/mcp"
/** Of a client that stays. */
export const signal = new AbortController().signal

/** Options of a replica, unless {@link world} is given others. */
export const options: PlacementOptions = {
  namespace,
  hold_timeout: 45_000,
  idle_ttl: 30 * minute,
  stream_ttl: undefined,
  max_instances: 100,
  expose_subjects: true,
  max_waiting: 10_000,
  issuers: ["corp"],
}

/** The cluster, with a note of each call on instances and Secrets, and with the faults that the test put there. */
const noting = (cluster: ClusterPort, calls: string[], faults: Map<string, AppError>): ClusterPort =>
  new Proxy(cluster, {
    get: (inner, name: keyof ClusterPort) => {
      const member = inner[name] as (...args: unknown[]) => unknown
      return (...args: unknown[]) => {
        calls.push(`${name} ${(args[0] as { kind?: string } | undefined)?.kind ?? ""}`.trim())
        const fault = faults.get(name)
        faults.delete(name)
        return fault === undefined ? member.apply(inner, args) : Promise.reject(fault)
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
  const faults = new Map<string, AppError>()
  const addReplica = (own: Partial<PlacementOptions> = {}): Replica => {
    const calls: string[] = []
    const noted = noting(cluster, calls, faults)
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
  return { clock, cluster, target: made, instances, targets, answering, cache, faults, replicas, addReplica, ...own }
}

/**
 * One cluster with its target and replicas; `answering` has the URLs that answer a probe, `cache` what the watch does not
 * see, `faults` the error of the next call of a name.
 */
export type World = Awaited<ReturnType<typeof setUp>>

const worlds: World[] = []
/** Makes a world, which is closed at the end of the test. `spec` is of the target, `more` of the placement. */
export const world = async (
  spec: Partial<MCPTargetSpec> = {},
  more: Partial<PlacementOptions> = {},
): Promise<World> => {
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

/** The request of a user, by default alice's first one, as the gateway gives it to placement. */
export const requestOf = (w: World, ask: Ask = {}): PlacementRequest => {
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
export const ask = (w: World, how: Ask = {}) => {
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

/** All instances. */
export const list = async (w: World): Promise<readonly MCPInstance[]> =>
  (await w.cluster.list(mcpInstanceKind, { namespace })).items
/** All Secrets. */
export const secrets = async (w: World): Promise<readonly Secret[]> =>
  (await w.cluster.list(secretKind, { namespace })).items
/** The only instance; fails if there are none or several. */
export const only = async (w: World): Promise<MCPInstance> => {
  const all = await list(w)
  expect(all).toHaveLength(1)
  return all[0] as MCPInstance
}

/** Writes the status of the only instance, as the operator does. */
export const report = async (w: World, status: MCPInstanceStatus): Promise<MCPInstance> => {
  const { metadata } = await only(w)
  const patched = await w.cluster.patchStatus(mcpInstanceKind, { namespace, name: metadata.name }, { status })
  await w.clock.advance(0)
  return patched
}
/** A status of these conditions. */
export const conditions = (...each: Condition[]) => ({ conditions: each })
/** Deletes the only instance. */
export const remove = async (w: World): Promise<void> => {
  await w.cluster.delete(mcpInstanceKind, { namespace, name: (await only(w)).metadata.name })
  await w.clock.advance(0)
}

/** Makes alice's instance and brings it up. */
export const bringUp = async (w: World, who: Ask = {}): Promise<Placement> => {
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
