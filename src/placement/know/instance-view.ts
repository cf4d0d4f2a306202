import { type MCPInstance, mcpInstanceKind } from "../../api/kinds/mcp-instance.ts"
import type { ClockPort } from "../../ports/clock.ts"
import { type Change, type ClusterPort, type Reflection, watchSilenceMs } from "../../ports/cluster.ts"

/** How long one confirming read stands for the requests after it. */
export const confirmedMs = 5_000
/** An object that an answer told of is expected in the cache within this time; then it is read again. */
const overdueMs = 5_000
/** How long the end of an instance is remembered, so that a late answer does not bring it back. */
const endedMs = 60_000

/** What is known of the instances: the cache, corrected by answers of the API server that are fresher. */
export type InstanceView = {
  /** The freshest state known. */
  get(name: string): MCPInstance | undefined
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
export type ViewDeps = {
  readonly cluster: ClusterPort
  readonly namespace: string
  readonly instances: Reflection<MCPInstance>
  readonly clock: ClockPort
  /** Told, after the view has it, of each instance that changed, by cache or by answer. */
  readonly onChange: (name: string, previous: MCPInstance | undefined) => void
}

type Answer = { readonly object: MCPInstance | undefined; readonly uid: string | undefined; readonly at: number }

/** True if version `a` is later than `b`: decimal numbers that only grow within a resource type. Unreadable = false. */
export const isNewer = (a: string | undefined, b: string | undefined): boolean => {
  if (a === undefined || b === undefined || !/^\d+$/.test(a) || !/^\d+$/.test(b)) return false
  return a.length === b.length ? a > b : a.length > b.length
}

/** Makes the view and subscribes it to the reflection. Close it. */
export const createInstanceView = (deps: ViewDeps): InstanceView => {
  const { cluster, namespace, instances, clock } = deps
  const answers = new Map<string, Answer>()
  const confirmed = new Map<string, number>()
  const reads = new Map<string, Promise<MCPInstance | undefined>>()
  const ended = new Map<string, number>()
  const stop = new AbortController()

  const stamp = (times: Map<string, number>, key: string, lifeMs: number): void => {
    const now = clock.now()
    for (const [each, at] of times) if (now - at > lifeMs) times.delete(each)
    times.set(key, now)
  }

  const get = (name: string): MCPInstance | undefined => {
    const cached = instances.get(name)
    const answer = answers.get(name)
    if (answer === undefined) return cached
    if (cached === undefined) return answer.object
    const known = answer.object
    // an answer that named nobody speaks of the UID that it found missing, not of a successor
    const fresher =
      known === undefined
        ? cached.metadata.uid === answer.uid
        : isNewer(known.metadata.resourceVersion, cached.metadata.resourceVersion)
    if (fresher) return known
    answers.delete(name)
    return cached
  }

  const learn = (instance: MCPInstance): void => {
    const { name, uid, resourceVersion } = instance.metadata
    const previous = get(name)
    if (previous !== undefined && !isNewer(resourceVersion, previous.metadata.resourceVersion)) return
    if (uid !== undefined && ended.has(uid)) return
    answers.set(name, { object: instance, uid, at: clock.now() })
    deps.onChange(name, previous)
  }

  const learnGone = (name: string, uid: string): void => {
    const previous = get(name)
    if (previous?.metadata.uid !== uid) return
    // what the cache still has is at most as fresh as what was just found missing
    const cached = instances.get(name)
    if (cached === undefined) answers.delete(name)
    else answers.set(name, { object: undefined, uid: cached.metadata.uid, at: clock.now() })
    deps.onChange(name, previous)
  }

  const read = async (name: string): Promise<MCPInstance | undefined> => {
    const before = get(name)?.metadata.uid
    const found = await cluster.get(mcpInstanceKind, { namespace, name }, { signal: stop.signal })
    if (found !== undefined) learn(found)
    else if (before !== undefined) learnGone(name, before)
    stamp(confirmed, name, confirmedMs)
    return found
  }

  const confirm = (name: string): Promise<MCPInstance | undefined> => {
    const running = reads.get(name)
    if (running !== undefined) return running
    const started = read(name).finally(() => reads.delete(name))
    reads.set(name, started)
    return started
  }

  const isOverdue = (name: string): boolean => {
    const answer = answers.get(name)
    return answer !== undefined && clock.now() - answer.at > overdueMs
  }

  const isTrusted = (name: string): boolean => {
    if (instances.silenceMs() <= watchSilenceMs && !isOverdue(name)) return true
    const at = confirmed.get(name)
    return at !== undefined && clock.now() - at <= confirmedMs
  }

  const onEvent = ({ type, object, previous }: Change<MCPInstance>): void => {
    const { name, uid } = object.metadata
    if (type === "deleted") {
      if (answers.get(name)?.uid === uid) answers.delete(name)
      if (uid !== undefined) stamp(ended, uid, endedMs)
    }
    get(name)
    deps.onChange(name, type === "deleted" ? object : previous)
  }
  const unsubscribe = instances.subscribe(onEvent)

  return {
    get,
    isTrusted,
    learn,
    learnGone,
    confirm,
    close: () => {
      unsubscribe()
      stop.abort()
    },
  }
}
