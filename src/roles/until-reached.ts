import { type ErrorCode, isAppError } from "../errors.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { Logger } from "../ports/telemetry.ts"

/** What waiting for the API server needs. */
export type Patience = {
  readonly clock: ClockPort
  readonly log: Logger
  /** Ends the waiting. */
  readonly signal: AbortSignal
}

const firstWaitMs = 500
const longestWaitMs = 2_000

/** What somebody can mend while this program waits. */
const awaited: readonly ErrorCode[] = [
  ...(["ClusterUnavailable", "ApiTooManyRequests", "ApiForbidden", "ApiNotFound", "ApiConflict"] as const),
  "QuotaExceeded",
]

/**
 * The result of `call`, tried again while the API server is away or refuses: it may be down, or this program may be
 * installed before its rights or its namespace. Each failure is logged; other errors are thrown.
 */
export const untilReached = async <T>(
  { clock, log, signal }: Patience,
  what: string,
  call: () => Promise<T>,
): Promise<T> => {
  for (let waitMs = firstWaitMs; ; waitMs = Math.min(waitMs * 2, longestWaitMs)) {
    try {
      return await call()
    } catch (error) {
      signal.throwIfAborted()
      if (!isAppError(error) || !awaited.includes(error.code)) throw error
      log.warn("waiting for the API server", { what, error })
      await clock.sleep(waitMs, signal)
    }
  }
}
