import type { MCPTargetSpec } from "./mcp-target.ts"

/** Why a target chooses of plugins what they do not have, or configures it in a way that their schema refuses. */
export const pluginFaultReasons = [
  "StrategyUnknown",
  "SecretSchemeUnknown",
  "PodTemplateUnknown",
  "PluginConfigInvalid",
] as const

/** What is wrong with a target that has the right form: a name in it stands for nothing, or a configuration is refused. */
export type PluginFault = {
  readonly reason: (typeof pluginFaultReasons)[number]
  /** Where it stands in the spec, e.g. `["podTemplates", "0", "name"]`. */
  readonly path: readonly string[]
  /** A sentence: what is wrong, and what was probably meant. Never a value of a configuration. */
  readonly message: string
}

/** Finds what a target's choices of plugins are wrong about, in the order of the spec. Never throws. */
export type FindPluginFaults = (
  spec: Pick<MCPTargetSpec, "subjectKey" | "secrets" | "podTemplates">,
) => readonly PluginFault[]
