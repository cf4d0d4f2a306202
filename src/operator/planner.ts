import { controllerUID, isTrue } from "../api/kinds/kind.ts"
import type { MCPInstance } from "../api/kinds/mcp-instance.ts"
import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import { labels } from "../api/names.ts"
import type { ClockPort } from "../ports/clock.ts"
import { type Member, type Plan, planPlaces, type Remnant, toMember } from "./capacity.ts"
import type { KeptPod } from "./kept.ts"
import type { Sightings } from "./sightings.ts"
import type { Place, Settings } from "./snapshot.ts"
import { moment } from "./time.ts"
import type { View } from "./view.ts"

/** How long after its grace period a terminating Pod still takes a place, if its node does not report its end. */
const remnantMs = 30_000
/** Longest time that a plan is kept, since time alone can change it (an instance becomes evictable). */
const planKeptMs = 1_000

/** Dependencies of the planner. */
type PlannerDeps = {
  readonly instances: View<MCPInstance>
  readonly targets: View<MCPTarget>
  readonly pods: View<KeptPod>
  readonly sightings: Sightings
  readonly clock: ClockPort
  readonly settings: Settings
}

/** The part of the plan that concerns one instance. `makesRoom`: it must make room for a queued instance. */
type PlaceInPlan = { readonly place: Place; readonly makesRoom: boolean }

/** Keeps the plan of places, and the granted places that no status shows yet. */
export type Planner = {
  /** The current plan for an instance; plans again if necessary. */
  placeOf(instance: MCPInstance): PlaceInPlan
  /** Call it for each new or changed instance. */
  see(instance: MCPInstance): void
  /**
   * Call it when something else changed that a plan depends on: an object of the instance with this UID, or anything
   * if there is no `uid`.
   */
  changed(uid?: string): void
  /** Keeps the place of an instance even before its status shows it, so that no other instance gets the place. */
  reserve(uid: string): void
  /** Forgets an instance that was deleted. */
  forget(uid: string): void
  /** Names of the instances that are not admitted. */
  waiting(): Iterable<string>
}

const memberOf = (
  { pods, sightings, clock }: PlannerDeps,
  reserved: ReadonlySet<string>,
  instance: MCPInstance,
): Member | undefined => {
  const uid = instance.metadata.uid ?? ""
  const holdsOtherwise = reserved.has(uid) || pods.controlledBy(uid).length > 0
  return toMember(instance, { use: sightings.use(uid), holdsOtherwise, now: clock.now() })
}

const members = (deps: PlannerDeps, reserved: ReadonlySet<string>): Member[] => {
  const found: Member[] = []
  for (const instance of deps.instances.items()) {
    const member = memberOf(deps, reserved, instance)
    if (member !== undefined) found.push(member)
  }
  return found
}

const remnants = ({ pods, clock }: PlannerDeps): Remnant[] => {
  const found: Remnant[] = []
  const now = clock.now()
  for (const pod of pods.items()) {
    const ownerUID = controllerUID(pod)
    const targetName = pod.metadata.labels?.[labels.target]
    const ends = moment(pod.metadata.deletionTimestamp)
    if (ownerUID === undefined || targetName === undefined) continue
    if (ends === undefined || now < ends + remnantMs) found.push({ ownerUID, targetName })
  }
  return found
}

const isAdmitted = ({ status }: MCPInstance): boolean => isTrue(status?.conditions, "Admitted")

const toPlace = (plan: Plan, uid: string): Place => {
  if (plan.granted.has(uid)) return { kind: "granted" }
  // an instance whose spec was refused is not in the plan yet: being queued makes it ask for a place
  return { kind: "queued", reason: plan.queued.get(uid) ?? "MaxInstancesReached", wake: plan.wake }
}

/** A plan that is kept for a moment. */
type Kept = {
  readonly plan: Plan
  /** When it was made, milliseconds since the epoch. */
  readonly at: number
  /** UIDs of new instances that got a place since. */
  readonly late: Set<string>
}

/** True if there is room for all: then each instance keeps its place, whatever happens to the others. */
const isRoomy = ({ queued, victims }: Plan): boolean => queued.size === 0 && victims.size === 0

/**
 * Makes a planner. Planning reads every instance, so a plan is kept for up to a second. When thousands of instances
 * start at once, nearly every change is already in the kept plan, or is a new instance that there is room for.
 */
export const createPlanner = (deps: PlannerDeps): Planner => {
  const { clock, settings, targets } = deps
  const reserved = new Set<string>()
  const waiting = new Map<string, string>()
  let kept: Kept | undefined
  const limits = {
    maxInstances: settings.max_instances,
    maxOf: (targetName: string) => targets.get(targetName)?.spec.maxInstances,
    evictIdle: settings.evict_idle,
  }
  const isGranted = (uid: string): boolean => kept?.plan.granted.has(uid) === true || kept?.late.has(uid) === true
  const changed = (uid = ""): void => {
    if (kept !== undefined && isRoomy(kept.plan) && isGranted(uid)) return
    kept = undefined
  }
  /** The kept plan; undefined if it is too old. */
  const current = (): Kept | undefined => {
    if (kept !== undefined && clock.now() - kept.at >= planKeptMs) kept = undefined
    return kept
  }
  const count = (): Plan => {
    const plan = planPlaces(members(deps, reserved), remnants(deps), limits, clock.now())
    kept = { plan, at: clock.now(), late: new Set() }
    return plan
  }
  /** Gives a new instance one of the places that are left, if there are enough for all that wait. True if it did. */
  const letIn = (instance: MCPInstance): boolean => {
    const now = current()
    if (now === undefined || !isRoomy(now.plan)) return false
    // with too few places for all, a new plan decides by the order of creation
    if (now.plan.free - now.late.size < waiting.size) return false
    if (limits.maxOf(instance.spec.targetName) !== undefined) return false
    if (memberOf(deps, reserved, instance) === undefined) return false
    now.late.add(instance.metadata.uid ?? "")
    return true
  }
  const see = (instance: MCPInstance): void => {
    const { uid = "", name } = instance.metadata
    if (isAdmitted(instance)) waiting.delete(uid)
    else waiting.set(uid, name)
    // with room for all, a new instance does not change the plan: it is counted in placeOf
    if (kept === undefined || !isRoomy(kept.plan)) changed()
  }
  return {
    see,
    changed,
    waiting: () => waiting.values(),
    placeOf: (instance) => {
      const { uid = "" } = instance.metadata
      // normally no instance waits: then no plan is needed
      if (waiting.size === 0 && isAdmitted(instance)) return { place: { kind: "granted" }, makesRoom: false }
      const known = current()
      if (known?.late.has(uid) || (!isGranted(uid) && letIn(instance)))
        return { place: { kind: "granted" }, makesRoom: false }
      const plan = known?.plan.granted.has(uid) || known?.plan.queued.has(uid) ? known.plan : count()
      return { place: toPlace(plan, uid), makesRoom: plan.victims.has(uid) }
    },
    reserve: (uid) => {
      if (reserved.has(uid)) return
      reserved.add(uid)
      // a plan that granted the place has counted it already
      if (!isGranted(uid)) changed()
    },
    forget: (uid) => {
      reserved.delete(uid)
      waiting.delete(uid)
      changed(uid)
    },
  }
}
