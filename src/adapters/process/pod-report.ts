import { type Pod, type PodStatus, podKind } from "../../api/kinds/pod.ts"
import { labels } from "../../api/names.ts"
import { errorTable, hasCode, isAppError } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { ClusterPort, EventInput, ObjectRef } from "../../ports/cluster.ts"
import type { Logger } from "../../ports/telemetry.ts"
import type { Ports } from "./ports.ts"
import { type ContainerNow, isSameStatus, toPodStatus } from "./status.ts"

/** Milliseconds between attempts of a call that failed with a retryable error. */
const retryMs = 1_000

/** Dependencies of the calls about one Pod. */
export type PodCalls = {
  readonly cluster: ClusterPort
  readonly clock: ClockPort
  readonly log: Logger
  /** Ends retries and writes. */
  readonly signal: AbortSignal
}

/**
 * Repeats a call about one Pod until it succeeds. Resolves with undefined if the Pod was deleted, another Pod has its
 * name, the API server refuses with an error that is not retryable, or the signal is aborted.
 */
export const persist = async <T>(calls: PodCalls, what: string, call: () => Promise<T>): Promise<T | undefined> => {
  while (!calls.signal.aborted) {
    try {
      return await call()
    } catch (error) {
      // the UID is the only precondition, so a conflict means that the Pod was deleted
      if (calls.signal.aborted || hasCode(error, "ApiNotFound", "ApiConflict")) return undefined
      const again = isAppError(error) && errorTable[error.code].retryable
      calls.log[again ? "warn" : "error"](`${what} failed`, { error })
      if (!again) return undefined
      await calls.clock.sleep(retryMs, calls.signal).catch(() => {})
    }
  }
  return undefined
}

/** Writes a Pod's status: one call at a time, only the newest state, and no call for an equal one. */
type StatusWriter = {
  write(next: PodStatus): void
  /** The status that was last given to `write`, else the status of the Pod as it was read. */
  current(): PodStatus | undefined
}

/** Makes the writer of a Pod's status. */
const createStatusWriter = (calls: PodCalls, pod: Pod): StatusWriter => {
  const { name, namespace = "", uid } = pod.metadata
  let written = pod.status
  let wanted = pod.status
  let isWorking = false

  const work = async () => {
    isWorking = true
    while (wanted !== undefined && !isSameStatus(written, wanted) && !calls.signal.aborted) {
      const status = wanted
      const patch = { metadata: { uid }, status }
      await persist(calls, "writing a Pod's status", () =>
        calls.cluster.patchStatus(podKind, { namespace, name }, patch, { signal: calls.signal }),
      )
      written = status
    }
    isWorking = false
  }
  return {
    write: (next) => {
      wanted = next
      if (!isWorking) void work()
    },
    current: () => wanted,
  }
}

/** Masks the given secret values in a text; values of blanks only are not masked. */
export type Hide = (text: string, values: readonly string[]) => Promise<string>

/** Dependencies that all Pods of a node share. */
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

/** Reports about one Pod to the cluster; does nothing once `calls.signal` is aborted. */
export type PodReport = {
  /** Writes the Pod's status from the states of its containers. */
  show(): void
  /** Records an Event without waiting; a failure is only logged. */
  recordEvent(type: EventInput["type"], reason: string, note: string): void
  /**
   * Binds the Pod to this node and writes the port of its server into an annotation. Undefined as for {@link persist}.
   */
  bind(port: number | undefined): Promise<Pod | undefined>
}

/** The containers of a Pod that the node runs. Their states change; each status is made of those of its time. */
type ReportedContainers = { readonly server: ContainerNow; readonly inits: readonly ContainerNow[] }

/** Makes the reporter of a Pod. */
export const createPodReport = (
  deps: NodeDeps,
  pod: Pod,
  containers: ReportedContainers,
  calls: PodCalls,
): PodReport => {
  const writer = createStatusWriter(calls, pod)
  const { signal, log } = calls
  return {
    show: () => {
      if (signal.aborted) return
      writer.write(toPodStatus({ pod, ...containers, before: writer.current(), now: deps.clock.now() }))
    },
    recordEvent: (type, reason, note) => {
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
