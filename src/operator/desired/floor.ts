/** What a target may not ask for its servers, whatever its pod templates do. */
import type { MCPInstanceSpec } from "../../api/mcp-instance.ts"
import type { Settings } from "../snapshot.ts"

/** The fields of a target's security that name a group. */
const groups = ["runAsGroup", "fsGroup"] as const

const rootGroup = "the group of root, which owns files in many images, and kubernetes.allow_in_pods has no rootGroup"

/**
 * What of `spec` is less than the Pod Security Standard that the operator's configuration demands, and besides it group
 * 0. `running`: a Pod of this spec is there; it may keep its group, which an earlier version allowed.
 */
export const belowFloor = (
  { security }: Pick<MCPInstanceSpec, "security">,
  settings: Settings,
  running = false,
): string | undefined => {
  if (settings.pod_security !== "restricted") return undefined
  if (security?.runAsUser === 0) return "security.runAsUser is 0 (root)"
  if (security?.runAsNonRoot === false) return "security.runAsNonRoot is false"
  if (running || settings.allow_in_pods.includes("rootGroup")) return undefined
  const group = groups.find((field) => security?.[field] === 0)
  return group === undefined ? undefined : `security.${group} is 0 (${rootGroup})`
}
