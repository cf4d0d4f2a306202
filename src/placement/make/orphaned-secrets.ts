import { secretKind } from "../../api/kinds/kubernetes.ts"
import type { MCPInstance } from "../../api/kinds/mcp-instance.ts"
import { isCompositionOf } from "../../credentials/secret.ts"
import { hasCode } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { Change, ClusterPort, Reflection } from "../../ports/cluster.ts"
import type { Logger } from "../../ports/telemetry.ts"

/** Dependencies of {@link removeOrphanedSecrets}. */
type OrphanedSecretsDeps = {
  readonly cluster: ClusterPort
  readonly namespace: string
  readonly instances: Pick<Reflection<MCPInstance>, "subscribe">
  readonly clock: ClockPort
  readonly log: Logger
  /** Aborts what is under way. */
  readonly signal: AbortSignal
}

/** Most tries for one Secret, and the pause between them. The Secret holds a credential that must not stay. */
const maxTries = 5
const pauseMs = 2_000

/**
 * True if Kubernetes' garbage collector may have left the Secret behind. `kubectl delete --cascade=orphan` removes the
 * owner from the Secret and sets a finalizer, and with it a deletionTimestamp, on the instance. The Secret of an
 * instance that was deleted without a deletionTimestamp is deleted by the garbage collector.
 */
const mayLeaveSecret = ({ type, object, previous }: Change<MCPInstance>): boolean =>
  type === "deleted" && [object, previous].some((each) => each?.metadata.deletionTimestamp !== undefined)

/** Deletes a deleted instance's Secret, in the version read, if a gateway made it and it has no owner. */
const removeOrphan = async (deps: OrphanedSecretsDeps, instance: MCPInstance, name: string): Promise<void> => {
  const { cluster, namespace, signal, log } = deps
  const secret = await cluster.get(secretKind, { namespace, name }, { signal })
  if (secret === undefined || !isCompositionOf(secret, instance)) return
  const { uid, resourceVersion, ownerReferences = [] } = secret.metadata
  // a Secret with an owner is deleted together with the owner
  if (ownerReferences.length > 0 || uid === undefined || resourceVersion === undefined) return
  const preconditions = { uid, resourceVersion }
  const done = await cluster.delete(secretKind, { namespace, name }, { signal, preconditions })
  // another replica may have been first
  if (done === "deleted")
    log.info("removed the Secret of an instance that was deleted without it", {
      instance: instance.metadata.name,
      name,
    })
}

/** As {@link removeOrphan}, tried again after a pause while the API server does not answer. Never rejects. */
const settle = async (deps: OrphanedSecretsDeps, instance: MCPInstance, name: string): Promise<void> => {
  for (let attempt = 1; ; attempt++) {
    try {
      return await removeOrphan(deps, instance, name)
    } catch (error) {
      if (deps.signal.aborted) return
      if (attempt === maxTries || !hasCode(error, "ClusterUnavailable", "ApiTooManyRequests", "ApiConflict"))
        return deps.log.warn("the Secret of a deleted instance may be left", { name, error })
      await deps.clock.sleep(pauseMs, deps.signal).catch(() => {})
    }
  }
}

/**
 * Deletes the Secret, which holds a user's credentials, of each instance that was deleted without it. Works on one
 * Secret after the other, so that many deleted instances cause no burst of calls. Several gateways may do it at the
 * same time. Returns the function that stops it.
 */
export const removeOrphanedSecrets = (deps: OrphanedSecretsDeps): (() => void) => {
  let last = Promise.resolve()
  return deps.instances.subscribe((change) => {
    if (!mayLeaveSecret(change)) return
    const { spec, status } = change.object
    for (const name of new Set([spec.secretName, status?.secretName]))
      if (name !== undefined) last = last.then(() => settle(deps, change.object, name))
  })
}
