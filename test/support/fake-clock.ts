import type { ClockPort } from "../../src/ports/clock.ts"

/** A clock that stands still until a test turns it. */
export type FakeClock = ClockPort & {
  /** Moves time forward, running due timers in order and letting promises settle after each. */
  advance(ms: number): Promise<void>
  /** Moves the wall clock without running timers, as a clock that is set does. */
  skew(ms: number): void
  /** How many timers wait. */
  readonly pending: number
}

/** Lets everything that is already resolved run to its next wait. */
const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
}

/** Makes a fake clock that starts at `start` (milliseconds since the epoch). */
export const fakeClock = (start = Date.parse("2030-01-01T00:00:00Z")): FakeClock => {
  let elapsed = 0
  let offset = start
  let sequence = 0
  const timers = new Map<number, { at: number; task: () => void }>()

  const timer = (ms: number, task: () => void): (() => void) => {
    const id = sequence++
    timers.set(id, { at: elapsed + Math.max(ms, 0), task })
    return () => void timers.delete(id)
  }
  const due = (limit: number) => {
    let best: [number, { at: number; task: () => void }] | undefined
    for (const entry of timers)
      if (entry[1].at <= limit && (best === undefined || entry[1].at < best[1].at)) best = entry
    return best
  }
  const advance = async (ms: number): Promise<void> => {
    const limit = elapsed + ms
    await settle()
    for (let next = due(limit); next !== undefined; next = due(limit)) {
      timers.delete(next[0])
      elapsed = Math.max(elapsed, next[1].at)
      next[1].task()
      await settle()
    }
    elapsed = limit
    await settle()
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

  return {
    now: () => offset + elapsed,
    sleep,
    timer,
    advance,
    skew: (ms) => {
      offset += ms
    },
    get pending() {
      return timers.size
    },
  }
}
