import type { Config } from "../config/schema.ts"
import { AppError, type ErrorCode, isAppError } from "../errors.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { Logger, TelemetryPort } from "../ports/telemetry.ts"
import { backoffMs } from "../waiting/backoff.ts"

/** A role of this process, from its start to its end. */
export type RunningRole<T = unknown> = {
  /** The role's own log. */
  readonly log: Logger
  /** Resolves once the role works, with what there is to tell of it; rejects with why it cannot. */
  readonly ready: Promise<T>
  /** Rejects with why the role cannot begin or cannot go on; never resolves. */
  readonly failed: Promise<never>
  /** Ends everything it started, in bounded time; may be called at any time and more than once. */
  close(): Promise<void>
}

/** What every role is built with. */
export type Base = {
  readonly config: Config
  readonly telemetry: TelemetryPort
  /** Gets what must be closed. */
  readonly started: Started
  /** Aborted when the role is closed. */
  readonly signal: AbortSignal
  /** Ends the role with an error, after its start. */
  fail(error: unknown): void
}

/** What has been started and must be closed, in the order of the starts. */
export type Started = {
  /** Remembers how to close what was just started. Closes it at once if closing has begun meanwhile. */
  add(name: string, close: () => Promise<void> | void): Promise<void>
  /** Closes the last first; goes on after a failure, which `onError` gets. */
  close(): Promise<void>
}

/** Keeps what a role has started. */
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

/** Runs `start`, and keeps what it starts until the role is closed. */
export const runRole = <T>(
  { config, telemetry }: Pick<Base, "config" | "telemetry">,
  start: (base: Base) => Promise<T>,
): RunningRole<T> => {
  const stop = new AbortController()
  const failed = Promise.withResolvers<never>()
  // whoever waits for `ready` only is told there
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

/** What waiting for the API server needs. */
type Patience = {
  readonly clock: ClockPort
  readonly log: Logger
  /** Ends the waiting. */
  readonly signal: AbortSignal
}

const pauses = { firstMs: 500, longestMs: 2_000 }

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
