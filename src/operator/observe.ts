import { controllerUID, type KubeObject } from "../api/kinds/kind.ts"
import type { MCPInstance } from "../api/kinds/mcp-instance.ts"
import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { KeptPod, KeptService } from "./kept.ts"
import type { Planner } from "./planner.ts"
import { signOf } from "./server-state.ts"
import type { Gateways, Sightings } from "./sightings.ts"
import type { Observation, Refusal, Settings } from "./snapshot.ts"
import { plannedStart } from "./start.ts"
import { isOurs } from "./sweep.ts"
import type { View } from "./view.ts"

/** The sources of an observation. All of them are in memory. */
export type Observatory = {
  readonly instances: View<MCPInstance>
  readonly targets: View<MCPTarget>
  readonly pods: View<KeptPod>
  readonly services: View<KeptService>
  readonly sightings: Sightings
  readonly planner: Planner
  readonly gateways: Gateways
  readonly clock: ClockPort
  readonly settings: Settings
}

const isLive = ({ metadata }: KubeObject): boolean => metadata.deletionTimestamp === undefined

/** The newest Pod that is not terminating; of two created in the same second, the one that the status names. */
const currentPod = (pods: readonly KeptPod[], known: string | undefined): KeptPod | undefined =>
  pods.filter(isLive).sort((a, b) => {
    const [first = "", second = ""] = [a.metadata.creationTimestamp, b.metadata.creationTimestamp]
    if (first !== second) return first < second ? 1 : -1
    return Number(b.metadata.name === known) - Number(a.metadata.name === known)
  })[0]

/** True for an object of ours without owner, after a deletion with `--cascade=orphan` or a restored backup. */
const isOrphan = <T extends KubeObject>(object: T | undefined): object is T =>
  object !== undefined && controllerUID(object) === undefined && isOurs(object)

/** Objects that an earlier instance of this name left, and orphans of ours that have the names it needs. */
const leftOf = (
  { pods, services }: Observatory,
  { kind, metadata }: MCPInstance,
  namesakes: Pick<Observation, "serviceNamesake" | "podNamesake">,
): Observation["left"] => {
  const isLeft = (object: KubeObject) => {
    const controller = controllerUID(object)
    return controller !== undefined && controller !== metadata.uid
  }
  const { serviceNamesake, podNamesake } = namesakes
  return {
    pods: [...pods.ownedByName(kind, metadata.name).filter(isLeft), ...[podNamesake].filter(isOrphan<KeptPod>)],
    services: [
      ...services.ownedByName(kind, metadata.name).filter(isLeft),
      ...[serviceNamesake].filter(isOrphan<KeptService>),
    ],
  }
}

/**
 * Collects everything known of an instance; undefined if there is none of this name. Makes no call to the API server;
 * updates the sightings and the plan. `refusal` is the API server's refusal in the pass before.
 */
export const observe = (at: Observatory, name: string, refusal?: Refusal): Observation | undefined => {
  const instance = at.instances.get(name)
  if (instance === undefined) return undefined
  const { uid = "" } = instance.metadata
  at.sightings.see(instance)
  const pods = at.pods.controlledBy(uid)
  const pod = currentPod(pods, instance.status?.podName)
  const sight = pod === undefined ? undefined : at.sightings.seePod(uid, pod.metadata.uid ?? "", signOf(pod))
  const serviceNamesake = at.services.get(name)
  const podNamesake = pod === undefined ? at.pods.get(plannedStart({ instance, pods }).podName) : undefined
  return {
    instance,
    target: at.targets.get(instance.spec.targetName),
    pods,
    pod,
    service: at.services.controlledBy(uid).find((each) => isLive(each) && each.metadata.name === name),
    serviceNamesake,
    podNamesake,
    left: leftOf(at, instance, { serviceNamesake, podNamesake }),
    ...at.planner.placeOf(instance),
    use: at.sightings.use(uid),
    sight,
    drainSeenAt: at.sightings.drainSeenAt(uid),
    gateways: at.gateways.running(),
    refusal,
    now: at.clock.now(),
    settings: at.settings,
  }
}
