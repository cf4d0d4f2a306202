import { containerFields } from "../../api/container.ts"
import type { MCPInstance } from "../../api/mcp-instance.ts"
import type { MCPTarget } from "../../api/mcp-target.ts"
import { mergePatchBetween } from "../../api/merge-patch.ts"
import type { Check } from "../snapshot.ts"

const shared = Object.keys(containerFields) as readonly (keyof typeof containerFields)[]

const pick = (spec: MCPInstance["spec"] | MCPTarget["spec"]): Record<string, unknown> =>
  Object.fromEntries(shared.map((name) => [name, spec[name]]))

/**
 * A newer generation of the target reaches its instance, field by field. Only gateways make instances that follow:
 * one that was applied by hand names no target UID and stays as it was written.
 */
export const followTarget: Check = ({ instance, target }) => {
  const { targetUID, targetGeneration = 0 } = instance.spec
  if (target === undefined || targetUID === undefined || target.metadata.uid !== targetUID) return undefined
  const generation = target.metadata.generation ?? 0
  if (target.metadata.deletionTimestamp !== undefined || generation <= targetGeneration) return undefined
  const fields = mergePatchBetween(pick(instance.spec), pick(target.spec))
  if (fields === undefined) return undefined
  const patch = { spec: { ...fields, targetGeneration: generation } }
  return { actions: [{ do: "patchInstance", patch }], quiet: true }
}
