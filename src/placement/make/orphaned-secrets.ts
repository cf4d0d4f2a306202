import { secretKind } from "../../api/kinds/kubernetes.ts"
import type { MCPInstance } from "../../api/kinds/mcp-instance.ts"
import { isCompositionOf } from "../../credentials/secret.ts"
import { hasCode } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { Change, ClusterPort, Reflection } from "../../ports/cluster.ts"
import type { Logger } from "../../ports/telemetry.ts"

/** What removing orphaned Secrets needs. */
type OrphanedSecretsDeps = {
  readonly cluster: ClusterPort
  readonly namespace: string
  readonly instances: Pick<Reflection<MCPInstance>, "subscribe">
  readonly clock: ClockPort
  readonly log: Logger
  /** Ends it. */
  readonly signal: AbortSignal
}

/** How often the API server is asked, and the pause in between: the Secret holds a credential that is nobody's any more. */
const maxTries = 5
const pauseMs = 2_000

/**
 * True if the cluster's own collector may have left the Secret behind: `--cascade=orphan` takes the owner from it and marks the
 * instance before it goes, as other finalizers do. An instance that goes without such a mark is followed by its Secret.
 */
const mayLeaveSecret = ({ type, object, previous }: Change<MCPInstance>): boolean =>
  type === "deleted" && [object, previous].some((each) => each?.metadata.deletionTimestamp !== undefined)

/** Deletes the Secret of an instance that is gone, if it was made for that and has no owner; the very version that said so. */
const removeOrphan = async (deps: OrphanedSecretsDeps, instance: MCPInstance, name: string): Promise<void> => {
  const { cluster, namespace, signal, log } = deps
  const secret = await cluster.get(secretKind, { namespace, name }, { signal })
  if (secret === undefined || !isCompositionOf(secret, instance)) return
  const { uid, resourceVersion, ownerReferences = [] } = secret.metadata
  // whoever has an owner goes with it
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

/** The same, again after a pause while the API server is away. Never rejects. */
const settle = async (deps: OrphanedSecretsDeps, instance: MCPInstance, name: string): Promise<void> => {
  for (let attempt = 1; ; attempt++) {
    try {
      return await removeOrphan(deps, instance, name)
    } catch (error) {
      if (deps.signal.aborted) return
      if (attempt === maxTries || !hasCode(error, "ClusterUnavailable", "ApiTooManyRequests", "ApiConflict"))
        return deps.log.warn("the Secret of an instance that is gone may be left", { name, error })
      await deps.clock.sleep(pauseMs, deps.signal).catch(() => {})
    }
  }
}

/**
 * Removes the Secret, with a user's credentials in it, of each instance that this gateway sees go without it. One after the
 * other, so that many instances at once are no burst; several gateways may do it at once. Returns what ends it.
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
