import { homedir } from "node:os"
import { isAbsolute, join } from "node:path"
import { stringify } from "yaml"
import { deepFreeze } from "../api/patch.ts"
import { checkLayer, checkTogether, configError, problemText } from "./check.ts"
import { readConfigFile } from "./file.ts"
import { configJsonSchema, type KeyNode, leafKeys, type Path, rootKey } from "./key-tree.ts"
import { type Assignment, effectiveValues, isTree, type Layer, layerOf, mergeLayers, type Tree } from "./layer.ts"
import { type Config, configSchema, type Role } from "./schema.ts"

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>

const prefix = "REFLOW_"

const keyOf = (name: string): string => name.slice(prefix.length).toLowerCase()

const toAssignment = (name: string, text: string): Assignment => ({
  path: keyOf(name).split("__"),
  text,
  source: name,
})

/**
 * The layer of `REFLOW_SECTION__KEY` variables, and of `REFLOW_PLUGINS`, whose key is in no section. Other names without
 * `__` are left alone: Kubernetes injects `REFLOW_GATEWAY_PORT=tcp://…` into every Pod beside a Service called
 * reflow-gateway.
 */
const environmentLayer = (environment: Environment): Layer =>
  layerOf(
    Object.entries(environment)
      .filter(([name]) => name.startsWith(prefix) && (name.includes("__") || leafKeys.has(keyOf(name))))
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([name, text]) => toAssignment(name, text ?? "")),
  )

/** The file, in the working directory, that is read if --config names none; it may be absent. */
const defaultConfigFile = "reflow.yaml"

/** The parts of the command line that belong to the configuration. */
export type Settings = {
  /** The file that --config names. */
  readonly file: string | undefined
  /** --set and --targets, in order. */
  readonly assignments: readonly Assignment[]
}

/** Input of {@link loadConfig}. */
type LoadRequest = {
  readonly settings: Settings
  /** Some defaults depend on it; undefined for commands without a role. */
  readonly role?: Role | undefined
  readonly environment: Environment
}

/** A configuration and where it came from. */
export type Loaded = {
  readonly config: Config
  /** The same configuration as it would stand in a file, defaults included: durations and sizes as text. */
  readonly values: Tree
  /** Where a value stands: `reflow.yaml:12`, `REFLOW_LOG__LEVEL`, `--set log.level`, `default`. */
  readonly sourceOf: Layer["sourceOf"]
  /** Lines to log: values that are valid but probably a mistake. */
  readonly warnings: readonly string[]
}

/** A copy of the variables of this process. Only the start calls it; nothing else reads `process.env`. */
export const processEnvironment = (): Environment => Object.freeze({ ...process.env })

/** The folder for the user's state (XDG Base Directory Specification: relative paths in the variable are ignored). */
const stateFolder = (environment: Environment): string => {
  const named = environment.XDG_STATE_HOME
  const base = named !== undefined && isAbsolute(named) ? named : join(environment.HOME || homedir(), ".local", "state")
  return join(base, "reflow")
}

/** Defaults of a role that differ from the schema's: dev is for one person at a terminal of this machine. */
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
 * problem with its place. A wrong value is an error in every source, also if a stronger source sets the same key.
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

/** Written in place of a secret value. */
const mask = "***"

/** `value` with secrets masked. */
const masked = (value: unknown, node: KeyNode | undefined): unknown => {
  if (node?.secret === true) return mask
  if (Array.isArray(value)) return value.map((each) => masked(each, node?.item))
  if (!isTree(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, masked(each, node?.children.get(name))]))
}

const indented = (text: string, indent: string): string => text.replace(/^(?=.)/gm, indent)

const keyLines = (name: string, value: unknown, source: string): string => {
  const text = stringify(value, { lineWidth: 0 }).trimEnd()
  const isBlock = Array.isArray(value) && value.length > 0
  return isBlock ? `${name}: # ${source}\n${indented(text, "  ")}\n` : `${name}: ${text} # ${source}\n`
}

const section = (values: Tree, node: KeyNode, path: Path, sourceOf: Layer["sourceOf"]): string => {
  let text = ""
  for (const [name, child] of node.children) {
    const value = values[name]
    if (isTree(value)) text += `${name}:\n${indented(section(value, child, [...path, name], sourceOf), "  ")}`
    else text += keyLines(name, value, sourceOf([...path, name]))
  }
  return text
}

/** The effective configuration as YAML, each value with its source as a comment, secrets masked. */
export const configReport = (values: Tree, sourceOf: Layer["sourceOf"]): string => {
  const shown = masked(values, rootKey)
  return isTree(shown) ? section(shown, rootKey, [], sourceOf) : ""
}

/** The JSON Schema of the configuration file as text. */
export const schemaReport = (): string => `${JSON.stringify(configJsonSchema(), null, 2)}\n`
