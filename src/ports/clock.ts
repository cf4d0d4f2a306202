/** Time as the rest of the program sees it. Tests pass a clock that they turn by hand. */
export type ClockPort = {
  /** Wall-clock time in milliseconds since the Unix epoch. */
  now(): number
  /** Resolves after `ms` milliseconds; rejects with the signal's reason as soon as it is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Runs `task` once after `ms` milliseconds. The returned function cancels it; calling that twice is harmless. */
  timer(ms: number, task: () => void): () => void
}

/**
 * How far apart the clocks of the cluster's machines may be, milliseconds. A stamp that another machine wrote tells that
 * something changed; when, only as exactly as this.
 */
export const clockSkewMs = 5 * 60_000
