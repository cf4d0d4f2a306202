import type { Config } from "../config/schema.ts"
import { AppError } from "../errors.ts"
import type { Logger, TelemetryPort } from "../ports/telemetry.ts"

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
