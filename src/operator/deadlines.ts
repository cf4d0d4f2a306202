/**
 * From when on an instance goes: moments in milliseconds since the epoch. The checks compare the time with them. One that is
 * retained never goes: of the moments it has those alone at which its Pod is replaced.
 */
import { parseDuration } from "../api/units.ts"
import { clockSkewMs } from "../ports/clock.ts"
import { evictableIdleMs, idleFrom } from "../signals/last-used.ts"
import { isRetained } from "../signals/restart.ts"
import type { Snapshot } from "./snapshot.ts"
import { moment, wasReady } from "./start.ts"

/** How long a failed instance that nobody waits for tells its failure. */
const failedMs = 5 * 60_000
/** How long an instance waits for a place without anybody waiting for it. */
const queuedMs = 60_000

/** What the moments follow from. */
type Facts = Pick<Snapshot, "instance" | "use" | "settings" | "pod" | "sight">

const never = Number.POSITIVE_INFINITY

const createdAt = ({ instance }: Facts): number => moment(instance.metadata.creationTimestamp) ?? 0

const latest = (...moments: readonly (number | undefined)[]): number =>
  Math.max(...moments.map((each) => each ?? Number.NEGATIVE_INFINITY))

/** When a failed instance goes, if nobody waits for it until then; undefined while it has not failed. */
export const failedUntil = (facts: Facts): number | undefined => {
  const { phase, failure } = facts.instance.status ?? {}
  if (phase !== "Failed" || failure === undefined || isRetained(facts.instance)) return undefined
  return latest(moment(failure.time), createdAt(facts), facts.use.lastUse) + failedMs
}

/** When a queued instance goes, if nobody waits for it until then. */
export const queuedUntil = (facts: Facts): number =>
  isRetained(facts.instance) ? never : latest(createdAt(facts), facts.use.lastUse) + queuedMs

/**
 * When an instance that is not in use is collected; undefined before it was ever Ready, since a start has a time limit
 * of its own.
 */
export const idleUntil = (facts: Facts): number | undefined => {
  const { spec, status } = facts.instance
  const readyAt = moment(status?.readyTime)
  if (readyAt === undefined || isRetained(facts.instance)) return undefined
  const ttl = parseDuration(spec.idleTTL ?? "") ?? facts.settings.idle_ttl
  return idleFrom(latest(readyAt, facts.use.lastUse), ttl)
}

/** When the Pod of an instance that is retained was made; never, before it took requests: another one would be no younger. */
const podBirth = ({ instance, pod }: Facts): number | undefined =>
  wasReady({ instance }) ? moment(pod?.metadata.creationTimestamp) : undefined

/** When an instance is too old; of one that is retained, its Pod. */
export const lifetimeUntil = (facts: Facts): number => {
  const born = isRetained(facts.instance) ? podBirth(facts) : createdAt(facts)
  return (born ?? never) + (parseDuration(facts.instance.spec.maxLifetime ?? "") ?? facts.settings.max_lifetime)
}

/** True if the Pod was made since `at`: by its stamp, or as this operator saw it, since the API server's clock may be behind. */
const isMadeSince = ({ pod, sight }: Facts, at: number): boolean => {
  const made = moment(pod?.metadata.creationTimestamp) ?? never
  return made >= at || ((sight?.seenAt ?? 0) >= at && made >= at - clockSkewMs)
}

/**
 * When a drain must begin to be over before the Secret's values expire; at half their life if that is short. Undefined of an
 * instance that is retained once its Pod has been replaced for it: what the Secret holds then is its author's business.
 */
export const secretUntil = (facts: Facts): number | undefined => {
  const expires = moment(facts.instance.spec.secretExpireTime)
  if (expires === undefined) return undefined
  const created = createdAt(facts)
  const at = Math.max(expires - facts.settings.drain_timeout, created + (expires - created) / 2)
  return isRetained(facts.instance) && isMadeSince(facts, at) ? undefined : at
}

/** Since when an instance can make room for another. */
export const evictableAt = ({ instance, use }: Facts): number =>
  isRetained(instance) ? never : latest(use.lastUse, moment(instance.status?.readyTime)) + evictableIdleMs
