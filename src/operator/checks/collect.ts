/** Who goes, and who waits for a place. */
import { isTrue } from "../../api/kinds/kind.ts"
import { parseDuration } from "../../api/units.ts"
import { clockSkewMs } from "../../signals/clocks.ts"
import { asksForRestart } from "../../signals/restart.ts"
import { evictableAt, failedUntil, idleUntil, lifetimeUntil, queuedUntil, secretUntil } from "../deadlines.ts"
import type { Check, Snapshot } from "../snapshot.ts"
import { isPodReady } from "../standing.ts"
import { isSpecNews, moment } from "../start.ts"
import { drainAndEnd, drainingReason, inWords } from "./drain.ts"

/** Its failure is over: its server answers again, though the status does not say so yet. No server mends a refused spec. */
const hasHealed = ({ pod, instance }: Snapshot): boolean =>
  isPodReady(pod) && isTrue(instance.status?.conditions, "Admitted")

/** A failed instance goes when nobody waits for it: after five minutes, or at once if it takes another one's place. */
export const failedAndUnwaited: Check = (snapshot) => {
  const until = failedUntil(snapshot)
  if (until === undefined || snapshot.use.live.length > 0 || hasHealed(snapshot)) return undefined
  if (isSpecNews(snapshot) || (snapshot.now < until && !snapshot.makesRoom)) return undefined
  const message = `It failed (${snapshot.instance.status?.failure?.reason}) and nobody waits for it.`
  return { actions: [{ do: "deleteInstance", reason: "FailedAndUnwaited", message }] }
}

const queueMessages = {
  MaxInstancesReached: "All places are taken (kubernetes.max_instances); it starts when one becomes free.",
  TargetMaxInstancesReached: "All places of the target are taken (maxInstances); it starts when one becomes free.",
  QueueFull: "All places are taken and as many instances wait already: try again later or raise max_instances.",
} as const

/** Without a place it waits, in order of creation; without anybody who waits for it, it goes. */
export const queued: Check = (snapshot) => {
  const { place, use, now } = snapshot
  if (place.kind === "granted") return undefined
  const message = queueMessages[place.reason]
  if (use.live.length === 0 && now >= queuedUntil(snapshot)) {
    const why = "It waited for a place and nobody waited for it."
    return { actions: [{ do: "deleteInstance", reason: "QueuedAndUnwaited", message: why }] }
  }
  return { refused: { reason: place.reason, message }, nudge: place.nudge }
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
export const pastLifetime: Check = (snapshot) =>
  snapshot.now < lifetimeUntil(snapshot)
    ? undefined
    : drainAndEnd(snapshot, "MaxLifetime", "It reached its maximum lifetime.")

/** Its credentials are about to expire. */
export const secretExpiring: Check = (snapshot) =>
  snapshot.now < (secretUntil(snapshot) ?? Number.POSITIVE_INFINITY)
    ? undefined
    : drainAndEnd(snapshot, "SecretExpired", "The values of its Secret expire.")

/** It makes room for another, unless somebody came meanwhile. */
export const evicted: Check = (snapshot) => {
  const { makesRoom, use, now } = snapshot
  const chosen = makesRoom || drainingReason(snapshot) === "Evicted"
  if (!chosen || use.live.length > 0 || now < evictableAt(snapshot)) return undefined
  return drainAndEnd(snapshot, "Evicted", "It was the least recently used one while others waited for a place.")
}

/** Nobody used it for its idle TTL, and nobody came meanwhile. */
export const idle: Check = (snapshot) => {
  const { use, now, instance, settings, standing } = snapshot
  if (use.live.length > 0 || standing.failed !== undefined) return undefined
  if (now < (idleUntil(snapshot) ?? Number.POSITIVE_INFINITY)) return undefined
  const ttl = parseDuration(instance.spec.idleTTL ?? "") ?? settings.idle_ttl
  return drainAndEnd(snapshot, "Idle", `Nobody used it for ${inWords(ttl)}.`)
}
