/** What a pod template took for a Pod that lowers isolation: nothing of it is allowed unless the configuration names it. */
import { overExpanded } from "../../api/expansion.ts"
import type { MCPInstance, MCPInstanceSpec } from "../../api/kinds/mcp-instance.ts"
import type { Pod } from "../../api/kinds/pod.ts"
import { AppError } from "../../errors.ts"
import type { Settings } from "../snapshot.ts"
import { findIn, object, type PodFreedom, record } from "./field-rule.ts"
import { podSpecFields } from "./pod-fields.ts"

/** What a Pod takes besides what every Pod has. */
type Taken = {
  /** Words that kubernetes.allow_in_pods must have for it, in the order of the alphabet. */
  readonly words: readonly PodFreedom[]
  /** Paths of fields that no word allows: they are unknown, malformed, or have a value that is never allowed. */
  readonly refused: readonly string[]
}

/** True if AppArmor or seccomp is turned off by annotation, as before there were fields for it. */
const isUnconfinedByName = ({ annotations }: Readonly<Record<string, unknown>>): boolean =>
  Object.entries(record(annotations)).some(
    ([name, value]) => /^container\.(apparmor|seccomp)\.security\./.test(name) && value === "unconfined",
  )

const spec = object(podSpecFields)

/** What a Pod takes, by the table of pod-fields.ts. Linear in the Pod. */
export const takenBy = (pod: Pod, instance: MCPInstance): Taken => {
  const found = [...findIn(pod.spec, spec, "spec", instance)]
  const words = new Set(found.flatMap((each) => ("word" in each ? [each.word] : [])))
  if (isUnconfinedByName(record(pod.metadata))) words.add("privileged")
  return {
    words: [...words].toSorted(),
    refused: [...new Set(found.flatMap((each) => ("refused" in each ? [each.refused] : [])))],
  }
}

/** How many refused fields an error names. */
const shown = 5

/** Throws PluginFailed if what templates made takes what the configuration does not allow, or what nothing allows. */
export const checkTaken = (made: Pod, instance: MCPInstance, settings: Settings): void => {
  const { words, refused } = takenBy(made, instance)
  const missing = words.filter((word) => !settings.allow_in_pods.includes(word))
  const faults = [
    ...(missing.length === 0 ? [] : [`took what kubernetes.allow_in_pods does not allow: ${missing.join(", ")}`]),
    ...(refused.length === 0
      ? []
      : [`set fields or values that nothing allows: ${refused.slice(0, shown).join(", ")}`]),
  ]
  if (faults.length > 0) throw new AppError("PluginFailed", { detail: `A pod template ${faults.join(" and ")}.` })
}

/** Throws PluginFailed if `$(NAME)` makes more of what templates made than a program can be started with. */
export const checkExpanded = ({ spec: { containers, initContainers = [] } }: Pod): void => {
  const tooMuch = [...containers, ...initContainers].map(overExpanded).find((each) => each !== undefined)
  if (tooMuch !== undefined) throw new AppError("PluginFailed", { detail: `A pod template went too far. ${tooMuch}` })
}

/** What a target may not ask for its servers, whatever its pod templates do. */

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
