import { overExpanded } from "../../api/expansion.ts"
import { labels } from "../../api/labels.ts"
import { MCPInstanceSpec } from "../../api/mcp-instance.ts"
import { belowFloor } from "../desired/floor.ts"
import { inputsHash } from "../desired/inputs.ts"
import type { RefusedReason } from "../reasons.ts"
import type { Check, Snapshot, Verdict } from "../snapshot.ts"

/** Not admitted, and failed until the spec is mended. */
const refuse = (reason: RefusedReason, message: string): Verdict => ({
  refused: { reason, message },
  standing: { ready: false, reason, message, failed: {} },
})

/** An instance that is being deleted is left to the API server: its children go with it. Nothing is sent to it any more. */
export const beingDeleted: Check = ({ instance }) => {
  if (instance.metadata.deletionTimestamp === undefined) return undefined
  return { standing: { ready: false, reason: "Terminating", message: "The instance is being deleted." } }
}

/** What a CRD of another version let through. */
export const invalidSpec: Check = ({ instance }) => {
  const result = MCPInstanceSpec.safeParse(instance.spec)
  if (result.success) return undefined
  const [issue] = result.error.issues
  return refuse("InvalidSpec", `spec.${issue?.path.join(".")}: ${issue?.message ?? "invalid"}`.slice(0, 900))
}

/** A pod template that no loaded plugin has. */
export const unknownTemplate: Check = ({ instance, settings }) => {
  const unknown = instance.spec.podTemplates?.find(({ name }) => !settings.podTemplates.has(name))
  if (unknown === undefined) return undefined
  return refuse("PodTemplateUnknown", `No plugin has the pod template '${unknown.name}': load it or correct the name.`)
}

/** True if the Pod was made from this very spec: what a newer version of ours asks for must not end it. */
const runsAsItIs = ({ pod, instance }: Snapshot): boolean =>
  pod !== undefined && pod.metadata.annotations?.[labels.inputsHash] === inputsHash(instance)

/** Less than the Pod Security Standard that the operator is told to keep. */
export const tooPrivileged: Check = (snapshot) => {
  const { instance, settings } = snapshot
  const what = belowFloor(instance.spec, settings, runsAsItIs(snapshot))
  if (what === undefined) return undefined
  return refuse("PodForbidden", `${what}: kubernetes.pod_security is ${settings.pod_security}. Change one of them.`)
}

/** `$(NAME)` in its environment or command line makes more of them than a program can be started with. */
export const expandsTooFar: Check = (snapshot) => {
  if (runsAsItIs(snapshot)) return undefined
  const what = overExpanded(snapshot.instance.spec)
  return what === undefined ? undefined : refuse("InvalidSpec", what)
}
