import { findCondition } from "../../api/condition.ts"
import { waitsForGateways } from "../../api/drain.ts"
import { formatDuration } from "../../api/duration.ts"
import type { Pod } from "../../api/pod.ts"
import { isRetained } from "../../api/reclaim.ts"
import { hasStarted } from "../failure.ts"
import type { DrainReason } from "../reasons.ts"
import type { Snapshot, Verdict } from "../snapshot.ts"
import { pendingWords } from "../status.ts"
import { moment } from "../time.ts"

/** A gateway learns of a drain within this time, or asks the API server. */
export const drainNoticeMs = 2_000

/** A drain waits no longer than this for gateways that do not say that they saw it. */
export const gatewaysMs = 30_000

/** What a drain is for, and what follows it. */
export type DrainPlan = {
  readonly reason: DrainReason
  readonly message: string
  /** What is done once nothing is open any more. */
  readonly finish: Verdict
}

/** When the drain that goes on ends whatever is open; undefined while there is none. */
export const drainDeadline = ({ instance }: Pick<Snapshot, "instance">): number | undefined =>
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
export const gatewaysUntil = (snapshot: Snapshot, reason: string): number | undefined => {
  const { drainSeenAt } = snapshot
  if (drainSeenAt === undefined || !waitsForGateways(reason) || unaware(snapshot).length === 0) return undefined
  return drainSeenAt + gatewaysMs
}

/**
 * The next step of a drain: say so (guarded by the state that was looked at), give gateways time to notice, wait until
 * each has said so, wait for the open calls up to the deadline, then act. A server that never answered has nothing open
 * and needs no drain.
 */
export const drainStep = (snapshot: Snapshot, { reason, message, finish }: DrainPlan): Verdict => {
  const { pod, drainSeenAt, use, now } = snapshot
  if (pod === undefined || !hasStarted(pod)) return finish
  const drain = { reason, message }
  if (drainingReason(snapshot) === undefined || drainSeenAt === undefined) return { drain }
  if (now < drainSeenAt + drainNoticeMs) return { drain }
  const waits = use.live.length > 0 || now < (gatewaysUntil(snapshot, reason) ?? now)
  if (waits && now < (drainDeadline(snapshot) ?? Number.POSITIVE_INFINITY)) return { drain }
  return finish
}

/** The next start takes the Pod's place. */
export const replacement = (pod: Pod, { instance }: Snapshot, reason: DrainReason): Verdict => ({
  actions: [{ do: "deletePod", pod, reason }],
  standing: { ready: false, ...pendingWords },
  starts: (instance.status?.starts ?? 0) + 1,
})

/** A drain that ends with the deletion of the instance; of one that is retained with that of its Pod, which is replaced. */
export const drainAndEnd = (snapshot: Snapshot, reason: DrainReason, message: string): Verdict | undefined => {
  const { pod, instance } = snapshot
  if (!isRetained(instance)) {
    const end = { do: "deleteInstance", reason, message } as const
    // A Pod that has not started is deleted first, only if it is unchanged: if it has started since, it must be drained.
    const unstarted = pod !== undefined && !hasStarted(pod) ? [{ do: "deletePod", pod, reason } as const] : []
    return drainStep(snapshot, { reason, message, finish: { actions: [...unstarted, end] } })
  }
  return pod && drainStep(snapshot, { reason, message, finish: replacement(pod, snapshot, reason) })
}

/** A duration for a message: whole seconds. */
export const inWords = (ms: number): string => formatDuration(Math.round(ms / 1000) * 1000)
