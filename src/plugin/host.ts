/**
 * Calls the hooks of all loaded plugins: subject keys, secrets, pod templates. Each call has a time limit, is counted,
 * and its result is checked. It also finds faults in targets' choices of hooks, before a request needs them.
 */
import type { MCPInstance } from "../api/kinds/mcp-instance.ts"
import type { FindPluginFaults, MCPTarget, PluginFault } from "../api/kinds/mcp-target.ts"
import type { Pod } from "../api/kinds/pod.ts"
import { isAppError } from "../errors.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { TelemetryPort } from "../ports/telemetry.ts"
import { createMeter } from "./call.ts"
import type { ConfiguredHook, PluginIdentity, SecretResult } from "./contract.ts"
import { applyTemplates, askSubjectKey, resolveSecret, type SecretRequest } from "./hooks.ts"
import {
  createRegistry,
  findHook,
  nameOf,
  type ReadSecret,
  type ReadyPlugin,
  type Registered,
  type Registry,
  schemeOf,
  toConfigured,
} from "./registry.ts"
import { type LoadedPlugin, setUpPlugin } from "./setup.ts"
import { parseSettingsNow } from "./shape.ts"

/** Maximum length of a fault's message, in characters: a plugin's schema may produce long texts. */
const longest = 900

/** A place in a target's spec that chooses a hook. */
type Choice = {
  /** Path in the spec. */
  readonly path: readonly string[]
  /** Field that names the hook. */
  readonly field: "strategy" | "name" | "from"
  /** Reason of the fault if there is no such hook. */
  readonly unknown: PluginFault["reason"]
}

const messageOf = (error: unknown): string =>
  isAppError(error) ? error.message.slice(0, longest) : "It could not be checked."

/** The fault that there is no such hook; undefined if there is one. */
const unknownOf = (find: () => unknown, { path, field, unknown: reason }: Choice): PluginFault | undefined => {
  try {
    find()
    return undefined
  } catch (error) {
    return { reason, path: [...path, field], message: messageOf(error) }
  }
}

type AnyHook<I, C, R> = ((input: I, context: C) => R) | ConfiguredHook<I, C, R>

/** The fault that there is no such hook, or that its schema refuses the configuration; empty if neither. */
const faultsOf = <I, C, R>(
  find: () => Registered<AnyHook<I, C, R>>,
  config: unknown,
  choice: Choice,
): readonly PluginFault[] => {
  const missing = unknownOf(find, choice)
  if (missing !== undefined) return [missing]
  const path = [...choice.path, "config"]
  try {
    const found = find()
    parseSettingsNow(toConfigured(found.hook).config, config, { name: nameOf(found), where: `spec.${path.join(".")}` })
    return []
  } catch (error) {
    return [{ reason: "PluginConfigInvalid", path, message: messageOf(error) }]
  }
}

/** Creates the function that finds the faults of a target's choices of hooks. */
const findPluginFaults =
  (registry: Registry): FindPluginFaults =>
  ({ subjectKey, secrets = [], podTemplates = [] }) => [
    ...(subjectKey === undefined
      ? []
      : faultsOf(
          () => findHook(registry.subjectKeys, subjectKey.strategy, "subject-key strategy"),
          subjectKey.config ?? {},
          { path: ["subjectKey"], field: "strategy", unknown: "StrategyUnknown" },
        )),
    ...secrets.flatMap(({ from }, index) => {
      const choice = { path: ["secrets", String(index)], field: "from", unknown: "SecretSchemeUnknown" } as const
      return unknownOf(() => findHook(registry.secrets, schemeOf(from), "scheme"), choice) ?? []
    }),
    ...podTemplates.flatMap(({ name, config = {} }, index) =>
      faultsOf(() => findHook(registry.podTemplates, name, "pod template"), config, {
        path: ["podTemplates", String(index)],
        field: "name",
        unknown: "PodTemplateUnknown",
      }),
    ),
  ]

/** Dependencies of {@link createPluginHost}. */
export type HostDeps = {
  readonly clock: ClockPort
  readonly telemetry: TelemetryPort
  /** Reads Secrets; absent in the operator, which may not read any. */
  readonly readSecret?: ReadSecret
  /** Aborted when the role is closed during its start. */
  readonly signal?: AbortSignal
}

/** The loaded plugins. All functions except `faults` throw PluginFailed with the names of plugin and hook. */
export type PluginHost = {
  /**
   * The result of the target's subject-key strategy for the caller; undefined = denied. A promise only if the hook
   * returns one. Also throws SubjectKeyDenied. `requestId` is for the log.
   */
  subjectKey(
    target: MCPTarget,
    identity: PluginIdentity,
    requestId?: string,
  ): string | undefined | Promise<string | undefined>
  /** The value of `scheme:reference`. Also rejects with CredentialMissing or SubjectKeyDenied. */
  secret(request: SecretRequest): Promise<SecretResult>
  /** Faults in a target's choices of hooks: names of no loaded hook, and configurations that a schema refuses. */
  readonly faults: FindPluginFaults
  /** Names that targets may use in `podTemplates`. */
  readonly podTemplates: ReadonlySet<string>
  /** Applies the instance's pod templates to a Pod, in order. */
  template(pod: Pod, instance: MCPInstance): Pod
}

/** Sets up the plugins, one after the other and in order. Throws PluginFailed, which ends the start of the process. */
export const createPluginHost = async (loaded: readonly LoadedPlugin[], deps: HostDeps): Promise<PluginHost> => {
  const ready: ReadyPlugin[] = []
  for (const each of loaded) ready.push(await setUpPlugin(each, deps))
  const { clock, readSecret, telemetry } = deps
  const registry = createRegistry(ready)
  const parts = { registry, meter: createMeter(telemetry), clock, readSecret }
  return {
    subjectKey: askSubjectKey(parts),
    secret: resolveSecret(parts),
    faults: findPluginFaults(registry),
    podTemplates: new Set(parts.registry.podTemplates.keys()),
    template: applyTemplates(parts),
  }
}
