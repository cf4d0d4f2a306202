import type { Kind, KubeObject } from "../api/kinds/kind.ts"
import { type Service, serviceKind } from "../api/kinds/kubernetes.ts"
import { type MCPInstance, mcpInstanceKind } from "../api/kinds/mcp-instance.ts"
import { type Pod, podKind } from "../api/kinds/pod.ts"
import { labels, recommendedLabels } from "../api/names.ts"
import type { ClusterPort } from "../ports/cluster.ts"
import type { Logger } from "../ports/telemetry.ts"
import type { View } from "./view.ts"

/** What the sweep looks at. */
type SweepDeps = {
  readonly cluster: ClusterPort
  readonly namespace: string
  readonly instances: View<MCPInstance>
  readonly pods: View<Pod>
  readonly services: View<Service>
  readonly log: Logger
  /** Counts a removed object. */
  readonly onSwept: (kind: string) => void
}

/** True if the object carries all labels of what we make. */
export const isOurs = ({ metadata }: KubeObject): boolean => {
  const instance = metadata.labels?.[labels.instance]
  if (instance === undefined) return false
  return Object.entries(recommendedLabels(instance)).every(([key, value]) => metadata.labels?.[key] === value)
}

const ownerOf = ({ metadata }: KubeObject) =>
  metadata.ownerReferences?.find(({ controller, kind }) => controller === true && kind === mcpInstanceKind.kind)

/** True if the object has no owner that lives, as far as the cache knows. */
const seemsOrphaned = (object: KubeObject, instances: Pick<View<MCPInstance>, "get">): boolean => {
  if (!isOurs(object) || object.metadata.deletionTimestamp !== undefined) return false
  const owner = ownerOf(object)
  return owner === undefined || instances.get(owner.name)?.metadata.uid !== owner.uid
}

/** The API server's word, since the cache may be behind. */
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
    deps.log.info("removed an object without a living owner", { kind: kind.kind, name })
  }
}

/** Removes Pods and Services of ours whose instance is gone, by uid. The cluster's own collector normally came first. */
export const sweep = async (deps: SweepDeps, signal: AbortSignal): Promise<void> => {
  await sweepKind(deps, podKind, deps.pods, signal)
  await sweepKind(deps, serviceKind, deps.services, signal)
}
