import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import { suggestion } from "../api/nearest.ts"
import { deepFreeze } from "../api/patch.ts"
import { AppError } from "../errors.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { Logger } from "../ports/telemetry.ts"
import { badAnswer, type CallName, type Meter } from "./call.ts"
import type { ConfiguredHook, HookContext, Hooks, PodTemplateHook, SecretHook, SubjectKeyHook } from "./contract.ts"
import type { HookKind } from "./shape.ts"
import type { StandardSchema } from "./standard-schema.ts"

/** A plugin after its setup. */
export type ReadyPlugin = {
  readonly name: string
  /** True for built-in plugins: targets may name their hooks without the plugin. */
  readonly firstParty: boolean
  readonly hooks: Hooks
  readonly log: Logger
  /** Names of the Secrets that the plugin may read (plugins[].secrets). */
  readonly readable: Pick<readonly string[], "includes">
}

/** A hook and its plugin. */
export type Registered<H> = {
  readonly plugin: ReadyPlugin
  /** With its kind: `subjectKeys.tenant`. */
  readonly name: string
  readonly hook: H
  /** The plugin's log, whose lines name the hook too. */
  readonly log: Logger
}

/** All hooks of all plugins, by the names that targets may use. */
export type Registry = {
  readonly subjectKeys: ReadonlyMap<string, Registered<SubjectKeyHook>>
  readonly secrets: ReadonlyMap<string, Registered<SecretHook>>
  readonly podTemplates: ReadonlyMap<string, Registered<PodTemplateHook>>
}

/**
 * The names of a hook for targets: a scheme has no prefix; others are `plugin/name`, for built-in plugins also `name`.
 */
const namesOf = (kind: HookKind, plugin: ReadyPlugin, hook: string): readonly string[] => {
  if (kind === "secrets") return [hook]
  return plugin.firstParty ? [hook, `${plugin.name}/${hook}`] : [`${plugin.name}/${hook}`]
}

const duplicate = (what: string, name: string, plugins: readonly [string, string]): AppError =>
  new AppError("PluginFailed", {
    detail: `Two plugins, ${plugins.join(" and ")}, have the ${what} '${name}': load one of them.`,
  })

const collect = <H>(kind: HookKind, plugins: readonly ReadyPlugin[]): ReadonlyMap<string, Registered<H>> => {
  const found = new Map<string, Registered<H>>()
  for (const plugin of plugins) {
    for (const [name, hook] of Object.entries(plugin.hooks[kind] ?? {})) {
      const own = { plugin, name: `${kind}.${name}`, hook: hook as H }
      const registered = { ...own, log: plugin.log.child({ hook: own.name }) }
      for (const known of namesOf(kind, plugin, name)) {
        const other = found.get(known)
        if (other !== undefined) throw duplicate(kind, known, [other.plugin.name, plugin.name])
        found.set(known, registered)
      }
    }
  }
  return found
}

/** Collects the hooks of all plugins. Throws PluginFailed if two plugins or two hooks have the same name. */
export const createRegistry = (plugins: readonly ReadyPlugin[]): Registry => {
  const names = new Set<string>()
  for (const { name } of plugins) {
    if (names.has(name))
      throw new AppError("PluginFailed", { detail: `Two plugins have the name '${name}': load one of them.` })
    names.add(name)
  }
  return {
    subjectKeys: collect("subjectKeys", plugins),
    secrets: collect("secrets", plugins),
    podTemplates: collect("podTemplates", plugins),
  }
}

/** The hook that a target names. Throws PluginFailed, with the most similar known name, if there is none. */
export const findHook = <H>(hooks: ReadonlyMap<string, Registered<H>>, name: string, what: string): Registered<H> => {
  const found = hooks.get(name)
  if (found !== undefined) return found
  throw new AppError("PluginFailed", {
    detail: `No plugin has the ${what} '${name}'${suggestion(name, hooks.keys()) || "."}`,
  })
}

/** The scheme of `scheme:reference`; empty if there is no colon. */
export const schemeOf = (from: string): string => from.slice(0, Math.max(from.indexOf(":"), 0))

/** A hook as function and schema, whether it is a plain function or a {@link ConfiguredHook}. */
export const toConfigured = <I, C, R>(
  hook: ((input: I, context: C) => R) | ConfiguredHook<I, C, R>,
): { readonly config: StandardSchema | undefined; readonly run: (input: I, context: C) => R } =>
  typeof hook === "function"
    ? { config: undefined, run: hook }
    : { config: hook.config, run: (input, context) => hook.run(input, context) }

/** Reads one key of a Secret in the namespace of the instances; undefined if there is no such Secret or key. */
export type ReadSecret = (name: string, key: string, signal: AbortSignal) => Promise<string | undefined>

/** Dependencies of calls of hooks. */
export type Parts = {
  readonly registry: Registry
  readonly meter: Meter
  readonly clock: ClockPort
  /** Undefined in the operator, which may not read Secrets. */
  readonly readSecret: ReadSecret | undefined
}

/** The name of a hook in errors and metrics. */
export const nameOf = ({ plugin, name }: Registered<unknown>): CallName => ({ plugin: plugin.name, hook: name })

/** Builds the {@link HookContext} of a call. */
export const contextOf = (
  { clock, readSecret }: Parts,
  found: Registered<unknown>,
  target: MCPTarget,
  signal: AbortSignal,
): HookContext => ({
  signal,
  log: found.log,
  clock,
  target: deepFreeze(target),
  readSecret: async (name, key) => {
    if (readSecret !== undefined && found.plugin.readable.includes(name)) return readSecret(name, key, signal)
    throw badAnswer(nameOf(found), `may not read the Secret '${name.slice(0, 64)}': name it in plugins[].secrets`)
  },
})
