import { AppError, isAppError } from "../errors.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { LogFields, Logger, TelemetryPort } from "../ports/telemetry.ts"
import { callPlugin } from "./call.ts"
import type { ReadyPlugin } from "./registry.ts"
import { checkHooks, checkPlugin, parseSettings } from "./shape.ts"

/** Maximum number of log lines of a plugin per minute; further lines are dropped and counted. */
const linesAMinute = 100
const minuteMs = 60_000
/** Maximum length of a message, and of the fields as JSON, in characters. */
const longest = 2_000

/** The fields unchanged, or a note in place of fields that are too large or cannot be converted to JSON. */
const bounded = (fields: LogFields | undefined): LogFields | undefined => {
  if (fields === undefined) return undefined
  try {
    if (JSON.stringify(fields).length <= longest) return fields
  } catch {
    // circular, or a getter that throws
  }
  return { fields: "left out: too large, or no JSON" }
}

/** A logger for a plugin, limited in number and length of its lines, so that a plugin cannot flood the log. */
const pluginLog = (log: Logger, clock: Pick<ClockPort, "now">): Logger => {
  let since = clock.now()
  let lines = 0
  let dropped = 0
  const admit = (): boolean => {
    const now = clock.now()
    if (now - since >= minuteMs || now < since) {
      if (dropped > 0) log.warn("lines of the plugin were dropped: it writes too many", { dropped })
      since = now
      lines = 0
      dropped = 0
    }
    if (lines < linesAMinute) {
      lines++
      return true
    }
    dropped++
    return false
  }
  const bound = (to: Logger): Logger => {
    const at = (level: "debug" | "info" | "warn" | "error") => (message: string, fields?: LogFields) => {
      if (admit()) to[level](String(message).slice(0, longest), bounded(fields))
    }
    return {
      debug: at("debug"),
      info: at("info"),
      warn: at("warn"),
      error: at("error"),
      child: (fields) => bound(to.child(bounded(fields) ?? {})),
    }
  }
  return bound(log)
}

/** Time limit of setup, in milliseconds. */
const setupLimitMs = 10_000

/** A plugin that was loaded but not checked yet. */
export type LoadedPlugin = {
  /** Origin of the plugin, for messages: its path, or the name of a built-in plugin. */
  readonly source: string
  /** True for built-in plugins. */
  readonly firstParty: boolean
  /** Default export of its module. */
  readonly exported: unknown
  /** plugins[].config. */
  readonly config: unknown
  /** plugins[].secrets: names of the Secrets that it may read. */
  readonly readable: Pick<readonly string[], "includes">
}

/**
 * Checks a plugin and its configuration, then runs its setup. Throws PluginFailed, which ends the start of the process.
 */
export const setUpPlugin = async (
  loaded: LoadedPlugin,
  deps: { readonly clock: ClockPort; readonly telemetry: TelemetryPort; readonly signal?: AbortSignal | undefined },
): Promise<ReadyPlugin> => {
  const { clock, telemetry, signal } = deps
  const { source } = loaded
  const { name, config: schema, setup } = checkPlugin(loaded.exported, source)
  const log = pluginLog(telemetry.log.child({ plugin: name }), clock)
  const limits = { clock, limitMs: setupLimitMs, signal }
  const call = { plugin: name, hook: "setup" }
  try {
    const of = { name: call, where: `plugins[].config of ${source}` }
    const config = await parseSettings(schema, loaded.config, of, limits)
    const returned = await callPlugin(call, limits, (stop) =>
      // the type of `config` is known to the plugin's schema only
      setup(config as never, { signal: stop, log, clock }),
    )
    return { name, firstParty: loaded.firstParty, hooks: checkHooks(returned, name), log, readable: loaded.readable }
  } catch (error) {
    if (isAppError(error) && error.cause instanceof Error)
      throw new AppError("PluginFailed", {
        detail: `${error.message} (${error.cause.message})`,
        data: call,
        cause: error.cause,
      })
    throw error
  }
}
