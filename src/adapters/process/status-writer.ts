import { type Pod, type PodStatus, podKind } from "../../api/pod.ts"
import { errorTable, hasCode, isAppError } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { ClusterPort } from "../../ports/cluster.ts"
import type { Logger } from "../../ports/telemetry.ts"
import { isSameStatus } from "./status.ts"

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
export type StatusWriter = {
  write(next: PodStatus): void
  /** The status as last given to write, else as the Pod came. */
  current(): PodStatus | undefined
  /** Resolves when nothing is left to write. */
  settled(): Promise<void>
}

/** Makes the writer of a Pod's status. */
export const createStatusWriter = (calls: PodCalls, pod: Pod): StatusWriter => {
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
