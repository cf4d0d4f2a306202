/** What a target is wrong about when it chooses hooks: told before anybody asks for its server. */
import type { FindPluginFaults, PluginFault } from "../api/target-fault.ts"
import { isAppError } from "../errors.ts"
import type { ConfiguredHook } from "./contract.ts"
import { nameOf } from "./parts.ts"
import { findHook, type Registered, type Registry, schemeOf, toConfigured } from "./registry.ts"
import { parseSettingsNow } from "./settings.ts"

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
export const findPluginFaults =
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
