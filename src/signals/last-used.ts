/**
 * Use that leaves no mark: gateways record it in `status.lastUsedTime`, in steps, so that a warm request costs no write. What
 * the operator must add to a record follows from those steps.
 */

/** The part of the idle TTL after which use is recorded anew. */
const recordShare = 1 / 4
/** The part of the idle TTL after which the record is awaited before the request goes on, so that collection cannot win. */
const awaitShare = 1 / 2

/** Near the limit of instances use is recorded this often, milliseconds, so that eviction finds the right one. */
const crowdedStepMs = 30_000
/** There a record is awaited from this age of the last one on, milliseconds; less than {@link evictableIdleMs}. */
const crowdedAwaitMs = 45_000

/** How long an instance must have been idle before it may be drained to make room for another, milliseconds. */
export const evictableIdleMs = 60_000

/** What use asks for: no record, one that nobody waits for, or one that is awaited. */
export type StampNeed = "none" | "background" | "awaited"

/**
 * What use asks for whose last record is `ageMs` old: nothing while that is younger than a quarter of the idle TTL (near the
 * limit of instances: 30 s); a record, and past half of the TTL (45 s) one that is awaited, so that collection and eviction
 * cannot win. Pure.
 */
export const stampNeed = (ageMs: number, idleTTLMs: number, crowded: boolean): StampNeed => {
  const [step, limit] = [recordShare * idleTTLMs, awaitShare * idleTTLMs]
  if (ageMs > (crowded ? Math.min(limit, crowdedAwaitMs) : limit)) return "awaited"
  return ageMs > (crowded ? Math.min(step, crowdedStepMs) : step) ? "background" : "none"
}

/**
 * When an instance is idle whose last record of use is of `recordedAt`: that record says «used until a step later at most», so
 * the step comes on top of the TTL. Both in milliseconds.
 */
export const idleFrom = (recordedAt: number, idleTTLMs: number): number => recordedAt + (1 + recordShare) * idleTTLMs
