import { findCondition } from "../../api/kinds/kind.ts"
import type { Pod } from "../../api/kinds/pod.ts"
import { formatDuration } from "../../api/units.ts"
import { gatewaysMs, leastDrainMs, waitsForGateways } from "../../signals/drain.ts"
import { isRetained } from "../../signals/restart.ts"
import type { DrainReason } from "../reasons.ts"
import type { Finding, Snapshot, Verdict } from "../snapshot.ts"
import { hasStarted } from "../standing.ts"
import { moment, nextAfter } from "../start.ts"
import { pendingWords } from "../status.ts"

/** What a drain is for, and what follows it. */
type DrainPlan = {
  readonly reason: DrainReason
  readonly message: string
  /** What is done once nothing is open any more. */
  readonly finish: Verdict
}

/** When the drain that goes on ends whatever is open; undefined while there is none. */
const drainDeadline = ({ instance }: Pick<Snapshot, "instance">): number | undefined =>
  moment(instance.status?.drainDeadlineTime)

/** The reason of the drain that goes on. */
export const drainingReason = ({ instance }: Pick<Snapshot, "instance">): string | undefined => {
  const draining = findCondition(instance.status?.conditions, "Draining")
  return draining?.status === "True" ? draining.reason : undefined
}

/** Living gateways that have not said of the drain that goes on that they saw it: they may send new calls. */
const unaware = ({ gateways, instance: { status } }: Snapshot): readonly string[] =>
  gateways.filter((each) => status?.drainSeenBy?.[each] !== status?.drainDeadlineTime)

/** Until when the drain waits for gateways; undefined if it waits for none. */
const gatewaysUntil = (snapshot: Snapshot, reason: string): number | undefined => {
  const { drainSeenAt } = snapshot
  if (drainSeenAt === undefined || !waitsForGateways(reason) || unaware(snapshot).length === 0) return undefined
  return drainSeenAt + gatewaysMs
}

/** How often a drain looks whether the gateways that it waits for still live. */
const gatewaysLookMs = 1_000

/** A drain that goes on, and when time alone can change that. */
const goesOn = (snapshot: Snapshot, { reason, message }: DrainPlan): Finding => {
  const { drainSeenAt, now, use } = snapshot
  const verdict = { drain: { reason, message } }
  if (drainSeenAt === undefined) return { verdict }
  const least = drainSeenAt + leastDrainMs
  if (now < least) return { verdict, until: least }
  const gateways = gatewaysUntil(snapshot, reason)
  const waits = gateways !== undefined && now < gateways
  const looks = waits ? [gateways, now + gatewaysLookMs] : []
  return { verdict, until: nextAfter(now, drainDeadline(snapshot), use.nextDeath, ...looks) }
}

/**
 * The next step of a drain: say so (guarded by the state that was looked at), give gateways time to notice, wait until
 * each has said so, wait for the open calls up to the deadline, then act. A server that never answered has nothing open
 * and needs no drain.
 */
export const drainStep = (snapshot: Snapshot, plan: DrainPlan): Finding => {
  const { pod, drainSeenAt, use, now } = snapshot
  if (pod === undefined || !hasStarted(pod)) return { verdict: plan.finish }
  if (drainingReason(snapshot) === undefined || drainSeenAt === undefined) return goesOn(snapshot, plan)
  if (now < drainSeenAt + leastDrainMs) return goesOn(snapshot, plan)
  const waits = use.live.length > 0 || now < (gatewaysUntil(snapshot, plan.reason) ?? now)
  if (waits && now < (drainDeadline(snapshot) ?? Number.POSITIVE_INFINITY)) return goesOn(snapshot, plan)
  return { verdict: plan.finish }
}

/** The next start takes the Pod's place. */
export const replacement = (pod: Pod, { instance }: Snapshot, reason: DrainReason): Verdict => ({
  actions: [{ do: "deletePod", pod, reason }],
  standing: { ready: false, ...pendingWords },
  starts: (instance.status?.starts ?? 0) + 1,
})

/** A drain that ends with the deletion of the instance; of one that is retained with that of its Pod, which is replaced. */
export const drainAndEnd = (snapshot: Snapshot, reason: DrainReason, message: string): Finding | undefined => {
  const { pod, instance } = snapshot
  if (!isRetained(instance))
    return drainStep(snapshot, { reason, message, finish: { actions: [{ do: "deleteInstance", reason, message }] } })
  return pod && drainStep(snapshot, { reason, message, finish: replacement(pod, snapshot, reason) })
}

/** A duration for a message: whole seconds. */
export const inWords = (ms: number): string => formatDuration(Math.round(ms / 1000) * 1000)
