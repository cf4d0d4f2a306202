import type { Config } from "../config/schema.ts"
import { AppError, type ErrorCode, isAppError } from "../errors.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { Logger, TelemetryPort } from "../ports/telemetry.ts"
import { backoffMs } from "../waiting/backoff.ts"

/** A running role, from its start to its end. */
export type RunningRole<T = unknown> = {
  /** The role's own log. */
  readonly log: Logger
  /** Resolves once the role works, with the role's own result (dev: its URL). Rejects if the start fails. */
  readonly ready: Promise<T>
  /** Rejects when the role cannot start or cannot continue, with the reason; never resolves. */
  readonly failed: Promise<never>
  /**
   * Closes everything that the role started. May be called at any time and more than once. The caller bounds its time.
   */
  close(): Promise<void>
}

/** Dependencies of every role. */
export type Base = {
  readonly config: Config
  readonly telemetry: TelemetryPort
  /** Collects the close functions of everything that the role starts. */
  readonly started: Started
  /** Aborted when the role is closed. */
  readonly signal: AbortSignal
  /** Makes the role's `failed` reject with the error; for errors after the start. */
  fail(error: unknown): void
}

/** The close functions of what has been started, in the order of the starts. */
export type Started = {
  /** Registers the close function of a part that was just started. If closing has begun meanwhile, calls it at once. */
  add(name: string, close: () => Promise<void> | void): Promise<void>
  /** Closes the last started first. After a failure, passes it to `onError` and continues with the next. */
  close(): Promise<void>
}

/** Creates an empty list of started parts; `onError` gets each failed close function's name and error. */
export const createStarted = (onError: (name: string, error: unknown) => void): Started => {
  const closers: { readonly name: string; readonly close: () => Promise<void> | void }[] = []
  let closing: Promise<void> | undefined
  const closeOne = async ({ name, close }: (typeof closers)[number]): Promise<void> => {
    try {
      await close()
    } catch (error) {
      onError(name, error)
    }
  }
  const closeAll = async (): Promise<void> => {
    for (let last = closers.pop(); last !== undefined; last = closers.pop()) await closeOne(last)
  }
  return {
    add: async (name, close) => {
      closers.push({ name, close })
      if (closing === undefined) return
      await closing
      await closeAll()
    },
    close: () => {
      closing ??= closeAll()
      return closing
    },
  }
}

/** Runs `start` as a role. `close` of the role aborts the signal of `start`, then closes everything that it started. */
export const runRole = <T>(
  { config, telemetry }: Pick<Base, "config" | "telemetry">,
  start: (base: Base) => Promise<T>,
): RunningRole<T> => {
  const stop = new AbortController()
  const failed = Promise.withResolvers<never>()
  // a caller that awaits only `ready` gets the error there: no unhandled rejection of `failed`
  failed.promise.catch(() => {})
  const started = createStarted((name, error) => telemetry.log.error("could not be closed", { name, error }))
  const ready = start({ config, telemetry, started, signal: stop.signal, fail: failed.reject })
  ready.catch(failed.reject)
  return {
    log: telemetry.log,
    ready,
    failed: failed.promise,
    close: async () => {
      stop.abort(new AppError("ShuttingDown", { detail: "The role was closed." }))
      await started.close()
      await ready.catch(() => {})
    },
  }
}

/** Dependencies of {@link untilReached}. */
type Patience = {
  readonly clock: ClockPort
  readonly log: Logger
  /** Ends the waiting. */
  readonly signal: AbortSignal
}

const pauses = { firstMs: 500, longestMs: 2_000 }

/** Errors that may end without a restart of this program, e.g. when an administrator grants the rights. */
const awaited: readonly ErrorCode[] = [
  ...(["ClusterUnavailable", "ApiTooManyRequests", "ApiForbidden", "ApiNotFound", "ApiConflict"] as const),
  "QuotaExceeded",
]

/**
 * Repeats `call` until it succeeds, and resolves with its result. Errors of the list {@link awaited} are logged and
 * retried, with pauses from 0.5 to 2 s: the API server may be down, or this program may have been installed before its
 * rights or its namespace. Other errors are thrown, and so is the signal's reason.
 */
export const untilReached = async <T>(
  { clock, log, signal }: Patience,
  what: string,
  call: () => Promise<T>,
): Promise<T> => {
  for (let failures = 1; ; failures++) {
    try {
      return await call()
    } catch (error) {
      signal.throwIfAborted()
      if (!isAppError(error) || !awaited.includes(error.code)) throw error
      log.warn("waiting for the API server", { what, error })
      await clock.sleep(backoffMs(failures, pauses), signal)
    }
  }
}
