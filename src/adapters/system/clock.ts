import type { ClockPort } from "../../ports/clock.ts"

/** Longest delay that setTimeout takes (32 bits of milliseconds, about 24.8 days). */
const longest = 2 ** 31 - 1

const timer = (ms: number, task: () => void): (() => void) => {
  const handle = setTimeout(task, Math.min(Math.max(ms, 0), longest))
  return () => clearTimeout(handle)
}

const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const onAbort = () => {
      cancel()
      reject(signal?.reason)
    }
    const cancel = timer(ms, () => {
      signal?.removeEventListener("abort", onAbort)
      resolve()
    })
    signal?.addEventListener("abort", onAbort, { once: true })
  })

/** The clock of this machine. Delays longer than {@link longest} end after that time. */
export const systemClock: ClockPort = { now: () => Date.now(), sleep, timer }
