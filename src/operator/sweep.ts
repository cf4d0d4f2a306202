import type { Kind, KubeObject } from "../api/kinds/kind.ts"
import { type MCPInstance, mcpInstanceKind } from "../api/kinds/mcp-instance.ts"
import { labels, recommendedLabels } from "../api/names.ts"
import type { ClusterPort } from "../ports/cluster.ts"
import type { Logger } from "../ports/telemetry.ts"
import { type KeptPod, type KeptService, keptPodKind, keptServiceKind } from "./kept.ts"
import type { View } from "./view.ts"

/** Dependencies of the sweep. */
type SweepDeps = {
  readonly cluster: ClusterPort
  readonly namespace: string
  readonly instances: View<MCPInstance>
  readonly pods: View<KeptPod>
  readonly services: View<KeptService>
  readonly log: Logger
  /** Called for each deleted object, with its kind. */
  readonly onSwept: (kind: string) => void
}

/** True if the object has all labels that the operator sets on its objects. */
export const isOurs = ({ metadata }: KubeObject): boolean => {
  const instance = metadata.labels?.[labels.instance]
  if (instance === undefined) return false
  return Object.entries(recommendedLabels(instance)).every(([key, value]) => metadata.labels?.[key] === value)
}

const ownerOf = ({ metadata }: KubeObject) =>
  metadata.ownerReferences?.find(({ controller, kind }) => controller === true && kind === mcpInstanceKind.kind)

/** True if the object's owner does not exist, by the cache. */
const seemsOrphaned = (object: KubeObject, instances: Pick<View<MCPInstance>, "get">): boolean => {
  if (!isOurs(object) || object.metadata.deletionTimestamp !== undefined) return false
  const owner = ownerOf(object)
  return owner === undefined || instances.get(owner.name)?.metadata.uid !== owner.uid
}

/** True if the object's owner does not exist, by a read of the API server, since the cache may be behind. */
const isOrphaned = async (deps: SweepDeps, object: KubeObject, signal: AbortSignal): Promise<boolean> => {
  const owner = ownerOf(object)
  if (owner === undefined) return true
  const ref = { namespace: deps.namespace, name: owner.name }
  const instance = await deps.cluster.get(mcpInstanceKind, ref, { signal })
  return instance?.metadata.uid !== owner.uid
}

const sweepKind = async <T extends KubeObject>(
  deps: SweepDeps,
  kind: Kind<T>,
  view: View<T>,
  signal: AbortSignal,
): Promise<void> => {
  for (const object of [...view.items()].filter((each) => seemsOrphaned(each, deps.instances))) {
    if (!(await isOrphaned(deps, object, signal))) continue
    const { name, uid = "" } = object.metadata
    await deps.cluster.delete(kind, { namespace: deps.namespace, name }, { preconditions: { uid }, signal })
    view.ended(object)
    deps.onSwept(kind.kind)
    deps.log.info("deleted an object whose owner does not exist", { kind: kind.kind, name })
  }
}

/**
 * Deletes Pods and Services of ours whose instance (by UID) does not exist any more. Normally Kubernetes' garbage
 * collector has deleted them before. Rejects with the cluster's error.
 */
export const sweep = async (deps: SweepDeps, signal: AbortSignal): Promise<void> => {
  await sweepKind(deps, keptPodKind, deps.pods, signal)
  await sweepKind(deps, keptServiceKind, deps.services, signal)
}
