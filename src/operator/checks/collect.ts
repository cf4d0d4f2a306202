/** Checks that delete or drain an instance, and the one that queues it for a place. */

import { parseDuration } from "../../api/duration.ts"
import { isTrue } from "../../api/kinds/kind.ts"
import { clockSkewMs } from "../../ports/clock.ts"
import { asksForRestart } from "../../signals/restart.ts"
import { evictableAt, failedUntil, idleUntil, lifetimeUntil, queuedUntil, secretUntil } from "../deadlines.ts"
import { isPodReady } from "../server-state.ts"
import type { Check, Snapshot } from "../snapshot.ts"
import { isSpecNews } from "../start.ts"
import { moment, nextAfter } from "../time.ts"
import { drainAndEnd, drainingReason, durationText } from "./drain.ts"

/** True if the server answers again, before the status shows it. A refused spec fails even if its server answers. */
const hasHealed = ({ pod, instance }: Snapshot): boolean =>
  isPodReady(pod) && isTrue(instance.status?.conditions, "Admitted")

/**
 * Deletes a failed instance that no request waits for: after five minutes, or at once if another one needs its place.
 */
export const failedAndUnwaited: Check = (snapshot) => {
  const until = failedUntil(snapshot)
  if (until === undefined || hasHealed(snapshot) || isSpecNews(snapshot)) return undefined
  if (snapshot.use.live.length > 0) return { until: snapshot.use.nextExpiry }
  if (snapshot.now < until && !snapshot.makesRoom) return { until }
  const message = `It failed (${snapshot.instance.status?.failure?.reason}) and no request waits for it.`
  return { verdict: { actions: [{ do: "deleteInstance", reason: "FailedAndUnwaited", message }] } }
}

const queueMessages = {
  MaxInstancesReached: "All places are taken (kubernetes.max_instances); it starts when one becomes free.",
  TargetMaxInstancesReached: "All places of the target are taken (maxInstances); it starts when one becomes free.",
  QueueFull: "All places are taken and as many instances wait already: try again later or raise max_instances.",
} as const

/** How often a queued instance is checked again: another one may have become idle enough to make room. */
const queueCheckMs = 5_000

/** Queues an instance without a place, in order of creation. Deletes it after a minute if no request waits for it. */
export const queued: Check = (snapshot) => {
  const { place, use, now } = snapshot
  if (place.kind === "granted") return undefined
  const message = queueMessages[place.reason]
  if (use.live.length === 0 && now >= queuedUntil(snapshot)) {
    const why = "It waited for a place, and no request waited for it."
    return { verdict: { actions: [{ do: "deleteInstance", reason: "QueuedAndUnwaited", message: why }] } }
  }
  const until = nextAfter(now, use.live.length === 0 ? queuedUntil(snapshot) : use.nextExpiry, now + queueCheckMs)
  return { verdict: { refused: { reason: place.reason, message }, wake: place.wake }, until }
}

/**
 * True if a restart was asked for of this instance. A restartTime older than the instance is ignored: it was meant for
 * an earlier instance whose manifest was applied again.
 */
const restartAsked = ({ instance }: Snapshot): boolean => {
  const at = moment(instance.spec.restartTime)
  const createdAt = moment(instance.metadata.creationTimestamp) ?? 0
  return asksForRestart(instance) && at !== undefined && at >= createdAt - clockSkewMs
}

/** Drains and ends (see {@link drainAndEnd}) an instance that a restart was asked for. */
export const restarted: Check = (snapshot) =>
  restartAsked(snapshot) ? drainAndEnd(snapshot, "Restarted", "A restart was asked for.") : undefined

/** Drains and ends (see {@link drainAndEnd}) an instance that has reached its maximum lifetime. */
export const pastLifetime: Check = (snapshot) => {
  const until = lifetimeUntil(snapshot)
  return snapshot.now < until ? { until } : drainAndEnd(snapshot, "MaxLifetime", "It reached its maximum lifetime.")
}

/** Drains and ends (see {@link drainAndEnd}) an instance before the values of its Secret expire. */
export const secretExpiring: Check = (snapshot) => {
  const until = secretUntil(snapshot)
  return until === undefined || snapshot.now < until
    ? { until }
    : drainAndEnd(snapshot, "SecretExpired", "The values of its Secret expire.")
}

/** Drains and deletes an idle instance to make room for a queued one. Use cancels it. */
export const evicted: Check = (snapshot) => {
  const { makesRoom, use, now } = snapshot
  if (!makesRoom && drainingReason(snapshot) !== "Evicted") return undefined
  if (use.live.length > 0) return { until: use.nextExpiry }
  const until = evictableAt(snapshot)
  if (now < until) return { until }
  return drainAndEnd(snapshot, "Evicted", "It was the least recently used instance while others waited for a place.")
}

/** Drains and deletes an instance that was not used for its idle TTL. Use cancels it. */
export const idle: Check = (snapshot) => {
  const { use, now, instance, settings, standing } = snapshot
  const until = idleUntil(snapshot)
  if (until === undefined || standing.failed !== undefined) return undefined
  if (use.live.length > 0) return { until: use.nextExpiry }
  if (now < until) return { until }
  const ttl = parseDuration(instance.spec.idleTTL ?? "") ?? settings.idle_ttl
  return drainAndEnd(snapshot, "Idle", `No request used it for ${durationText(ttl)}.`)
}
