import { AppError, type ErrorCode, hasCode, isAppError } from "../errors.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { TelemetryPort } from "../ports/telemetry.ts"

/** Longest reason of a plugin that a user reads, in characters. */
export const longestReason = 500

/**
 * A plugin's words as a user may read them: one line of valid Unicode without characters that steer a terminal, at most
 * {@link longestReason} long. Linear in what is kept.
 */
export const cleanReason = (text: string): string => {
  // what is taken away must not make a long text look whole
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

/** Which function of a plugin is called: `tenant subjectKeys.tenant`. */
export type CallName = { readonly plugin: string; readonly hook: string }

/** How a call is bounded. */
export type CallLimits = {
  readonly clock: ClockPort
  readonly limitMs: number
  /** Aborted when nobody waits for the answer any more. */
  readonly signal?: AbortSignal | undefined
}

const describe = ({ plugin, hook }: CallName): string => `The hook ${hook} of the plugin ${plugin}`

/** What hooks of each kind may say themselves, besides failing. */
const sayable: Readonly<Record<string, readonly ErrorCode[]>> = {
  subjectKeys: ["SubjectKeyDenied"],
  secrets: ["SubjectKeyDenied", "CredentialMissing"],
}

/** A denial, or a credential that is not there, in the plugin's words; of its data only the claim that is missing. */
const said = ({ code, message, data }: AppError, name: CallName): AppError => {
  const claim = typeof data?.claim === "string" ? { claim: cleanReason(data.claim) } : {}
  const about = code === "CredentialMissing" ? { plugin: name.plugin } : claim
  const reason = cleanReason(message)
  const nothing = code === "CredentialMissing" ? "" : `${describe(name)} denies you, without a reason.`
  return new AppError(code, { detail: reason || nothing, data: about })
}

/**
 * What a plugin's failure becomes: a denial, or a credential that is not there, in its own words, all else PluginFailed
 * with the names of plugin and hook. What a plugin throws otherwise may hold a secret, so its text is the cause, for the
 * log's own rules, and no part of the answer.
 */
const toPluginError = (name: CallName, error: unknown): AppError => {
  if (isAppError(error)) {
    if (error.code === "PluginFailed") return error
    if (sayable[name.hook.split(".", 1)[0] ?? ""]?.includes(error.code) === true) return said(error, name)
  }
  return new AppError("PluginFailed", { detail: `${describe(name)} failed.`, data: { ...name }, cause: error })
}

/** What a plugin answered against the contract. */
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

/** Calls a plugin's function that answers at once; what it throws becomes PluginFailed. */
export const callPluginNow = <T>(name: CallName, run: () => T): T => {
  try {
    return run()
  } catch (error) {
    throw toPluginError(name, error)
  }
}

/**
 * Calls a plugin's function: what it throws becomes PluginFailed, and a promise of its is waited for no longer than the
 * limit, after which its signal is aborted. An answer that is no promise is handed on at once. This keeps a plugin from
 * failing others' requests; it is no sandbox: a plugin that never returns keeps the process.
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

/** What a call is for, in the log. */
type CallFor = {
  /** Name of the target that chose the hook. */
  readonly target: string
  /** Id of the request that began it, as that request's own line has it; absent where none did. */
  readonly requestId?: string | undefined
  /** Name of the instance, where one is made already. */
  readonly instance?: string
}

/** Counts calls of plugins, and how long they took; says in the log why one failed. */
export type Meter = {
  /** Runs a call and counts how it ended. */
  count<T>(name: CallName, about: CallFor, run: () => T): T
}

/** Makes the meter. Labels are names of loaded plugins and their hooks, so there are few. */
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
          // what the plugin threw may hold a secret: it is told here and nowhere else
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
