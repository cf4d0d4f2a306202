/** Validates the exports, hooks and settings of plugins, which come from outside the program. */
import { suggestion } from "../api/nearest.ts"
import { AppError } from "../errors.ts"
import { badAnswer, type CallLimits, type CallName, callPlugin, callPluginNow } from "./call.ts"
import { contractVersion, type Hooks, type Plugin } from "./contract.ts"
import type { SchemaIssue, SchemaResult, StandardSchema } from "./standard-schema.ts"

/** Names of plugins and hooks. */
const namePattern = /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/
/** Schemes of secret resolvers: the part of `spec.secrets[].from` before the colon. */
const schemePattern = /^[a-z][a-z0-9+.-]{0,62}$/

/** The kinds of hooks, with the pattern of their names. */
const kinds = { subjectKeys: namePattern, secrets: schemePattern, podTemplates: namePattern } as const satisfies Record<
  keyof Hooks,
  RegExp
>

/** A kind of hook. */
export type HookKind = keyof typeof kinds

type Fields = Readonly<Record<string, unknown>>

const fail = (source: string, problem: string): AppError =>
  new AppError("PluginFailed", { detail: `The plugin ${source} ${problem}.`, data: { plugin: source } })

const isObject = (value: unknown): value is Fields =>
  (typeof value === "object" || typeof value === "function") && value !== null && !Array.isArray(value)

const checkKeys = (value: Fields, known: readonly string[], source: string, what: string): void => {
  const unknown = Object.keys(value).find((key) => !known.includes(key))
  if (unknown === undefined) return
  throw fail(source, `has the unknown key '${unknown.slice(0, 64)}' in ${what}${suggestion(unknown, known)}`)
}

const isSchema = (value: unknown): boolean => isObject(value) && isObject(value["~standard"])

/** Checks a module's default export and returns it as a plugin. Throws PluginFailed, with `source` in its message. */
export const checkPlugin = (exported: unknown, source: string): Plugin => {
  if (!isObject(exported) || typeof exported === "function")
    throw fail(source, "has no default export that definePlugin made")
  const { api, name, config, setup } = exported
  if (api !== contractVersion)
    throw fail(source, `is written for contract ${String(api).slice(0, 16)}, and this program knows ${contractVersion}`)
  checkKeys(exported, ["api", "name", "config", "setup"], source, "what it exports")
  if (typeof name !== "string" || !namePattern.test(name))
    throw fail(source, "needs a name of a-z, 0-9 and '-', beginning with a letter")
  if (config !== undefined && !isSchema(config))
    throw fail(source, "has a config that is no schema (Standard Schema 1)")
  if (typeof setup !== "function") throw fail(source, "has no function setup")
  return exported as unknown as Plugin
}

const checkHook = (hook: unknown, kind: HookKind, source: string, name: string): void => {
  if (typeof hook === "function") return
  const what = `the hook ${kind}.${name}`
  if (kind === "secrets" || !isObject(hook)) throw fail(source, `has no function as ${what}`)
  checkKeys(hook, ["config", "run"], source, what)
  if (typeof hook.run !== "function" || !isSchema(hook.config))
    throw fail(source, `needs a schema 'config' and a function 'run' in ${what}: use defineHook`)
}

/** Checks the result of setup and returns it as hooks. Throws PluginFailed. */
export const checkHooks = (returned: unknown, source: string): Hooks => {
  if (!isObject(returned) || typeof returned === "function") throw fail(source, "returned no hooks from setup")
  checkKeys(returned, Object.keys(kinds), source, "its hooks")
  for (const [kind, pattern] of Object.entries(kinds) as [HookKind, RegExp][]) {
    const hooks = returned[kind]
    if (hooks === undefined) continue
    if (!isObject(hooks) || typeof hooks === "function") throw fail(source, `has no object of hooks as ${kind}`)
    for (const [name, hook] of Object.entries(hooks)) {
      if (!pattern.test(name)) throw fail(source, `has a hook with the unusable name '${name.slice(0, 64)}' in ${kind}`)
      checkHook(hook, kind, source, name)
    }
  }
  return returned as Hooks
}

/** The hook (or setup) that a configuration is for, and its place in the configuration or the target. */
type SettingsOf = {
  readonly name: CallName
  /** E.g. `spec.subjectKey.config of files`. */
  readonly where: string
}

const pathOf = ({ path }: SchemaIssue): string =>
  (path ?? []).map((step) => String(typeof step === "object" ? step.key : step)).join(".")

/** The issues as text. It does not contain the values, since a configuration may contain secrets. */
const problems = (issues: readonly SchemaIssue[]): string =>
  issues
    .slice(0, 5)
    .map((issue) => `${pathOf(issue) || "the whole"}: ${issue.message}`)
    .join("; ")

const settled = (result: SchemaResult<unknown>, { name, where }: SettingsOf): unknown => {
  if (typeof result !== "object" || result === null) throw badAnswer(name, "has a schema that gives no result")
  if (result.issues === undefined) return result.value
  const whose = `the schema of ${name.hook === "setup" ? "" : `the hook ${name.hook} of `}the plugin ${name.plugin}`
  throw new AppError("PluginFailed", {
    detail: `${where} does not match ${whose}: ${problems(result.issues)}.`,
    data: { ...name, reason: settingsRefused },
  })
}

/**
 * `data.reason` of a PluginFailed error if the schema refused the configuration, so that the plugin is not at fault.
 */
export const settingsRefused = "SettingsRefused"

/** Parses a configuration with its schema; unchanged if there is no schema. Throws PluginFailed with the issues. */
export const parseSettings = async (
  schema: StandardSchema | undefined,
  value: unknown,
  of: SettingsOf,
  limits: CallLimits,
): Promise<unknown> =>
  schema === undefined
    ? value
    : settled(await callPlugin(of.name, limits, () => schema["~standard"].validate(value)), of)

/** {@link parseSettings}, synchronously: throws PluginFailed if the schema returns a promise. */
export const parseSettingsNow = (schema: StandardSchema | undefined, value: unknown, of: SettingsOf): unknown => {
  if (schema === undefined) return value
  const result = callPluginNow(of.name, () => schema["~standard"].validate(value))
  if (!(result instanceof Promise)) return settled(result, of)
  result.catch(() => {})
  throw badAnswer(of.name, "has an asynchronous schema: use a synchronous one")
}
