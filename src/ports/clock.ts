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

/**
 * How much is left of a span of `spanMs` that began at `since`, at `now` (milliseconds since the epoch). Nothing if the
 * clock was set back since: what waits for the end of a span must not wait for the clock to catch up. Pure.
 */
export const leftOf = (since: number, spanMs: number, now: number): number =>
  now >= since && now < since + spanMs ? since + spanMs - now : 0
