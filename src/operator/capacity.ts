import { findCondition } from "../api/kinds/kind.ts"
import type { MCPInstance } from "../api/kinds/mcp-instance.ts"
import { freshMs } from "../signals/in-use.ts"
import { evictableIdleMs } from "../signals/last-used.ts"
import { isRetained } from "../signals/restart.ts"
import type { QueueReason } from "./reasons.ts"
import type { Use } from "./snapshot.ts"
import { moment } from "./start.ts"

/** An instance as the limits see it. */
export type Member = {
  readonly uid: string
  readonly name: string
  readonly targetName: string
  readonly createdAt: number
  /** It has a place: admitted, or granted one a moment ago. */
  readonly holds: boolean
  /** It failed and nobody waits for it. */
  readonly failed: boolean
  /** It can make room: Ready, not draining, not in use. */
  readonly idle: boolean
  /** It is on its way out already. */
  readonly leaving: boolean
  /** Somebody waits for it or uses it. */
  readonly wanted: boolean
  /** When it was last used, or made. */
  readonly lastUse: number
}

/** A Pod whose instance is gone still takes its place until it has ended. */
export type Remnant = { readonly ownerUID: string; readonly targetName: string }

/** The limits: of all instances, and of single targets. */
export type Limits = {
  readonly maxInstances: number
  readonly maxOf: (targetName: string) => number | undefined
  readonly evictIdle: boolean
}

/** Who gets a place, who waits for what, and who makes room. */
export type Plan = {
  /** Places that are left when everybody has been served. */
  readonly free: number
  /** UIDs of those that have or get a place. */
  readonly granted: ReadonlySet<string>
  readonly queued: ReadonlyMap<string, QueueReason>
  /** UIDs of those that must make room. */
  readonly victims: ReadonlySet<string>
  /** Names of those that should look at themselves when somebody waits: newly granted ones and victims. */
  readonly nudge: readonly string[]
}

const byAge = (a: Member, b: Member): number => a.createdAt - b.createdAt || (a.name < b.name ? -1 : 1)

const counter = (keys: Iterable<string>): Map<string, number> => {
  const counts = new Map<string, number>()
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1)
  return counts
}

/** Grants free places in order of creation, then name; a full target holds up nobody else's. */
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

/** At most as many wait as there are places; the rest are told at once. */
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
 * One for each that waits and is wanted, less the places that become free anyway (`ending`: the target of each Pod
 * whose instance is gone): failed ones first, then the least recently used.
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

/** Divides the places. Pure: equal input gives an equal plan, whichever instance asks. */
export const planPlaces = (
  members: readonly Member[],
  remnants: readonly Remnant[],
  limits: Limits,
  now: number,
): Plan => {
  const { granted, waiting, free, ending } = grant(members, remnants, limits)
  const queued = queue(waiting, limits)
  const victims = choose({ members, queued, now }, ending, limits)
  const nudge = members
    .filter(({ uid, holds }) => victims.has(uid) || (granted.has(uid) && !holds))
    .map(({ name }) => name)
  return { free, granted, queued, victims, nudge }
}

const queueReasons: readonly string[] = ["MaxInstancesReached", "TargetMaxInstancesReached", "QueueFull"]

/** True for a reason of Admitted=False that waiting can end; others need a mended spec and ask for no place. */
export const isQueueReason = (reason: string): boolean => queueReasons.includes(reason)

const asksForPlace = ({ status }: MCPInstance): boolean => {
  const admitted = findCondition(status?.conditions, "Admitted")
  return admitted?.status !== "False" || isQueueReason(admitted.reason)
}

const drainsToEnd = ({ status }: MCPInstance): boolean => {
  const draining = findCondition(status?.conditions, "Draining")
  return draining?.status === "True" && draining.reason !== "SpecChanged"
}

/** What the limits need to know of an instance besides itself. */
type MemberFacts = {
  readonly use: Use
  /** It has a Pod, or was granted a place that its status does not show yet. */
  readonly holdsOtherwise: boolean
  readonly now: number
}

/** How the limits see an instance; undefined if it neither has nor asks for a place. */
export const toMember = (instance: MCPInstance, { use, holdsOtherwise, now }: MemberFacts): Member | undefined => {
  const { metadata, spec, status } = instance
  const admitted = findCondition(status?.conditions, "Admitted")?.status === "True"
  const holds = admitted || holdsOtherwise
  if (metadata.deletionTimestamp !== undefined || (!holds && !asksForPlace(instance))) return undefined
  const ready = findCondition(status?.conditions, "Ready")?.status === "True"
  const createdAt = moment(metadata.creationTimestamp) ?? 0
  const wanted = use.live.length > 0 || now - createdAt < freshMs
  const draining = findCondition(status?.conditions, "Draining")?.status === "True"
  // it makes room for nobody, and keeps its place while its Pod is replaced
  const stays = isRetained(instance)
  return {
    uid: metadata.uid ?? "",
    name: metadata.name,
    targetName: spec.targetName,
    createdAt,
    holds,
    wanted,
    failed: status?.phase === "Failed" && !wanted && !stays,
    // one that was chosen stays chosen until its drain ends, unless somebody comes
    idle: ready && !draining && !wanted && !stays,
    leaving: drainsToEnd(instance) && !stays,
    lastUse: Math.max(use.lastUse ?? 0, moment(status?.readyTime) ?? createdAt),
  }
}
