import { leastDrainMs } from "../signals/drain.ts"
import { drainDeadline, drainingReason, gatewaysUntil } from "./checks/drain.ts"
import { failedUntil, idleUntil, lifetimeUntil, queuedUntil, secretUntil } from "./deadlines.ts"
import type { Snapshot } from "./snapshot.ts"
import { graceMs, hasStarted, runningSince } from "./standing.ts"
import { moment } from "./start.ts"
import { quietMs } from "./status.ts"

/** How often a queued instance looks whether another one became idle enough to make room. */
const queueLookMs = 5_000
/** How often a drain looks whether the gateways that it waits for still live. */
const gatewaysLookMs = 1_000
/** How often a start that takes long looks what the kubelet says of its probe. */
export const probeLookMs = 30_000

const startLooks = ({ pod, podSeenAt, now }: Snapshot): readonly (number | undefined)[] => {
  if (pod === undefined || hasStarted(pod)) return []
  const since = runningSince(pod)
  const probe = since === undefined ? undefined : since + graceMs
  const again = probe !== undefined && now >= probe ? now + probeLookMs : probe
  return [podSeenAt === undefined ? undefined : podSeenAt + quietMs, again]
}

const drainLooks = (snapshot: Snapshot): readonly (number | undefined)[] => {
  const { now, drainSeenAt } = snapshot
  if (drainSeenAt === undefined) return []
  const until = gatewaysUntil(snapshot, drainingReason(snapshot) ?? "")
  const waits = until !== undefined && now < until
  return [drainSeenAt + leastDrainMs, until, waits ? now + gatewaysLookMs : undefined]
}

/**
 * Milliseconds until time alone may change the decision: the next of all deadlines, at most `gc_interval`. The list
 * must hold whatever a check compares `now` with.
 */
export const nextLook = (snapshot: Snapshot): number => {
  const { now, settings, place, use, standing, instance } = snapshot
  const moments = [
    failedUntil(snapshot),
    idleUntil(snapshot),
    lifetimeUntil(snapshot),
    secretUntil(snapshot),
    use.nextDeath,
    standing.until,
    moment(instance.status?.backoffUntilTime),
    drainDeadline(snapshot),
    ...drainLooks(snapshot),
    ...(place.kind === "queued" ? [queuedUntil(snapshot), now + queueLookMs] : []),
    ...startLooks(snapshot),
  ]
  const next = moments.filter((at) => at !== undefined).filter((at) => at > now)
  return Math.min(settings.gc_interval, ...next.map((at) => at - now))
}
