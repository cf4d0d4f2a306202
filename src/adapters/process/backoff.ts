/**
 * How long a container that ended waits for its next start, as the kubelet does it: the first restart is immediate,
 * then 10 s, doubled each time up to 5 minutes; a container that ran for 10 minutes starts from the beginning.
 */

const firstMs = 10_000
const longestMs = 300_000
const stableMs = 2 * longestMs

/** What is remembered from restart to restart. */
export type Backoff = {
  /** How long the next restart waits, counted from the end of the container. */
  readonly delayMs: number
  /** When the container was last restarted (epoch milliseconds). */
  readonly restartedAt: number
}

const isStable = (backoff: Backoff, endedAt: number): boolean => endedAt - backoff.restartedAt > stableMs

/** Milliseconds from the container's end to its restart; 0 = at once. */
export const restartDelay = (backoff: Backoff | undefined, endedAt: number): number =>
  backoff === undefined || isStable(backoff, endedAt) ? 0 : backoff.delayMs

/** The memory after a restart at `now` of a container that ended at `endedAt`. */
export const afterRestart = (backoff: Backoff | undefined, endedAt: number, now: number): Backoff => ({
  delayMs: backoff === undefined || isStable(backoff, endedAt) ? firstMs : Math.min(backoff.delayMs * 2, longestMs),
  restartedAt: now,
})
