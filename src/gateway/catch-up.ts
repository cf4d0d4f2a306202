import { AppError } from "../errors.ts"
import type { ClockPort } from "../ports/clock.ts"

/** Shortest time from one read to the next, and the longest time that one may take: anybody can ask for what is not there. */
const pauseMs = 5_000

/**
 * Reads anew for whoever asks for something that is not known here: once for all who ask at the same time, and at most
 * once in five seconds; who asks in between shares the last read's outcome. Rejects with ClusterUnavailable if that
 * read failed or took too long.
 */
export const createCatchUp = (
  clock: ClockPort,
  read: (signal: AbortSignal) => Promise<void>,
  stopped: AbortSignal,
): (() => Promise<void>) => {
  let last: { readonly at: number; readonly done: Promise<void> } | undefined

  const readOnce = async (): Promise<void> => {
    const limit = new AbortController()
    const cancel = clock.timer(pauseMs, () => limit.abort())
    try {
      await read(AbortSignal.any([stopped, limit.signal]))
    } catch (cause) {
      const detail = "This replica does not know whether the session lives: its key could not be looked up."
      throw new AppError("ClusterUnavailable", { detail, retryAfterSeconds: 5, cause })
    } finally {
      cancel()
    }
  }
  return () => {
    const now = clock.now()
    // a clock that was set back must not put the next read off
    if (last === undefined || now < last.at || now - last.at >= pauseMs) last = { at: now, done: readOnce() }
    return last.done
  }
}
