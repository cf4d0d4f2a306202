/** Checks what lowers a Pod's isolation: what pod templates set, and the security of a target. */
import { overExpanded } from "../../api/expansion.ts"
import type { MCPInstance, MCPInstanceSpec } from "../../api/kinds/mcp-instance.ts"
import type { Pod } from "../../api/kinds/pod.ts"
import { AppError } from "../../errors.ts"
import type { Settings } from "../snapshot.ts"
import { findIn, object, type PodFreedom, record } from "./field-rule.ts"
import { podSpecFields } from "./pod-fields.ts"

/** What a Pod has beyond the Pods that need no permission. */
type Taken = {
  /** Entries that kubernetes.allow_in_pods must have for it, in alphabetical order. */
  readonly permissions: readonly PodFreedom[]
  /** Paths of fields that no entry allows: they are unknown, malformed, or have a value that is never allowed. */
  readonly refused: readonly string[]
}

/** True if AppArmor or seccomp is turned off by annotation, the way to do it before there were fields for it. */
const isUnconfinedByName = ({ annotations }: Readonly<Record<string, unknown>>): boolean =>
  Object.entries(record(annotations)).some(
    ([name, value]) => /^container\.(apparmor|seccomp)\.security\./.test(name) && value === "unconfined",
  )

const spec = object(podSpecFields)

/** What a Pod takes, by the table of pod-fields.ts. Takes time linear in the size of the Pod. */
export const takenBy = (pod: Pod, instance: MCPInstance): Taken => {
  const found = [...findIn(pod.spec, spec, "spec", instance)]
  const permissions = new Set(found.flatMap((each) => ("permission" in each ? [each.permission] : [])))
  if (isUnconfinedByName(record(pod.metadata))) permissions.add("privileged")
  return {
    permissions: [...permissions].toSorted(),
    refused: [...new Set(found.flatMap((each) => ("refused" in each ? [each.refused] : [])))],
  }
}

/** Most refused fields that an error names. */
const shown = 5

/** Throws PluginFailed if the templates' Pod has something that kubernetes.allow_in_pods does not allow. */
export const checkTaken = (made: Pod, instance: MCPInstance, settings: Settings): void => {
  const { permissions, refused } = takenBy(made, instance)
  const missing = permissions.filter((permission) => !settings.allow_in_pods.includes(permission))
  const faults = [
    ...(missing.length === 0 ? [] : [`took what kubernetes.allow_in_pods does not allow: ${missing.join(", ")}`]),
    ...(refused.length === 0
      ? []
      : [`set fields or values that nothing allows: ${refused.slice(0, shown).join(", ")}`]),
  ]
  if (faults.length > 0) throw new AppError("PluginFailed", { detail: `A pod template ${faults.join(" and ")}.` })
}

/** Throws PluginFailed if `$(NAME)` make a container's environment or command line too long to start a program. */
export const checkExpanded = ({ spec: { containers, initContainers = [] } }: Pod): void => {
  const tooMuch = [...containers, ...initContainers].map(overExpanded).find((each) => each !== undefined)
  if (tooMuch !== undefined) throw new AppError("PluginFailed", { detail: `A pod template went too far. ${tooMuch}` })
}

/** The fields of a target's security that name a group. */
const groups = ["runAsGroup", "fsGroup"] as const

const rootGroup = "the group of root, which owns files in many images, and kubernetes.allow_in_pods has no rootGroup"

/**
 * The first setting of a spec that is below the Pod Security Standard `restricted`, or sets group 0, as text for a
 * message; undefined if there is none or `kubernetes.pod_security` is not `restricted`. `running`: a Pod of this spec
 * runs already; it may keep group 0, which earlier versions allowed.
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
