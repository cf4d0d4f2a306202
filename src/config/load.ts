import { homedir } from "node:os"
import { isAbsolute, join } from "node:path"
import { deepFreeze } from "../api/deep-freeze.ts"
import { checkLayer, configError, problemText } from "./check.ts"
import { type Environment, environmentLayer } from "./environment.ts"
import { readConfigFile } from "./file.ts"
import { type Assignment, type Layer, layerOf, type Tree } from "./layer.ts"
import { effectiveValues, mergeLayers } from "./merge.ts"
import { checkTogether, type Role } from "./rules.ts"
import { type Config, configSchema } from "./schema.ts"

/** The file that is read if none is named and it is there. */
export const defaultConfigFile = "reflow.yaml"

/** Where configuration comes from besides environment and defaults. */
export type Settings = {
  /** The file that --config names. */
  readonly file: string | undefined
  /** --set and --targets, in order. */
  readonly assignments: readonly Assignment[]
}

/** What a configuration is made of. */
export type LoadRequest = {
  readonly settings: Settings
  /** Some defaults depend on it; undefined for commands without a role. */
  readonly role?: Role | undefined
  readonly environment: Environment
}

/** A configuration and where it came from. */
export type Loaded = {
  readonly config: Config
  /** The same as one writes it, defaults included: durations and sizes as text. */
  readonly values: Tree
  /** Where a value stands: `reflow.yaml:12`, `REFLOW_LOG__LEVEL`, `--set log.level`, `default`. */
  readonly sourceOf: Layer["sourceOf"]
  /** Lines to log: values that work but are probably not meant. */
  readonly warnings: readonly string[]
}

/** The variables of this process, once, at the start: nothing else reads them. */
export const processEnvironment = (): Environment => Object.freeze({ ...process.env })

/** The folder for the user's state (XDG Base Directory Specification: relative paths in the variable are ignored). */
const stateFolder = (environment: Environment): string => {
  const named = environment.XDG_STATE_HOME
  const base = named !== undefined && isAbsolute(named) ? named : join(environment.HOME || homedir(), ".local", "state")
  return join(base, "reflow")
}

/** What differs by default in a role: the embedded one is for one person at a terminal of this machine. */
const roleLayer = ({ role, environment }: LoadRequest): Layer => ({
  values:
    role === "dev"
      ? {
          kubernetes: { enabled: false },
          gateway: { listen: "127.0.0.1:8080" },
          log: { format: "text" },
          metrics: { listen: "" },
          dev: { state_dir: stateFolder(environment) },
        }
      : {},
  problems: [],
  sourceOf: () => `default of --role ${role}`,
})

/**
 * The effective configuration: flags over environment over file over defaults. Throws `ConfigInvalid`, which lists every
 * problem with its place; a wrong value is an error even where a stronger source replaces it.
 */
export const loadConfig = (request: LoadRequest): Loaded => {
  const { settings, role, environment } = request
  const file = readConfigFile(settings.file ?? defaultConfigFile, settings.file !== undefined)
  const layers = [roleLayer(request), file, environmentLayer(environment), layerOf(settings.assignments)]
  const problems = layers.flatMap(checkLayer)
  if (problems.length > 0) throw configError(problems)
  const merged = mergeLayers(layers)
  const config = configSchema.parse(merged.values)
  const verdict = checkTogether(config, role, merged.sourceOf)
  if (verdict.problems.length > 0) throw configError(verdict.problems)
  return {
    config: deepFreeze(config),
    values: effectiveValues(merged.values),
    sourceOf: merged.sourceOf,
    warnings: verdict.warnings.map(problemText),
  }
}
