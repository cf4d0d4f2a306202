import { controllerUID, isTrue } from "../api/kinds/kind.ts"
import type { MCPInstance } from "../api/kinds/mcp-instance.ts"
import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import type { Pod } from "../api/kinds/pod.ts"
import { labels } from "../api/names.ts"
import type { ClockPort } from "../ports/clock.ts"
import { type Member, type Plan, planPlaces, type Remnant, toMember } from "./capacity.ts"
import type { Sightings } from "./sightings.ts"
import type { Place, Settings } from "./snapshot.ts"
import { moment } from "./start.ts"
import type { View } from "./view.ts"

/** How long after its grace a terminating Pod still counts, if its node says nothing. */
const remnantMs = 30_000
/** A plan changes with time alone (an instance becomes evictable), so it is not kept longer. */
const planLifeMs = 1_000

/** What the planner looks at. */
type PlannerDeps = {
  readonly instances: View<MCPInstance>
  readonly targets: View<MCPTarget>
  readonly pods: View<Pod>
  readonly sightings: Sightings
  readonly clock: ClockPort
  readonly settings: Settings
}

/** What the plan says of one instance. */
type PlaceInPlan = { readonly place: Place; readonly makesRoom: boolean }

/** Keeps the plan of places, and the places granted a moment ago that no status shows yet. */
export type Planner = {
  /** What the plan as of now says of an instance. */
  placeOf(instance: MCPInstance): PlaceInPlan
  /** An instance is there, or changed. */
  see(instance: MCPInstance): void
  /** Something else changed that a plan rests on: what belongs to the instance of this UID, or anything. */
  changed(uid?: string): void
  /** The instance was told that it has a place: nobody else gets it, even before the status is written. */
  reserve(uid: string): void
  /** The instance is gone. */
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
  // one whose spec was refused has not asked yet: it asks by joining the queue
  return { kind: "queued", reason: plan.queued.get(uid) ?? "MaxInstancesReached", nudge: plan.nudge }
}

/** A plan that is kept. */
type Kept = {
  readonly plan: Plan
  /** When it was made. */
  readonly at: number
  /** UIDs of newcomers that got a place since. */
  readonly late: Set<string>
}

/** True if there is room for all: whoever has a place, or is promised one, keeps it whatever becomes of the others. */
const isRoomy = ({ queued, victims }: Plan): boolean => queued.size === 0 && victims.size === 0

/**
 * Makes a planner. A plan reads every instance, so it is kept for a moment: with thousands that start at once nearly
 * every change is one that it foresaw, or a newcomer for whom there is room.
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
  /** The plan, unless it is too old. */
  const current = (): Kept | undefined => {
    if (kept !== undefined && clock.now() - kept.at >= planLifeMs) kept = undefined
    return kept
  }
  const count = (): Plan => {
    const plan = planPlaces(members(deps, reserved), remnants(deps), limits, clock.now())
    kept = { plan, at: clock.now(), late: new Set() }
    return plan
  }
  /** Gives a newcomer one of the places that are left, if nothing but their number decides. */
  const letIn = (instance: MCPInstance): boolean => {
    const now = current()
    if (now === undefined || !isRoomy(now.plan)) return false
    // when it becomes tight, the order of creation decides
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
    // a newcomer takes nobody's place: it is counted when it asks
    if (kept === undefined || !isRoomy(kept.plan)) changed()
  }
  return {
    see,
    changed,
    waiting: () => waiting.values(),
    placeOf: (instance) => {
      const { uid = "" } = instance.metadata
      // without anybody who waits, and that is nearly always, nothing needs to be counted
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
      // the plan that granted it has counted it
      if (!isGranted(uid)) changed()
    },
    forget: (uid) => {
      reserved.delete(uid)
      waiting.delete(uid)
      changed(uid)
    },
  }
}
