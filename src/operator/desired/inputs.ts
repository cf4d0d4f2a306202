import type { MCPInstance, MCPInstanceSpec } from "../../api/mcp-instance.ts"
import { digest } from "../../api/names.ts"
import { isRetained } from "../../api/reclaim.ts"

/** The fields of an instance that a running Pod cannot follow: a change of one of them needs another Pod. */
const inputs = [
  "image",
  "imagePullPolicy",
  "imagePullSecrets",
  "port",
  "command",
  "args",
  "env",
  "secretName",
  "healthPath",
  "hostHeader",
  "resources",
  "security",
  "podTemplates",
] as const satisfies readonly (keyof MCPInstanceSpec)[]

/** JSON with sorted keys and without undefined fields: equal for equal values. */
const stableJson = (value: unknown): string =>
  JSON.stringify(value, (_, each: unknown) =>
    typeof each === "object" && each !== null && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)))
      : each,
  )

/**
 * Hash of the instance's inputs to its Pod. Not of the rendered Pod: then an upgrade of the operator, with other
 * defaults, would replace every Pod at once. An instance that is retained is restarted by another Pod: there the restartTime
 * is an input too.
 */
export const inputsHash = ({ metadata, spec }: Pick<MCPInstance, "metadata" | "spec">): string => {
  const names = isRetained({ metadata, spec }) ? [...inputs, "restartTime" as const] : inputs
  return digest(20, stableJson(Object.fromEntries(names.map((name) => [name, spec[name]]))))
}
