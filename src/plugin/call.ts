import { AppError, type ErrorCode, hasCode, isAppError } from "../errors.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { TelemetryPort } from "../ports/telemetry.ts"

/** Maximum length of a plugin's reason in an error that users see, in characters. */
export const longestReason = 500

/**
 * A plugin's text, made safe for users: one line of valid Unicode without control characters, at most
 * {@link longestReason} characters. Takes time linear in the length that is kept, also for very long texts.
 */
export const cleanReason = (text: string): string => {
  // a cut text ends with … even if the removed characters make it short enough
  const begin = text.slice(0, 4 * longestReason)
  const line = begin
    .toWellFormed()
    .replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\p{Zs}]+/gu, " ")
    .replaceAll(/\p{Cf}/gu, "")
    .trim()
  const kept = [...line]
  const isWhole = begin.length === text.length && kept.length <= longestReason
  return isWhole ? line : `${kept.slice(0, longestReason - 1).join("")}…`
}

/** Name of a plugin's function for errors and metrics, e.g. plugin `tenant`, hook `subjectKeys.tenant`. */
export type CallName = { readonly plugin: string; readonly hook: string }

/** Limits of a call. */
export type CallLimits = {
  readonly clock: ClockPort
  /** Timeout in milliseconds. */
  readonly limitMs: number
  /** Aborted when the result is no longer needed. */
  readonly signal?: AbortSignal | undefined
}

const describe = ({ plugin, hook }: CallName): string => `The hook ${hook} of the plugin ${plugin}`

/** Errors that hooks of each kind may throw by contract; any other error becomes PluginFailed. */
const allowedErrors: Readonly<Record<string, readonly ErrorCode[]>> = {
  subjectKeys: ["SubjectKeyDenied"],
  secrets: ["SubjectKeyDenied", "CredentialMissing"],
}

/**
 * A denial or a missing credential with the plugin's reason, made safe; of its data only the name of the claim is kept.
 */
const toAllowedError = ({ code, message, data }: AppError, name: CallName): AppError => {
  const claim = typeof data?.claim === "string" ? { claim: cleanReason(data.claim) } : {}
  const about = code === "CredentialMissing" ? { plugin: name.plugin } : claim
  const reason = cleanReason(message)
  const nothing = code === "CredentialMissing" ? "" : `${describe(name)} denies you, without a reason.`
  return new AppError(code, { detail: reason || nothing, data: about })
}

/**
 * Converts an error that a plugin threw: an error that the hook may throw stays, with the plugin's reason; any other
 * becomes PluginFailed with the names of plugin and hook. The text of such an error may contain a secret. It is
 * therefore only the cause, which is logged, and never part of a response.
 */
const toPluginError = (name: CallName, error: unknown): AppError => {
  if (isAppError(error)) {
    if (error.code === "PluginFailed") return error
    if (allowedErrors[name.hook.split(".", 1)[0] ?? ""]?.includes(error.code) === true)
      return toAllowedError(error, name)
  }
  return new AppError("PluginFailed", { detail: `${describe(name)} failed.`, data: { ...name }, cause: error })
}

/** The error for a plugin that broke the contract; `problem` is the end of a sentence, without a full stop. */
export const badAnswer = (name: CallName, problem: string): AppError =>
  new AppError("PluginFailed", { detail: `${describe(name)} ${problem}.`, data: { ...name } })

const bounded = async <T>(
  name: CallName,
  running: Promise<T>,
  limits: CallLimits,
  stop: AbortController,
): Promise<T> => {
  const { clock, limitMs, signal } = limits
  const { promise: over, reject } = Promise.withResolvers<never>()
  const cancel = clock.timer(limitMs, () => reject(badAnswer(name, `did not answer within ${limitMs / 1000} s`)))
  const leave = () => reject(signal?.reason)
  signal?.addEventListener("abort", leave, { once: true })
  try {
    return await Promise.race([running, over])
  } catch (error) {
    throw signal?.aborted === true ? signal.reason : toPluginError(name, error)
  } finally {
    cancel()
    signal?.removeEventListener("abort", leave)
    stop.abort()
  }
}

/**
 * Calls a synchronous function of a plugin. Errors are converted: PluginFailed, or an error that the hook may throw.
 */
export const callPluginNow = <T>(name: CallName, run: () => T): T => {
  try {
    return run()
  } catch (error) {
    throw toPluginError(name, error)
  }
}

/**
 * Calls a plugin's function and converts its errors: PluginFailed, or an error that the hook may throw. If it returns a
 * promise, waits for it at most `limitMs`; the signal is aborted at the end of the wait. Any other result is returned
 * synchronously. This is no sandbox: a function that never returns blocks the process.
 */
export const callPlugin = <T>(
  name: CallName,
  limits: CallLimits,
  run: (signal: AbortSignal) => T | Promise<T>,
): T | Promise<T> => {
  limits.signal?.throwIfAborted()
  const stop = new AbortController()
  const answer = callPluginNow(name, () => run(stop.signal))
  return isThenable(answer) ? bounded(name, Promise.resolve(answer), limits, stop) : answer
}

const isThenable = <T>(value: T | Promise<T>): value is Promise<T> =>
  typeof value === "object" && value !== null && "then" in value && typeof value.then === "function"

/** Context of a call, for the log. */
type CallFor = {
  /** Name of the target that chose the hook. */
  readonly target: string
  /** Id of the request that caused the call, as in the request's own log line; absent if there is no request. */
  readonly requestId?: string | undefined
  /** Name of the instance, if it exists already. */
  readonly instance?: string
}

/** Counts and times calls of plugins, and logs failures. */
export type Meter = {
  /** Runs a call, and counts its result and duration when it ends. Returns or throws what `run` does. */
  count<T>(name: CallName, about: CallFor, run: () => T): T
}

/** Creates the meter. Its labels are names of loaded plugins and their hooks, so their number is bounded. */
export const createMeter = (telemetry: TelemetryPort): Meter => {
  const calls = telemetry.counter({
    name: "reflow_plugin_calls_total",
    help: "Calls of plugins' hooks, by how they ended: answered, failed, abandoned.",
    labels: ["plugin", "hook", "result"],
  })
  const seconds = telemetry.histogram({
    name: "reflow_plugin_call_seconds",
    help: "How long plugins' hooks took, in seconds.",
    labels: ["plugin", "hook"],
    buckets: [0.001, 0.01, 0.1, 1, 10],
  })
  const { log } = telemetry
  return {
    count: (name, { target, requestId, instance }, run) => {
      const begun = performance.now()
      const end = (result: "answered" | "failed" | "abandoned"): void => {
        calls.inc({ ...name, result })
        seconds.observe((performance.now() - begun) / 1000, name)
      }
      const fail = (error: unknown): void => {
        if (hasCode(error, "PluginFailed")) {
          end("failed")
          // the plugin's error may contain a secret: it is logged here and nowhere else
          log.warn("a plugin's hook failed", { ...name, target, instance, request_id: requestId, error })
        } else end(hasCode(error, "SubjectKeyDenied", "CredentialMissing") ? "answered" : "abandoned")
      }
      try {
        const answer = run()
        if (answer instanceof Promise) void answer.then(() => end("answered"), fail)
        else end("answered")
        return answer
      } catch (error) {
        fail(error)
        throw error
      }
    },
  }
}
