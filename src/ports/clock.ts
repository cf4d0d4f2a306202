/** The program's only source of time and timers. Tests pass a clock that they advance themselves. */
export type ClockPort = {
  /** Wall-clock time in milliseconds since the Unix epoch. */
  now(): number
  /** Resolves after `ms` milliseconds; rejects with the signal's reason as soon as it is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Runs `task` once after `ms` milliseconds. The returned function cancels it; calling that twice is harmless. */
  timer(ms: number, task: () => void): () => void
}

/**
 * Largest difference that is allowed for between the clocks of the cluster's machines, milliseconds. A time that
 * another machine wrote is exact only to this difference.
 */
export const clockSkewMs = 5 * 60_000
