import { formatDuration } from "../../api/duration.ts"
import { findCondition } from "../../api/kinds/kind.ts"
import { gatewaysMs, leastDrainMs, waitsForGateways } from "../../signals/drain.ts"
import { isRetained } from "../../signals/restart.ts"
import type { KeptPod } from "../kept.ts"
import type { DrainReason } from "../reasons.ts"
import { hasStarted } from "../server-state.ts"
import type { Finding, Snapshot, Verdict } from "../snapshot.ts"
import { pendingReason } from "../status.ts"
import { moment, nextAfter } from "../time.ts"

/** Why an instance is drained, and what follows the drain. */
type DrainPlan = {
  readonly reason: DrainReason
  readonly message: string
  /** The verdict once no call is open any more, or at the deadline. */
  readonly finish: Verdict
}

/** When the current drain ends even if calls are open; undefined while there is no drain. */
const drainDeadline = ({ instance }: Pick<Snapshot, "instance">): number | undefined =>
  moment(instance.status?.drainDeadlineTime)

/** The reason of the current drain; undefined while there is none. */
export const drainingReason = ({ instance }: Pick<Snapshot, "instance">): string | undefined => {
  const draining = findCondition(instance.status?.conditions, "Draining")
  return draining?.status === "True" ? draining.reason : undefined
}

/** Running gateways that have not acknowledged the current drain: they may send new calls. */
const unaware = ({ gateways, instance: { status } }: Snapshot): readonly string[] =>
  gateways.filter((each) => status?.drainSeenBy?.[each] !== status?.drainDeadlineTime)

/** Until when the drain waits for acknowledgements, in milliseconds since the epoch; undefined if it waits for none. */
const gatewaysUntil = (snapshot: Snapshot, reason: string): number | undefined => {
  const { drainSeenAt } = snapshot
  if (drainSeenAt === undefined || !waitsForGateways(reason) || unaware(snapshot).length === 0) return undefined
  return drainSeenAt + gatewaysMs
}

/** How often a drain checks whether the gateways that it waits for still run. */
const gatewaysCheckMs = 1_000

/** The drain continues; `until` is when time alone can change that. */
const drainContinues = (snapshot: Snapshot, { reason, message }: DrainPlan): Finding => {
  const { drainSeenAt, now, use } = snapshot
  const verdict = { drain: { reason, message } }
  if (drainSeenAt === undefined) return { verdict }
  const least = drainSeenAt + leastDrainMs
  if (now < least) return { verdict, until: least }
  const gateways = gatewaysUntil(snapshot, reason)
  const waits = gateways !== undefined && now < gateways
  const moments = waits ? [gateways, now + gatewaysCheckMs] : []
  return { verdict, until: nextAfter(now, drainDeadline(snapshot), use.nextExpiry, ...moments) }
}

/**
 * The next step of a drain. First the condition Draining is written, guarded by the resourceVersion that was read. Then
 * the drain waits for the shortest drain time, for the acknowledgement of each gateway, and for open calls, up to the
 * deadline. Then its `finish` is the verdict. A server that never answered has no open calls and needs no drain.
 */
export const drainStep = (snapshot: Snapshot, plan: DrainPlan): Finding => {
  const { pod, drainSeenAt, use, now } = snapshot
  if (pod === undefined || !hasStarted(pod)) return { verdict: plan.finish }
  if (drainingReason(snapshot) === undefined || drainSeenAt === undefined) return drainContinues(snapshot, plan)
  if (now < drainSeenAt + leastDrainMs) return drainContinues(snapshot, plan)
  const waits = use.live.length > 0 || now < (gatewaysUntil(snapshot, plan.reason) ?? now)
  if (waits && now < (drainDeadline(snapshot) ?? Number.POSITIVE_INFINITY)) return drainContinues(snapshot, plan)
  return { verdict: plan.finish }
}

/** Deletes the Pod; the next start creates another one. */
export const replacement = (pod: KeptPod, { instance }: Snapshot, reason: DrainReason): Verdict => ({
  actions: [{ do: "deletePod", pod, reason }],
  standing: { ready: false, ...pendingReason },
  starts: (instance.status?.starts ?? 0) + 1,
})

/** A drain, after which the instance is deleted. A retained instance stays: only its Pod is deleted, and replaced. */
export const drainAndEnd = (snapshot: Snapshot, reason: DrainReason, message: string): Finding | undefined => {
  const { pod, instance } = snapshot
  if (!isRetained(instance)) {
    const end = { do: "deleteInstance", reason, message } as const
    // A Pod that has not started is deleted first, only if it is unchanged: if it has started since, it must be drained.
    const unstarted = pod !== undefined && !hasStarted(pod) ? [{ do: "deletePod", pod, reason } as const] : []
    return drainStep(snapshot, { reason, message, finish: { actions: [...unstarted, end] } })
  }
  return pod && drainStep(snapshot, { reason, message, finish: replacement(pod, snapshot, reason) })
}

/** A duration as text for a message, rounded to whole seconds. */
export const durationText = (ms: number): string => formatDuration(Math.round(ms / 1000) * 1000)
