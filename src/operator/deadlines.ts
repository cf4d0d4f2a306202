/**
 * When an instance is deleted or drained: moments in milliseconds since the epoch, which the checks compare with the
 * time. A retained instance is never deleted: its moments are those at which its Pod is replaced.
 */
import { parseDuration } from "../api/duration.ts"
import { clockSkewMs } from "../ports/clock.ts"
import { evictableIdleMs, idleFrom } from "../signals/last-used.ts"
import { isRetained } from "../signals/restart.ts"
import type { Snapshot } from "./snapshot.ts"
import { wasReady } from "./start.ts"
import { moment } from "./time.ts"

/** How long a failed instance that no request waits for is kept, so that its failure can be read. */
const failedMs = 5 * 60_000
/** How long an instance that no request waits for stays in the queue for a place. */
const queuedMs = 60_000

/** What the moments depend on. */
type Facts = Pick<Snapshot, "instance" | "use" | "settings" | "pod" | "sight">

const never = Number.POSITIVE_INFINITY

const createdAt = ({ instance }: Facts): number => moment(instance.metadata.creationTimestamp) ?? 0

const latest = (...moments: readonly (number | undefined)[]): number =>
  Math.max(...moments.map((each) => each ?? Number.NEGATIVE_INFINITY))

/** When a failed instance is deleted if no request waits for it; undefined while it has not failed. */
export const failedUntil = (facts: Facts): number | undefined => {
  const { phase, failure } = facts.instance.status ?? {}
  if (phase !== "Failed" || failure === undefined || isRetained(facts.instance)) return undefined
  return latest(moment(failure.time), createdAt(facts), facts.use.lastUse) + failedMs
}

/** When a queued instance is deleted if no request waits for it; infinite for a retained one. */
export const queuedUntil = (facts: Facts): number =>
  isRetained(facts.instance) ? never : latest(createdAt(facts), facts.use.lastUse) + queuedMs

/**
 * When an unused instance is drained; undefined before it was ever Ready, since a start has its own time limit, and for
 * a retained one.
 */
export const idleUntil = (facts: Facts): number | undefined => {
  const { spec, status } = facts.instance
  const readyAt = moment(status?.readyTime)
  if (readyAt === undefined || isRetained(facts.instance)) return undefined
  const ttl = parseDuration(spec.idleTTL ?? "") ?? facts.settings.idle_ttl
  return idleFrom(latest(readyAt, facts.use.lastUse), ttl)
}

/** When the Pod of a retained instance was created; undefined until it was Ready, since a new Pod would not help. */
const podCreatedAt = ({ instance, pod }: Facts): number | undefined =>
  wasReady({ instance }) ? moment(pod?.metadata.creationTimestamp) : undefined

/** When an instance has reached its maximum lifetime; for a retained instance, when its Pod has. */
export const lifetimeUntil = (facts: Facts): number => {
  const created = isRetained(facts.instance) ? podCreatedAt(facts) : createdAt(facts)
  return (created ?? never) + (parseDuration(facts.instance.spec.maxLifetime ?? "") ?? facts.settings.max_lifetime)
}

/**
 * True if the Pod was created at `at` or later: by its creationTimestamp, or by when this operator first saw it, since
 * the API server's clock may be behind.
 */
const isMadeSince = ({ pod, sight }: Facts, at: number): boolean => {
  const made = moment(pod?.metadata.creationTimestamp) ?? never
  return made >= at || ((sight?.seenAt ?? 0) >= at && made >= at - clockSkewMs)
}

/**
 * When a drain must begin so that it ends before the Secret's values expire; not before half of their validity has
 * passed. Undefined if they do not expire. Also undefined for a retained instance whose Pod was already replaced for
 * that: it is its author's task to renew the Secret.
 */
export const secretUntil = (facts: Facts): number | undefined => {
  const expires = moment(facts.instance.spec.secretExpireTime)
  if (expires === undefined) return undefined
  const created = createdAt(facts)
  const at = Math.max(expires - facts.settings.drain_timeout, created + (expires - created) / 2)
  return isRetained(facts.instance) && isMadeSince(facts, at) ? undefined : at
}

/** When an unused instance may be drained to make room for another; infinite for a retained one. */
export const evictableAt = ({ instance, use }: Facts): number =>
  isRetained(instance) ? never : latest(use.lastUse, moment(instance.status?.readyTime)) + evictableIdleMs
