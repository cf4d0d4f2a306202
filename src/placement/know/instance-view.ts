import { type MCPInstance, mcpInstanceKind } from "../../api/kinds/mcp-instance.ts"
import { createFreshView } from "../../cache/fresh-view.ts"
import type { ClockPort } from "../../ports/clock.ts"
import { type ClusterPort, type Reflection, watchSilenceMs } from "../../ports/cluster.ts"
import { createSingleFlight } from "../../waiting/single-flight.ts"

/** How long one confirming read stands for the requests after it. */
const confirmedMs = 5_000
/** An object that an answer told of is expected in the cache within this time; then it is read again. */
const overdueMs = 5_000
/** What is known of the instances: the cache, corrected by answers of the API server that are fresher. */
export type InstanceView = {
  /** The freshest state known. */
  get(name: string): MCPInstance | undefined
  /** How many the watch has shown. */
  readonly size: number
  /** False if the watch has been silent too long, or the cache is overdue, and no read confirmed the instance lately. */
  isTrusted(name: string): boolean
  /** Takes an answer of the API server about an instance. */
  learn(instance: MCPInstance): void
  /** Takes the knowledge that the instance with this UID is gone. */
  learnGone(name: string, uid: string): void
  /** Reads an instance from the API server, once for all who ask at the same time. */
  confirm(name: string): Promise<MCPInstance | undefined>
  close(): void
}

/** What the view rests on. */
type ViewDeps = {
  readonly cluster: ClusterPort
  readonly namespace: string
  readonly instances: Reflection<MCPInstance>
  readonly clock: ClockPort
  /** Told, after the view has it, of each instance that changed, by cache or by answer. */
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

  const learnGone = (name: string, uid: string): void => {
    const previous = view.get(name)
    if (view.gone(name, uid)) deps.onChange(name, previous)
  }

  const read = async (name: string): Promise<MCPInstance | undefined> => {
    const before = view.get(name)?.metadata.uid
    const found = await cluster.get(mcpInstanceKind, { namespace, name }, { signal: stop.signal })
    if (found !== undefined) learn(found)
    else if (before !== undefined) learnGone(name, before)
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
    learnGone,
    confirm,
    close: () => {
      view.close()
      stop.abort()
    },
  }
}
