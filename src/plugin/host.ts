/** What the program asks of plugins: subject keys, secrets, pod templates; each bounded, checked and counted. */
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

/** What a target is wrong about when it chooses hooks: told before anybody asks for its server. */

/** Longest sentence, in characters: a schema of a plugin may write what it likes. */
const longest = 900

type Choice = {
  /** Where the choice stands in the spec. */
  readonly path: readonly string[]
  /** Field that names the hook. */
  readonly field: "strategy" | "name" | "from"
  readonly unknown: PluginFault["reason"]
}

const messageOf = (error: unknown): string =>
  isAppError(error) ? error.message.slice(0, longest) : "It could not be checked."

/** Is there such a hook? */
const unknownOf = (find: () => unknown, { path, field, unknown: reason }: Choice): PluginFault | undefined => {
  try {
    find()
    return undefined
  } catch (error) {
    return { reason, path: [...path, field], message: messageOf(error) }
  }
}

type AnyHook<I, C, R> = ((input: I, context: C) => R) | ConfiguredHook<I, C, R>

/** Is there such a hook, and does its schema take the configuration? */
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

/** Makes the function that holds targets against the hooks that there are. */
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

/** What the host works with. */
export type HostDeps = {
  readonly clock: ClockPort
  readonly telemetry: TelemetryPort
  /** Absent where no Secret may be read (operator). */
  readonly readSecret?: ReadSecret
  /** Aborted when the start is given up. */
  readonly signal?: AbortSignal
}

/** The loaded plugins. Every function throws PluginFailed with the names of plugin and hook. */
export type PluginHost = {
  /**
   * What the target's strategy says of the caller; undefined = denied. A promise only if the hook makes one. `requestId`
   * is for the log.
   */
  subjectKey(
    target: MCPTarget,
    identity: PluginIdentity,
    requestId?: string,
  ): string | undefined | Promise<string | undefined>
  /** The value behind `scheme:reference`. */
  secret(request: SecretRequest): Promise<SecretResult>
  /** What a target's choices of hooks are wrong about: names that nothing has, configurations that a schema refuses. */
  readonly faults: FindPluginFaults
  /** Names that targets may use in `podTemplates`. */
  readonly podTemplates: ReadonlySet<string>
  /** The Pod as the instance's templates make it, in order. */
  template(pod: Pod, instance: MCPInstance): Pod
}

/** Sets up plugins, one after the other, in order, and makes their host. Throws PluginFailed: the start stops. */
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
