import { AppError, type ErrorCode, isAppError } from "../errors.ts"
import type { ClockPort } from "../ports/clock.ts"
import { cleanReason } from "./reason.ts"

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
export const toPluginError = (name: CallName, error: unknown): AppError => {
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
