import { findCondition } from "../api/kinds/kind.ts"
import type { Lease } from "../api/kinds/kubernetes.ts"
import type { MCPInstance } from "../api/kinds/mcp-instance.ts"
import { type ClockPort, clockSkewMs } from "../ports/clock.ts"
import type { Reflection } from "../ports/cluster.ts"
import { markTtlMs } from "../signals/in-use.ts"
import { presencesIn, presenceTiming } from "../signals/presence.ts"
import type { PodSight, ProbeFinding, Use } from "./snapshot.ts"
import { moment } from "./time.ts"

type Sighting = {
  marks: Map<string, { value: string; seenAt: number }>
  stamp: string | undefined
  lastUse: number | undefined
  drainSeenAt: number | undefined
  pod:
    | { uid: string; seenAt: number; sign: string | undefined; signAt: number; probe: ProbeSight | undefined }
    | undefined
}

type ProbeSight = { readonly at: number; readonly restart: string; readonly finding: ProbeFinding | undefined }

/**
 * What this operator saw and when, by its own clock. Timestamps of other machines only show that something changed, not
 * when. After a restart it is rebuilt from the cluster, such that nothing is deleted earlier than without the restart.
 */
export type Sightings = {
  /** Records each change of the instance's use and of its drain. Call it for each new state. */
  see(instance: MCPInstance): void
  /** How the instance is used now. */
  use(uid: string): Use
  /** When this operator first saw the current drain, milliseconds since the epoch; undefined while there is none. */
  drainSeenAt(uid: string): number | undefined
  /** Records a Pod and the sign of trouble it shows (see `signOf` in server-state.ts). */
  seePod(uid: string, podUID: string, sign: string | undefined): PodSight
  /** True if `learnProbe` was called for this container restart less than `keepMs` ago. */
  probeKnown(uid: string, restart: string, keepMs: number): boolean
  /** Records why the startup probe fails after this container restart; undefined = the cause is unknown. */
  learnProbe(uid: string, restart: string, finding: ProbeFinding | undefined): void
  /** Forgets an instance that was deleted. */
  forget(uid: string): void
}

const latest = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined ? b : b === undefined ? a : Math.max(a, b)

/** Latest moment of a use recorded before this operator ran: its timestamp plus clock skew, at most `now`. */
const firstUse = (recorded: string | undefined, now: number): number | undefined => {
  const at = moment(recorded)
  return at === undefined ? undefined : Math.min(at + clockSkewMs, now)
}

const seeMarks = (sighting: Sighting, inUseBy: Readonly<Record<string, string>>, now: number): void => {
  for (const [replica, value] of Object.entries(inUseBy)) {
    if (sighting.marks.get(replica)?.value === value) continue
    sighting.marks.set(replica, { value, seenAt: now })
    sighting.lastUse = latest(sighting.lastUse, now)
  }
  for (const [replica, { seenAt }] of sighting.marks) {
    if (replica in inUseBy) continue
    sighting.marks.delete(replica)
    // its gateway removed the in-use mark, so use ended just now; an expired mark was removed by the operator
    if (now - seenAt < markTtlMs) sighting.lastUse = latest(sighting.lastUse, now)
  }
}

/** Makes it without any sighting. */
export const createSightings = (clock: ClockPort): Sightings => {
  const known = new Map<string, Sighting>()

  const see = (instance: MCPInstance): void => {
    const { uid = "" } = instance.metadata
    const now = clock.now()
    const recorded = instance.status?.lastUsedTime
    let sighting = known.get(uid)
    if (sighting === undefined) {
      const lastUse = firstUse(recorded, now)
      sighting = { marks: new Map(), stamp: recorded, lastUse, drainSeenAt: undefined, pod: undefined }
      known.set(uid, sighting)
    } else if (recorded !== sighting.stamp) {
      sighting.stamp = recorded
      sighting.lastUse = latest(sighting.lastUse, now)
    }
    seeMarks(sighting, instance.status?.inUseBy ?? {}, now)
    const draining = findCondition(instance.status?.conditions, "Draining")?.status === "True"
    sighting.drainSeenAt = draining ? (sighting.drainSeenAt ?? now) : undefined
  }
  const use = (uid: string): Use => {
    const now = clock.now()
    const sighting = known.get(uid)
    const marks = [...(sighting?.marks ?? [])]
    const live = marks.filter(([, { seenAt }]) => now - seenAt < markTtlMs)
    const expired = marks.filter(([, { seenAt }]) => now - seenAt >= markTtlMs)
    return {
      live: live.map(([replica]) => replica),
      expired: expired.map(([replica]) => replica),
      nextExpiry: live.length === 0 ? undefined : Math.min(...live.map(([, { seenAt }]) => seenAt + markTtlMs)),
      lastUse: sighting?.lastUse,
    }
  }
  const seePod = (uid: string, podUID: string, sign: string | undefined): PodSight => {
    const now = clock.now()
    const sighting = known.get(uid)
    if (sighting === undefined) return { seenAt: now, signAt: undefined, probe: undefined }
    if (sighting.pod?.uid !== podUID) sighting.pod = { uid: podUID, seenAt: now, sign, signAt: now, probe: undefined }
    else if (sighting.pod.sign !== sign) {
      sighting.pod.sign = sign
      sighting.pod.signAt = now
    }
    const { seenAt, signAt, probe } = sighting.pod
    return { seenAt, signAt: sign === undefined ? undefined : signAt, probe: probe?.finding }
  }
  return {
    see,
    use,
    seePod,
    drainSeenAt: (uid) => known.get(uid)?.drainSeenAt,
    probeKnown: (uid, restart, keepMs) => {
      const probe = known.get(uid)?.pod?.probe
      return probe !== undefined && probe.restart === restart && clock.now() - probe.at < keepMs
    },
    learnProbe: (uid, restart, finding) => {
      const pod = known.get(uid)?.pod
      if (pod !== undefined) pod.probe = { at: clock.now(), restart, finding }
    },
    forget: (uid) => void known.delete(uid),
  }
}

/** The running gateways. */
export type Gateways = {
  /** Their names in `inUseBy`. */
  running(): readonly string[]
  /** Ends the subscription. */
  close(): void
}

/**
 * Watches the announcements of gateways in their Lease. A gateway counts as running until its annotation is removed, or
 * has not changed for 40 s by this operator's clock; the times in annotations are not used. While the watch is silent
 * no gateway expires. After a start, every gateway with an annotation counts as running at first. Without `leases`
 * there are no gateways.
 */
export const createGateways = (leases: Reflection<Lease> | undefined, clock: ClockPort): Gateways => {
  const known = new Map<string, { readonly value: string; readonly seenAt: number }>()
  const see = (lease: Lease | undefined): void => {
    const present = lease === undefined ? new Map<string, string>() : presencesIn(lease)
    for (const replica of known.keys()) if (!present.has(replica)) known.delete(replica)
    for (const [replica, value] of present)
      if (known.get(replica)?.value !== value) known.set(replica, { value, seenAt: clock.now() })
  }
  for (const lease of leases?.items() ?? []) see(lease)
  const close = leases?.subscribe(({ type, object }) => see(type === "deleted" ? undefined : object))
  return {
    running: () => {
      const heardAt = clock.now() - (leases?.silenceMs() ?? 0)
      return [...known].filter(([, { seenAt }]) => heardAt - seenAt < presenceTiming.ttlMs).map(([replica]) => replica)
    },
    close: () => close?.(),
  }
}
