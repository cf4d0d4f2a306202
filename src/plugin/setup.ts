import { AppError, isAppError } from "../errors.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { TelemetryPort } from "../ports/telemetry.ts"
import { callPlugin } from "./call.ts"
import { pluginLog } from "./log.ts"
import type { ReadyPlugin } from "./registry.ts"
import { parseSettings } from "./settings.ts"
import { checkHooks, checkPlugin } from "./shape.ts"

/** How long setup may take. */
const setupLimitMs = 10_000

/** A plugin as it was loaded; nothing about it was checked yet. */
export type LoadedPlugin = {
  /** Where it comes from, for messages: its path, or its name if it comes with the program. */
  readonly source: string
  readonly firstParty: boolean
  /** What its module exports by default. */
  readonly exported: unknown
  /** plugins[].config. */
  readonly config: unknown
  /** plugins[].secrets: names of the Secrets that it may read. */
  readonly readable: Pick<readonly string[], "includes">
}

/** Checks a plugin and lets it make its hooks. Throws PluginFailed, which stops the start. */
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
      // the schema of the plugin says what its setup gets
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
