import type { Kind, KubeObject } from "../api/kinds/kind.ts"
import { type MCPInstance, mcpInstanceKind } from "../api/kinds/mcp-instance.ts"
import { type AppError, hasCode, isAbort } from "../errors.ts"
import { type ClusterPort, isWebhookFailure, type MergePatch } from "../ports/cluster.ts"
import type { Logger } from "../ports/telemetry.ts"
import { noteOf } from "./events.ts"
import { keptPodKind, keptServiceKind } from "./kept.ts"
import type { Observatory } from "./observe.ts"
import type { Action, Decision, Note, Refusal, Snapshot } from "./snapshot.ts"
import type { View } from "./view.ts"

/** Dependencies of acting. The signal aborts every write when the operator closes. */
type Actor = {
  readonly cluster: ClusterPort
  readonly namespace: string
  readonly views: Pick<Observatory, "instances" | "pods" | "services">
  readonly log: Logger
  readonly signal: AbortSignal
}

/** Result of an effect: `done`, `stale` (the object had changed, so decide again) or the API server's refusal. */
type Outcome = "done" | "stale" | Refusal

/** Reads one object from the API server into the view. Rejects with the cluster's error. */
export const refresh = async <T extends KubeObject>(
  { cluster, namespace, signal }: Pick<Actor, "cluster" | "namespace" | "signal">,
  kind: Kind<T>,
  view: View<T>,
  name: string,
): Promise<void> => {
  // the UID of before the read: meanwhile the watch may show another object of this name, which the answer is not about
  const before = view.get(name)?.metadata.uid
  const object = await cluster.get(kind, { namespace, name }, { signal })
  if (object !== undefined) view.learn(object)
  else if (before !== undefined) view.gone(name, before)
}

const refusalOf = (refused: string, error: AppError): Refusal => {
  const kind = refused === keptPodKind.kind ? "Pod" : "Service"
  const refusal = (reason: Refusal["reason"], what: string): Refusal => ({
    reason,
    message: `${what} It is tried again, at growing intervals. ${error.message}`.slice(0, 900),
  })
  if (error.code === "ApiInvalid")
    return refusal(
      `${kind}Invalid`,
      `The API server rejects the ${kind} as invalid, for the reason at the end of this message: correct the target.`,
    )
  if (error.code === "QuotaExceeded")
    return refusal("QuotaExceeded", `The namespace's quota has no room for the ${kind}: raise it, or free some of it.`)
  if (isWebhookFailure(error))
    return refusal("WebhookFailed", `An admission webhook cannot be called for the ${kind}: repair it, or remove it.`)
  const rules = "(Pod Security, webhook, RBAC)"
  return refusal(
    `${kind}Forbidden`,
    `The API server forbids the ${kind}, for the reason at the end of this message: change the target, or the rule ${rules}.`,
  )
}

const create = async <T extends KubeObject>(
  actor: Actor,
  kind: Kind<T>,
  view: View<T>,
  object: T,
): Promise<Outcome> => {
  try {
    view.learn(await actor.cluster.create(kind, object, { signal: actor.signal }))
    return "done"
  } catch (error) {
    if (hasCode(error, "ApiForbidden", "ApiInvalid", "QuotaExceeded") || isWebhookFailure(error))
      return refusalOf(kind.kind, error)
    if (!hasCode(error, "ApiAlreadyExists")) throw error
    // ours from a try whose response was lost, or a foreign object: the next decision finds out
    await refresh(actor, kind, view, object.metadata.name)
    return "stale"
  }
}

const remove = async <T extends KubeObject>(
  actor: Actor,
  kind: Kind<T>,
  view: View<T>,
  object: T,
): Promise<Outcome> => {
  const { name, uid = "" } = object.metadata
  const options = { preconditions: { uid }, signal: actor.signal }
  await actor.cluster.delete(kind, { namespace: actor.namespace, name }, options)
  view.ended(object)
  return "done"
}

/** Runs a write with preconditions. If the object has changed or was deleted, reads it again and returns `stale`. */
const ifUnchanged = async <T extends KubeObject>(
  actor: Actor,
  kind: Kind<T>,
  view: View<T>,
  name: string,
  write: () => Promise<void>,
): Promise<Outcome> => {
  try {
    await write()
    return "done"
  } catch (error) {
    if (!hasCode(error, "ApiConflict", "ApiNotFound")) throw error
    await refresh(actor, kind, view, name)
    return "stale"
  }
}

/** Preconditions of a patch: the object must have this UID and resourceVersion. */
const preconditions = ({ metadata: { uid, resourceVersion } }: KubeObject): MergePatch => ({
  ...(uid === undefined ? {} : { uid }),
  ...(resourceVersion === undefined ? {} : { resourceVersion }),
})

/** Deletes an object if it still has this UID and resourceVersion; else `stale`. */
const removeUnchanged = <T extends KubeObject>(
  actor: Actor,
  kind: Kind<T>,
  view: View<T>,
  object: T,
): Promise<Outcome> => {
  const { name, uid = "", resourceVersion = "" } = object.metadata
  return ifUnchanged(actor, kind, view, name, async () => {
    const options = { preconditions: { uid, resourceVersion }, signal: actor.signal }
    await actor.cluster.delete(kind, { namespace: actor.namespace, name }, options)
    view.ended(object)
  })
}

const perform = (actor: Actor, instance: MCPInstance, action: Action): Promise<Outcome> => {
  const { cluster, namespace, signal, views } = actor
  switch (action.do) {
    case "createService":
      return create(actor, keptServiceKind, views.services, action.service)
    case "createPod":
      return create(actor, keptPodKind, views.pods, action.pod)
    case "deleteService":
      return remove(actor, keptServiceKind, views.services, action.service)
    case "deletePod":
      // its server may have answered meanwhile: then it must be drained first
      return removeUnchanged(actor, keptPodKind, views.pods, action.pod)
    case "deleteInstance":
      // use that was written meanwhile prevents the deletion
      return removeUnchanged(actor, mcpInstanceKind, views.instances, instance)
    case "patchService": {
      const { name } = action.service.metadata
      const patch = { ...action.patch, metadata: { uid: action.service.metadata.uid } }
      return ifUnchanged(actor, keptServiceKind, views.services, name, async () =>
        views.services.learn(await cluster.mergePatch(keptServiceKind, { namespace, name }, patch, { signal })),
      )
    }
    case "patchInstance": {
      const { name } = instance.metadata
      const patch = { ...action.patch, metadata: preconditions(instance) }
      return ifUnchanged(actor, mcpInstanceKind, views.instances, name, async () =>
        views.instances.learn(await cluster.mergePatch(mcpInstanceKind, { namespace, name }, patch, { signal })),
      )
    }
  }
}

const writeStatus = async (actor: Actor, instance: MCPInstance, decision: Decision): Promise<Outcome> => {
  if (decision.statusPatch === undefined) return "done"
  const { cluster, namespace, signal, views } = actor
  const { name } = instance.metadata
  // An API server ignores a uid in the patch of a status. Only the resourceVersion keeps this status from an instance that
  // was created under the same name since this one was read.
  const patch = { ...decision.statusPatch, metadata: preconditions(instance) }
  return ifUnchanged(actor, mcpInstanceKind, views.instances, name, async () =>
    views.instances.learn(await cluster.patchStatus(mcpInstanceKind, { namespace, name }, patch, { signal })),
  )
}

/** Reports notes in the log and as Events on the instance. Rejects only on abort: an Event that fails is logged. */
const report = async (actor: Actor, instance: MCPInstance, notes: readonly Note[]): Promise<void> => {
  const about = { instance: instance.metadata.name, target: instance.spec.targetName }
  for (const { type, reason, note } of notes) {
    actor.log[type === "Warning" ? "warn" : "info"]("an instance changed", { ...about, reason, note })
    try {
      await actor.cluster.recordEvent({ regarding: instance, type, reason, note }, { signal: actor.signal })
    } catch (error) {
      if (isAbort(error)) throw error
      actor.log.debug("an Event could not be recorded", { ...about, reason, error })
    }
  }
}

/**
 * Carries out a decision: the actions in order, then the status, then the Events. Stops at the first result but `done`.
 */
export const act = async (actor: Actor, { instance }: Snapshot, decision: Decision): Promise<Outcome> => {
  const { name } = instance.metadata
  for (const action of decision.actions) {
    const outcome = await perform(actor, instance, action)
    actor.log.debug("acted", { instance: name, action: action.do, check: decision.check, outcome })
    if (outcome !== "done") return outcome
    const note = noteOf(action)
    if (note !== undefined) await report(actor, instance, [note])
  }
  const outcome = await writeStatus(actor, instance, decision)
  if (decision.statusPatch !== undefined)
    actor.log.debug("wrote the status", {
      instance: name,
      phase: decision.status.phase,
      check: decision.check,
      outcome,
    })
  if (outcome === "done") await report(actor, instance, decision.notes)
  return outcome
}
