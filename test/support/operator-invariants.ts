import { controllerUID, findCondition, isTrue, type KubeObject } from "../../src/api/kinds/kind.ts"
import { serviceKind } from "../../src/api/kinds/kubernetes.ts"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { type Pod, podKind } from "../../src/api/kinds/pod.ts"
import type { ClockPort } from "../../src/ports/clock.ts"
import type { ClusterPort } from "../../src/ports/cluster.ts"

const isLive = ({ metadata }: KubeObject): boolean => metadata.deletionTimestamp === undefined

const isReady = ({ status }: Pod): boolean =>
  status?.conditions?.some(({ type, status: truth }) => type === "Ready" && truth === "True") === true

/** What is untrue in an instance's status, given its Pods that are not terminating. */
const untrue = (instance: MCPInstance, pods: readonly Pod[]): string[] => {
  const { metadata, status = {} } = instance
  const [pod] = pods
  const ready = pod !== undefined && isReady(pod)
  const wrong: string[] = []
  const must = (holds: boolean, what: string) => {
    if (!holds) wrong.push(`${metadata.name}: ${what}`)
  }
  must(isTrue(status.conditions, "Ready") === ready, `Ready is not ${ready}, as its Pod is`)
  must(status.phase !== "Ready" || ready, "its phase is Ready without a Pod that is")
  must(pod === undefined || isTrue(status.conditions, "Admitted"), "it has a Pod and is not admitted")
  must(status.phase !== "Queued" || pod === undefined, "it is queued and has a Pod")
  const draining = findCondition(status.conditions, "Draining")?.status === "True"
  must(draining === (status.drainDeadlineTime !== undefined), "Draining and its deadline do not agree")
  if (!ready) return wrong
  const life = `${pod.metadata.uid}.${pod.status?.containerStatuses?.[0]?.restartCount}`
  must(status.podName === pod.metadata.name, `it names Pod ${status.podName}, not ${pod.metadata.name}`)
  must(status.incarnation === life, `its incarnation is ${status.incarnation}, not ${life}`)
  return wrong
}

/** What is in disorder in a namespace where the operator had a moment to act; empty if nothing is. */
export const disorder = async (cluster: ClusterPort, namespace: string): Promise<readonly string[]> => {
  const { items: instances } = await cluster.list(mcpInstanceKind, { namespace })
  const { items: pods } = await cluster.list(podKind, { namespace })
  const { items: services } = await cluster.list(serviceKind, { namespace })
  const uids = new Set(instances.map(({ metadata }) => metadata.uid ?? ""))
  const unowned = [...pods, ...services]
    .filter((each) => isLive(each) && !uids.has(controllerUID(each) ?? ""))
    .map(({ kind, metadata }) => `${kind} ${metadata.name} has no living owner`)
  const wrong = instances.filter(isLive).flatMap((instance) => {
    const own = pods.filter((pod) => isLive(pod) && controllerUID(pod) === instance.metadata.uid)
    const surplus = own.length > 1 ? [`${instance.metadata.name} has ${own.length} live Pods`] : []
    return [...surplus, ...untrue(instance, own)]
  })
  return [...unowned, ...wrong]
}

/** Follows the Pods of a namespace and takes note of what must not be so for any moment. Close it. */
export const watchPods = (cluster: ClusterPort, namespace: string, limit: number) => {
  const pods = cluster.watch(podKind, { namespace })
  const problems: string[] = []
  pods.subscribe(() => {
    const all = [...pods.items()].map((pod) => ({ pod, owner: controllerUID(pod) ?? pod.metadata.name }))
    const holders = new Set(all.map(({ owner }) => owner))
    if (holders.size > limit) problems.push(`${holders.size} instances have Pods, and ${limit} may`)
    const live = all.filter(({ pod }) => isLive(pod)).map(({ owner }) => owner)
    if (new Set(live).size < live.length) problems.push(`two live Pods of one instance: ${live.join(" ")}`)
  })
  return { problems, close: () => pods.close() }
}

const endingReasons = ["MaxLifetime", "SecretExpired", "Restarted"]

/** True if the instance drains and will be deleted whatever comes. */
const drainsToEnd = ({ status }: MCPInstance): boolean => {
  const draining = findCondition(status?.conditions, "Draining")
  return draining?.status === "True" && endingReasons.includes(draining.reason)
}

const isOverdue = ({ status }: MCPInstance, now: number): boolean =>
  status?.drainDeadlineTime !== undefined && Date.parse(status.drainDeadlineTime) <= now

/** What a watch over use has to know. */
export type UseFacts = {
  readonly clock: ClockPort
  /** True if a gateway's key is on the instance. */
  readonly isUsed: (instance: MCPInstance) => boolean
  /** True if the instance may be ended once no server of it answers: a restart was asked for, or it is too old. */
  readonly mayEnd: (instance: MCPInstance) => boolean
  /** True if somebody else than the operator deleted the object of this UID. */
  readonly isByHand: (uid: string | undefined) => boolean
}

/**
 * Follows a namespace and takes note of every instance and every Ready Pod that the operator deletes while it is in use:
 * only a drain that was asked for may do that, at its deadline, or at once where no server answers. Close it.
 */
export const watchUse = (cluster: ClusterPort, namespace: string, facts: UseFacts) => {
  const instances = cluster.watch(mcpInstanceKind, { namespace })
  const pods = cluster.watch(podKind, { namespace })
  const { clock, isUsed, isByHand, mayEnd } = facts
  const problems: string[] = []
  const tell = (what: string, { metadata, status }: MCPInstance) =>
    problems.push(`${what} ${metadata.name} was deleted while it was in use: ${JSON.stringify(status)}`)
  instances.subscribe(({ type, object }) => {
    if (type !== "deleted" || !isUsed(object) || isByHand(object.metadata.uid)) return
    // both must say so: a server that crashes or is killed during a drain ends it before the status says so, and no
    // gateway knows yet of one that became Ready while the status was on its way
    const own = [...pods.items()].filter((pod) => controllerUID(pod) === object.metadata.uid)
    const lives = own.some((pod) => isLive(pod) && isReady(pod))
    const answers = lives && isTrue(object.status?.conditions, "Ready")
    const isMeant = mayEnd(object) && (!answers || (drainsToEnd(object) && isOverdue(object, clock.now())))
    if (!isMeant) tell("the instance", object)
  })
  pods.subscribe(({ type, object, previous }) => {
    if (type !== "modified" || isLive(object) || previous === undefined || !isLive(previous)) return
    const owner = [...instances.items()].find(({ metadata }) => metadata.uid === controllerUID(object))
    if (owner === undefined || !isReady(object) || !isUsed(owner) || isByHand(object.metadata.uid)) return
    // the end of the instance is told on its own
    if (isByHand(owner.metadata.uid) || isOverdue(owner, clock.now())) return
    tell("the Pod of", owner)
  })
  return { problems, close: () => Promise.all([instances.close(), pods.close()]) }
}
