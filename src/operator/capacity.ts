import { findCondition } from "../api/kinds/kind.ts"
import type { MCPInstance } from "../api/kinds/mcp-instance.ts"
import { freshMs } from "../signals/in-use.ts"
import { evictableIdleMs } from "../signals/last-used.ts"
import { isRetained } from "../signals/restart.ts"
import type { QueueReason } from "./reasons.ts"
import type { Use } from "./snapshot.ts"
import { moment } from "./time.ts"

/** An instance, as far as the limits depend on it. Times are in milliseconds since the epoch. */
export type Member = {
  readonly uid: string
  readonly name: string
  readonly targetName: string
  readonly createdAt: number
  /** True if it has a place: it is admitted, has a Pod, or was granted a place that its status does not show yet. */
  readonly holds: boolean
  /** True if it failed and no request waits for it. */
  readonly failed: boolean
  /** True if it can make room: Ready, not draining, not in use. */
  readonly idle: boolean
  /** True if it drains and is deleted after that, so that its place becomes free. */
  readonly leaving: boolean
  /** True if it has a live in-use mark, or is new. */
  readonly wanted: boolean
  /** When it was last used, became Ready or was created, whichever is latest. */
  readonly lastUse: number
}

/** A Pod that still runs although its instance was deleted: it takes a place until it has ended. */
export type Remnant = { readonly ownerUID: string; readonly targetName: string }

/** The limits of all instances together, and of the instances of each target. */
export type Limits = {
  readonly maxInstances: number
  /** A target's `maxInstances`; undefined = no limit of its own. */
  readonly maxOf: (targetName: string) => number | undefined
  /** True if idle instances may be drained to make room. */
  readonly evictIdle: boolean
}

/** Which instances have a place, wait for one, or must make room. */
export type Plan = {
  /** Places that are left after all grants. */
  readonly free: number
  /** UIDs of the instances that have or get a place. */
  readonly granted: ReadonlySet<string>
  /** By UID: why an instance waits for a place. */
  readonly queued: ReadonlyMap<string, QueueReason>
  /** UIDs of the instances that must make room. */
  readonly victims: ReadonlySet<string>
  /** Names of the instances that must be reconciled now: those with a new place, and those that must make room. */
  readonly wake: readonly string[]
}

const byAge = (a: Member, b: Member): number => a.createdAt - b.createdAt || (a.name < b.name ? -1 : 1)

const counter = (keys: Iterable<string>): Map<string, number> => {
  const counts = new Map<string, number>()
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1)
  return counts
}

/** Grants free places in order of creation, then name. A full target delays only its own instances. */
const grant = (members: readonly Member[], remnants: readonly Remnant[], limits: Limits) => {
  const holders = members.filter(({ holds }) => holds)
  const granted = new Set(holders.map(({ uid }) => uid))
  const owners = new Map(remnants.map((remnant) => [remnant.ownerUID, remnant.targetName]))
  for (const uid of granted) owners.delete(uid)
  const ofTarget = counter([...holders.map(({ targetName }) => targetName), ...owners.values()])
  let free = limits.maxInstances - holders.length - owners.size
  const waiting: { member: Member; reason: QueueReason }[] = []
  for (const member of members.filter(({ holds }) => !holds).sort(byAge)) {
    const { targetName } = member
    const used = ofTarget.get(targetName) ?? 0
    if (used >= (limits.maxOf(targetName) ?? Number.POSITIVE_INFINITY))
      waiting.push({ member, reason: "TargetMaxInstancesReached" })
    else if (free <= 0) waiting.push({ member, reason: "MaxInstancesReached" })
    else {
      free -= 1
      ofTarget.set(targetName, used + 1)
      granted.add(member.uid)
    }
  }
  return { granted, waiting, free, ending: [...owners.values()] }
}

/** Queues at most as many instances as there are places; the others get QueueFull. */
const queue = (waiting: readonly { member: Member; reason: QueueReason }[], limits: Limits) => {
  const queued = new Map<string, QueueReason>()
  const lengths = new Map<string, number>()
  let length = 0
  for (const { member, reason } of waiting) {
    const ofTarget = lengths.get(member.targetName) ?? 0
    const full = length >= limits.maxInstances || ofTarget >= (limits.maxOf(member.targetName) ?? limits.maxInstances)
    queued.set(member.uid, full ? "QueueFull" : reason)
    if (full) continue
    length += 1
    lengths.set(member.targetName, ofTarget + 1)
  }
  return queued
}

type Need = {
  readonly members: readonly Member[]
  readonly queued: ReadonlyMap<string, QueueReason>
  readonly now: number
}

/**
 * Chooses the instances that must make room: one for each queued and wanted instance that no place becomes free for
 * anyway. Places become free when `leaving` instances and the Pods of deleted instances (`ending` has their targets)
 * end. Failed instances are chosen first, then the least recently used idle ones.
 */
const choose = ({ members, queued, now }: Need, ending: readonly string[], limits: Limits) => {
  const victims = new Set<string>()
  const leaving = [
    ...members.filter((member) => member.holds && member.leaving),
    ...ending.map((targetName) => ({ targetName })),
  ]
  const candidates = members
    .filter((member) => member.holds && !member.leaving && !member.wanted)
    .filter(({ failed, idle, lastUse }) => failed || (limits.evictIdle && idle && now - lastUse >= evictableIdleMs))
    .sort((a, b) => Number(b.failed) - Number(a.failed) || a.lastUse - b.lastUse || byAge(a, b))
  for (const member of members.filter(({ uid, wanted }) => wanted && queued.has(uid)).sort(byAge)) {
    const fits = (other: { readonly targetName: string }) =>
      queued.get(member.uid) !== "TargetMaxInstancesReached" || other.targetName === member.targetName
    const gone = leaving.findIndex(fits)
    if (gone >= 0) leaving.splice(gone, 1)
    else {
      const index = candidates.findIndex(fits)
      const [victim] = index < 0 ? [] : candidates.splice(index, 1)
      if (victim !== undefined) victims.add(victim.uid)
    }
  }
  return victims
}

/** Plans the places. Pure: equal input gives an equal plan. `now` is in milliseconds since the epoch. */
export const planPlaces = (
  members: readonly Member[],
  remnants: readonly Remnant[],
  limits: Limits,
  now: number,
): Plan => {
  const { granted, waiting, free, ending } = grant(members, remnants, limits)
  const queued = queue(waiting, limits)
  const victims = choose({ members, queued, now }, ending, limits)
  const wake = members
    .filter(({ uid, holds }) => victims.has(uid) || (granted.has(uid) && !holds))
    .map(({ name }) => name)
  return { free, granted, queued, victims, wake }
}

const queueReasons: readonly string[] = ["MaxInstancesReached", "TargetMaxInstancesReached", "QueueFull"]

/** True for a reason of Admitted=False that ends when a place becomes free; the others need a corrected spec. */
export const isQueueReason = (reason: string): boolean => queueReasons.includes(reason)

const asksForPlace = ({ status }: MCPInstance): boolean => {
  const admitted = findCondition(status?.conditions, "Admitted")
  return admitted?.status !== "False" || isQueueReason(admitted.reason)
}

const drainsToEnd = ({ status }: MCPInstance): boolean => {
  const draining = findCondition(status?.conditions, "Draining")
  return draining?.status === "True" && draining.reason !== "SpecChanged"
}

/** What the limits depend on besides the instance itself. */
type MemberFacts = {
  readonly use: Use
  /** True if it has a Pod, or was granted a place that its status does not show yet. */
  readonly holdsOtherwise: boolean
  readonly now: number
}

/** An instance as a member; undefined if it neither has nor asks for a place. */
export const toMember = (instance: MCPInstance, { use, holdsOtherwise, now }: MemberFacts): Member | undefined => {
  const { metadata, spec, status } = instance
  const admitted = findCondition(status?.conditions, "Admitted")?.status === "True"
  const holds = admitted || holdsOtherwise
  if (metadata.deletionTimestamp !== undefined || (!holds && !asksForPlace(instance))) return undefined
  const ready = findCondition(status?.conditions, "Ready")?.status === "True"
  const createdAt = moment(metadata.creationTimestamp) ?? 0
  const wanted = use.live.length > 0 || now - createdAt < freshMs
  const draining = findCondition(status?.conditions, "Draining")?.status === "True"
  // a retained instance never makes room, and keeps its place while its Pod is replaced
  const stays = isRetained(instance)
  return {
    uid: metadata.uid ?? "",
    name: metadata.name,
    targetName: spec.targetName,
    createdAt,
    holds,
    wanted,
    failed: status?.phase === "Failed" && !wanted && !stays,
    // an instance whose drain has begun counts as `leaving` instead, until the drain ends or use cancels it
    idle: ready && !draining && !wanted && !stays,
    leaving: drainsToEnd(instance) && !stays,
    lastUse: Math.max(use.lastUse ?? 0, moment(status?.readyTime) ?? createdAt),
  }
}
