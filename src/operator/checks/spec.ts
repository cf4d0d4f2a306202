/** Checks of what an instance asks for: whether it is being deleted, its spec, and what its target changed. */
import { overExpanded } from "../../api/expansion.ts"
import { containerFields } from "../../api/kinds/container.ts"
import { type MCPInstance, MCPInstanceSpec } from "../../api/kinds/mcp-instance.ts"
import type { MCPTarget } from "../../api/kinds/mcp-target.ts"
import { isRemote } from "../../api/kinds/remote.ts"
import { labels } from "../../api/names.ts"
import { mergePatchBetween } from "../../api/patch.ts"
import { noBridge } from "../desired/bridge.ts"
import { belowFloor } from "../desired/permissions.ts"
import { inputsHash } from "../desired/pod.ts"
import type { RefusedReason } from "../reasons.ts"
import type { Check, Finding, Snapshot } from "../snapshot.ts"

/** The instance is not admitted, and its phase is Failed until its spec is corrected. */
const refuse = (reason: RefusedReason, message: string): Finding => ({
  verdict: { refused: { reason, message }, standing: { ready: false, reason, message, failed: {} } },
})

/** Only writes the condition of an instance being deleted: Kubernetes' garbage collector deletes Pod and Service. */
export const beingDeleted: Check = ({ instance }) => {
  if (instance.metadata.deletionTimestamp === undefined) return undefined
  const standing = { ready: false, reason: "Terminating", message: "The instance is being deleted." } as const
  return { verdict: { standing } }
}

/** Specs that were found valid; their objects never change. */
const valid = new WeakSet<MCPInstance["spec"]>()

/** Refuses a spec that is invalid for this version, for example because a CRD of another version allowed it. */
export const invalidSpec: Check = ({ instance }) => {
  if (valid.has(instance.spec)) return undefined
  const result = MCPInstanceSpec.safeParse(instance.spec)
  if (result.success) {
    valid.add(instance.spec)
    return undefined
  }
  const [issue] = result.error.issues
  return refuse("InvalidSpec", `spec.${issue?.path.join(".")}: ${issue?.message ?? "invalid"}`.slice(0, 900))
}

/** Refuses a pod template that no loaded plugin has. */
export const unknownTemplate: Check = ({ instance, settings }) => {
  const unknown = instance.spec.podTemplates?.find(({ name }) => !settings.podTemplates.has(name))
  if (unknown === undefined) return undefined
  return refuse("PodTemplateUnknown", `No plugin has the pod template '${unknown.name}': load it or correct the name.`)
}

/** True if the Pod was made from the current spec: stricter rules of a newer operator version must not end it. */
const runsAsItIs = ({ pod, instance }: Snapshot): boolean =>
  pod !== undefined && pod.metadata.annotations?.[labels.inputsHash] === inputsHash(instance)

/** Refuses a stdio server where the operator has no bridge for it. One that runs has its bridge already. */
export const withoutBridge: Check = (snapshot) => {
  const what = runsAsItIs(snapshot) ? undefined : noBridge(snapshot.instance.spec, snapshot.settings)
  return what === undefined ? undefined : refuse("InvalidSpec", what)
}

/** Refuses a spec below the Pod Security Standard that `kubernetes.pod_security` demands. */
export const tooPrivileged: Check = (snapshot) => {
  const { instance, settings } = snapshot
  const what = belowFloor(instance.spec, settings, runsAsItIs(snapshot))
  if (what === undefined) return undefined
  return refuse("PodForbidden", `${what}: kubernetes.pod_security is ${settings.pod_security}. Change one of them.`)
}

/** Refuses a spec whose `$(NAME)` references make its environment or command line too long for a program to start. */
export const expandsTooFar: Check = (snapshot) => {
  if (runsAsItIs(snapshot)) return undefined
  const what = overExpanded(snapshot.instance.spec)
  return what === undefined ? undefined : refuse("InvalidSpec", what)
}

/**
 * Refuses an instance of a remote target, which only a person can have made: no gateway would send a request to it. One
 * that runs since before its target was deleted and made again ends by its idle TTL.
 */
export const ofRemoteTarget: Check = (snapshot) => {
  const { target, instance } = snapshot
  if (target === undefined || !isRemote(target) || runsAsItIs(snapshot)) return undefined
  const what = `Somebody else runs the server of the target ${instance.spec.targetName}, which spec.remote names`
  return refuse("InvalidSpec", `${what}: no instance of it can be made. Delete this one, or name another target.`)
}

const shared = Object.keys(containerFields) as readonly (keyof typeof containerFields)[]

const pick = (spec: MCPInstance["spec"] | MCPTarget["spec"]): Record<string, unknown> =>
  Object.fromEntries(shared.map((name) => [name, spec[name]]))

/**
 * Copies the changed fields of a newer generation of the target into the instance's spec. Only instances that a gateway
 * created follow their target: an instance that was applied by hand has no targetUID and stays unchanged.
 */
export const followTarget: Check = ({ instance, target }) => {
  const { targetUID, targetGeneration = 0 } = instance.spec
  if (target === undefined || targetUID === undefined || target.metadata.uid !== targetUID) return undefined
  // it has no image to copy
  if (isRemote(target)) return undefined
  const generation = target.metadata.generation ?? 0
  if (target.metadata.deletionTimestamp !== undefined || generation <= targetGeneration) return undefined
  const fields = mergePatchBetween(pick(instance.spec), pick(target.spec))
  if (fields === undefined) return undefined
  const patch = { spec: { ...fields, targetGeneration: generation } }
  return { verdict: { actions: [{ do: "patchInstance", patch }], quiet: true } }
}
