import type { ClockPort } from "../ports/clock.ts"
import type { Logger } from "../ports/telemetry.ts"

/** In how many `gc_interval`s each instance is reconciled at least once. */
const reconcileIntervals = 10
/** How far the clock may differ from the time that has passed, milliseconds, before all deadlines are checked. */
const clockJumpMs = 5_000

/**
 * After how many milliseconds to reconcile an instance next: when time alone changes what is decided about it, in
 * `dueMs` (Infinity = never), but within ten `gc_interval`s, as a precaution. The precaution comes at a random moment
 * of the second half of these, so that the checks of many instances do not all come at once. `random` is a number from
 * 0 (inclusive) to 1. Pure.
 */
export const nextReconcileMs = (dueMs: number, gcIntervalMs: number, random: number): number =>
  Math.min(dueMs, reconcileIntervals * gcIntervalMs * ((1 + random) / 2))

/** Dependencies of {@link checkPeriodically}. */
type PeriodicDeps = {
  readonly clock: ClockPort
  readonly gcIntervalMs: number
  /** Deletes objects without an owner; see sweep.ts. */
  readonly sweep: () => Promise<void>
  /** Reconciles all instances. */
  readonly reconcileAll: () => void
  readonly log: Logger
}

/**
 * Sweeps every `gc_interval` until the signal aborts. Reconciles all instances if the clock has been set, or the
 * machine has slept: timers run by the time that the process runs, and deadlines are times of the day. Never rejects.
 */
export const checkPeriodically = async (deps: PeriodicDeps, signal: AbortSignal): Promise<void> => {
  const { clock, gcIntervalMs, log } = deps
  while (!signal.aborted) {
    await deps.sweep().catch((error) => {
      if (!signal.aborted) log.warn("a sweep failed and is tried again", { error })
    })
    const expected = clock.now() + gcIntervalMs
    await clock.sleep(gcIntervalMs, signal).catch(() => {})
    if (!signal.aborted && Math.abs(clock.now() - expected) > clockJumpMs) deps.reconcileAll()
  }
}
