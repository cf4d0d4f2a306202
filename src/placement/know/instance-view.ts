import { type MCPInstance, mcpInstanceKind } from "../../api/kinds/mcp-instance.ts"
import { createFreshView } from "../../cache/fresh-view.ts"
import type { ClockPort } from "../../ports/clock.ts"
import { type ClusterPort, type Reflection, watchSilenceMs } from "../../ports/cluster.ts"
import { createSingleFlight } from "../../waiting/single-flight.ts"

/** How long a read of the API server confirms an instance. */
const confirmedMs = 5_000
/** How long the cache may lack an object that a response of the API server had; after this it is no longer trusted. */
const overdueMs = 5_000

/** The known instances: the cache, corrected by newer responses of the API server. */
export type InstanceView = {
  /** The newest state known; undefined if there is no such instance. */
  get(name: string): MCPInstance | undefined
  /** Number of instances that the watch has shown. */
  readonly size: number
  /**
   * True if the cache is up to date for this instance, or a read confirmed the instance in the last 5 s. The cache is
   * not up to date if the watch has been silent too long, or lacks a response for more than 5 s.
   */
  isTrusted(name: string): boolean
  /** Takes an instance as the API server returned it; an older state than the known one is ignored. */
  learn(instance: MCPInstance): void
  /** Records that the API server has no instance with this UID any more. */
  learnDeleted(name: string, uid: string): void
  /** Reads an instance from the API server; parallel calls for one name share a read. Rejects with its error. */
  confirm(name: string): Promise<MCPInstance | undefined>
  close(): void
}

/** Dependencies of the view. */
type ViewDeps = {
  readonly cluster: ClusterPort
  readonly namespace: string
  readonly instances: Reflection<MCPInstance>
  readonly clock: ClockPort
  /** Called after each change of an instance, by the watch or by a response. The view has the new state already. */
  readonly onChange: (name: string, previous: MCPInstance | undefined) => void
}

/** Makes the view and subscribes it to the reflection. Close it. */
export const createInstanceView = (deps: ViewDeps): InstanceView => {
  const { cluster, namespace, instances, clock } = deps
  const view = createFreshView(instances, { clock })
  const confirmed = new Map<string, number>()
  const reads = createSingleFlight<MCPInstance | undefined>()
  const stop = new AbortController()

  const stamp = (name: string): void => {
    const now = clock.now()
    for (const [each, at] of confirmed) if (now - at > confirmedMs) confirmed.delete(each)
    confirmed.set(name, now)
  }

  const learn = (instance: MCPInstance): void => {
    const previous = view.get(instance.metadata.name)
    if (view.learn(instance)) deps.onChange(instance.metadata.name, previous)
  }

  const learnDeleted = (name: string, uid: string): void => {
    const previous = view.get(name)
    if (view.gone(name, uid)) deps.onChange(name, previous)
  }

  const read = async (name: string): Promise<MCPInstance | undefined> => {
    const before = view.get(name)?.metadata.uid
    const found = await cluster.get(mcpInstanceKind, { namespace, name }, { signal: stop.signal })
    if (found !== undefined) learn(found)
    else if (before !== undefined) learnDeleted(name, before)
    stamp(name)
    return found
  }

  const confirm = (name: string): Promise<MCPInstance | undefined> => reads(name, () => read(name))

  const isOverdue = (name: string): boolean => {
    const since = view.unconfirmedSince(name)
    return since !== undefined && clock.now() - since > overdueMs
  }

  const isTrusted = (name: string): boolean => {
    if (instances.silenceMs() <= watchSilenceMs && !isOverdue(name)) return true
    const at = confirmed.get(name)
    return at !== undefined && clock.now() - at <= confirmedMs
  }

  view.subscribe(({ type, object, previous }) =>
    deps.onChange(object.metadata.name, type === "deleted" ? object : previous),
  )

  return {
    get: view.get,
    get size() {
      return instances.size
    },
    isTrusted,
    learn,
    learnDeleted,
    confirm,
    close: () => {
      view.close()
      stop.abort()
    },
  }
}
