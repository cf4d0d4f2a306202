/** Who goes, and who waits for a place. */
import { isTrue } from "../../api/kinds/kind.ts"
import { parseDuration } from "../../api/units.ts"
import { clockSkewMs } from "../../ports/clock.ts"
import { asksForRestart } from "../../signals/restart.ts"
import { evictableAt, failedUntil, idleUntil, lifetimeUntil, queuedUntil, secretUntil } from "../deadlines.ts"
import type { Check, Snapshot } from "../snapshot.ts"
import { isPodReady } from "../standing.ts"
import { isSpecNews, moment, nextAfter } from "../start.ts"
import { drainAndEnd, drainingReason, inWords } from "./drain.ts"

/** Its failure is over: its server answers again, though the status does not say so yet. No server mends a refused spec. */
const hasHealed = ({ pod, instance }: Snapshot): boolean =>
  isPodReady(pod) && isTrue(instance.status?.conditions, "Admitted")

/** A failed instance goes when nobody waits for it: after five minutes, or at once if it takes another one's place. */
export const failedAndUnwaited: Check = (snapshot) => {
  const until = failedUntil(snapshot)
  if (until === undefined || hasHealed(snapshot) || isSpecNews(snapshot)) return undefined
  if (snapshot.use.live.length > 0) return { until: snapshot.use.nextDeath }
  if (snapshot.now < until && !snapshot.makesRoom) return { until }
  const message = `It failed (${snapshot.instance.status?.failure?.reason}) and nobody waits for it.`
  return { verdict: { actions: [{ do: "deleteInstance", reason: "FailedAndUnwaited", message }] } }
}

const queueMessages = {
  MaxInstancesReached: "All places are taken (kubernetes.max_instances); it starts when one becomes free.",
  TargetMaxInstancesReached: "All places of the target are taken (maxInstances); it starts when one becomes free.",
  QueueFull: "All places are taken and as many instances wait already: try again later or raise max_instances.",
} as const

/** How often a queued instance looks whether another one became idle enough to make room. */
const queueLookMs = 5_000

/** Without a place it waits, in order of creation; without anybody who waits for it, it goes. */
export const queued: Check = (snapshot) => {
  const { place, use, now } = snapshot
  if (place.kind === "granted") return undefined
  const message = queueMessages[place.reason]
  if (use.live.length === 0 && now >= queuedUntil(snapshot)) {
    const why = "It waited for a place and nobody waited for it."
    return { verdict: { actions: [{ do: "deleteInstance", reason: "QueuedAndUnwaited", message: why }] } }
  }
  const until = nextAfter(now, use.live.length === 0 ? queuedUntil(snapshot) : use.nextDeath, now + queueLookMs)
  return { verdict: { refused: { reason: place.reason, message }, nudge: place.nudge }, until }
}

/** A restart was asked for of this instance, and not of an earlier one whose manifest was applied again and edited at once. */
const restartAsked = ({ instance }: Snapshot): boolean => {
  const at = moment(instance.spec.restartTime)
  const born = moment(instance.metadata.creationTimestamp) ?? 0
  return asksForRestart(instance) && at !== undefined && at >= born - clockSkewMs
}

/** A restart was asked for. */
export const restarted: Check = (snapshot) =>
  restartAsked(snapshot) ? drainAndEnd(snapshot, "Restarted", "A restart was asked for.") : undefined

/** It is too old. */
export const pastLifetime: Check = (snapshot) => {
  const until = lifetimeUntil(snapshot)
  return snapshot.now < until ? { until } : drainAndEnd(snapshot, "MaxLifetime", "It reached its maximum lifetime.")
}

/** Its credentials are about to expire. */
export const secretExpiring: Check = (snapshot) => {
  const until = secretUntil(snapshot)
  return until === undefined || snapshot.now < until
    ? { until }
    : drainAndEnd(snapshot, "SecretExpired", "The values of its Secret expire.")
}

/** It makes room for another, unless somebody came meanwhile. */
export const evicted: Check = (snapshot) => {
  const { makesRoom, use, now } = snapshot
  if (!makesRoom && drainingReason(snapshot) !== "Evicted") return undefined
  if (use.live.length > 0) return { until: use.nextDeath }
  const until = evictableAt(snapshot)
  if (now < until) return { until }
  return drainAndEnd(snapshot, "Evicted", "It was the least recently used one while others waited for a place.")
}

/** Nobody used it for its idle TTL, and nobody came meanwhile. */
export const idle: Check = (snapshot) => {
  const { use, now, instance, settings, standing } = snapshot
  const until = idleUntil(snapshot)
  if (until === undefined || standing.failed !== undefined) return undefined
  if (use.live.length > 0) return { until: use.nextDeath }
  if (now < until) return { until }
  const ttl = parseDuration(instance.spec.idleTTL ?? "") ?? settings.idle_ttl
  return drainAndEnd(snapshot, "Idle", `Nobody used it for ${inWords(ttl)}.`)
}
