import { type Container, type Pod, type PodStatus, podKind } from "../../api/kinds/pod.ts"
import { labels } from "../../api/names.ts"
import { errorTable, hasCode, isAppError } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { ClusterPort, EventInput, ObjectRef } from "../../ports/cluster.ts"
import type { Logger } from "../../ports/telemetry.ts"
import type { Ports } from "./launch.ts"
import { type ContainerView, isSameStatus, toPodStatus } from "./status.ts"

/** Milliseconds between attempts of a call that the API server could not take. */
const retryMs = 1_000

/** What calls about one Pod need. */
export type PodCalls = {
  readonly cluster: ClusterPort
  readonly clock: ClockPort
  readonly log: Logger
  /** Ends waiting and writing. */
  readonly signal: AbortSignal
}

/**
 * Repeats a call about one Pod until it succeeds. Resolves with undefined if the Pod is gone, another one has its name,
 * the API server refuses for good, or the signal came.
 */
export const persist = async <T>(calls: PodCalls, what: string, call: () => Promise<T>): Promise<T | undefined> => {
  while (!calls.signal.aborted) {
    try {
      return await call()
    } catch (error) {
      // with the UID as the only precondition, a conflict means that our Pod is gone
      if (calls.signal.aborted || hasCode(error, "ApiNotFound", "ApiConflict")) return undefined
      const again = isAppError(error) && errorTable[error.code].retryable
      calls.log[again ? "warn" : "error"](`${what} failed`, { error })
      if (!again) return undefined
      await calls.clock.sleep(retryMs, calls.signal).catch(() => {})
    }
  }
  return undefined
}

/** Writes a Pod's status: one call at a time, the newest state only, and nothing if it is equal. */
type StatusWriter = {
  write(next: PodStatus): void
  /** The status as last given to write, else as the Pod came. */
  current(): PodStatus | undefined
  /** Resolves when nothing is left to write. */
  settled(): Promise<void>
}

/** Makes the writer of a Pod's status. */
const createStatusWriter = (calls: PodCalls, pod: Pod): StatusWriter => {
  const { name, namespace = "", uid } = pod.metadata
  let written = pod.status
  let wanted = pod.status
  let running: Promise<void> | undefined

  const work = async () => {
    while (wanted !== undefined && !isSameStatus(written, wanted) && !calls.signal.aborted) {
      const status = wanted
      const patch = { metadata: { uid }, status }
      await persist(calls, "writing a Pod's status", () =>
        calls.cluster.patchStatus(podKind, { namespace, name }, patch, { signal: calls.signal }),
      )
      written = status
    }
    running = undefined
  }
  return {
    write: (next) => {
      wanted = next
      running ??= work()
    },
    current: () => wanted,
    settled: () => running ?? Promise.resolve(),
  }
}

/** A text without the secret values that are in it; blank ones stay. */
export type Hide = (text: string, values: readonly string[]) => Promise<string>

/** What the node gives to each of its Pods. */
export type NodeDeps = {
  readonly cluster: ClusterPort
  readonly clock: ClockPort
  readonly log: Logger
  readonly nodeName: string
  readonly ports: Ports
  readonly baseEnvironment: Readonly<Record<string, string>>
  readonly workingDirectory: string
  readonly hide: Hide
}

/** Namespace and name of a Pod. */
export const refOf = ({ metadata }: Pod): ObjectRef => ({ namespace: metadata.namespace ?? "", name: metadata.name })

/** Tells the cluster about one Pod; silent once `calls.signal` is aborted. */
export type PodReport = {
  /** Writes the Pod's status from the container's state. */
  show(view: ContainerView): void
  /** Records an Event; one that gets lost harms nobody. */
  tell(type: EventInput["type"], reason: string, note: string): void
  /** Binds the Pod to this node and says at which port its server will be. */
  bind(port: number | undefined): Promise<Pod | undefined>
}

/** Makes the reporter of a Pod. */
export const createPodReport = (deps: NodeDeps, pod: Pod, container: Container, calls: PodCalls): PodReport => {
  const writer = createStatusWriter(calls, pod)
  const { signal, log } = calls
  return {
    show: (view) => {
      if (signal.aborted) return
      writer.write(toPodStatus({ pod, container, view, before: writer.current(), now: deps.clock.now() }))
    },
    tell: (type, reason, note) => {
      if (signal.aborted) return
      deps.cluster
        .recordEvent({ regarding: pod, type, reason, note }, { signal })
        .catch((error: unknown) => log.debug("an Event was lost", { error }))
    },
    bind: (port) => {
      const annotations = port === undefined ? {} : { annotations: { [labels.nodePort]: String(port) } }
      const patch = { metadata: { uid: pod.metadata.uid, ...annotations }, spec: { nodeName: deps.nodeName } }
      return persist(calls, "binding a Pod", () => deps.cluster.mergePatch(podKind, refOf(pod), patch, { signal }))
    },
  }
}
