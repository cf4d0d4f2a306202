/**
 * Use of an instance by calls too short for an in-use mark. Gateways record it in `status.lastUsedTime`, but not at
 * every request, so that most requests cost no write. The operator therefore adds the recording interval to the idle
 * TTL.
 */

/** Use is recorded again after this part of the idle TTL. */
const recordShare = 1 / 4
/**
 * After this part of the idle TTL a request awaits the record before it is sent, so that the instance is not deleted
 * first.
 */
const awaitShare = 1 / 2

/**
 * Near the limit of instances use is recorded this often, milliseconds, so that eviction finds the least recently used.
 */
const crowdedStepMs = 30_000
/**
 * Near the limit a request awaits the record if the last one is this old, milliseconds; less than {@link
 * evictableIdleMs}.
 */
const crowdedAwaitMs = 45_000

/** How long an instance must have been idle before it may be drained to make room for another, milliseconds. */
export const evictableIdleMs = 60_000

/** Whether a request must record use: not at all, without waiting for the write, or awaiting the write. */
export type StampNeed = "none" | "background" | "awaited"

/**
 * How a request must record use if the last record is `ageMs` old: not at all up to a quarter of the idle TTL; in the
 * background up to half of it; awaited beyond. If `crowded` (near the limit of instances), the bounds are at most 30 s
 * and 45 s. Awaiting the record makes sure that the instance is not deleted or evicted before the request is sent.
 * Pure.
 */
export const stampNeed = (ageMs: number, idleTTLMs: number, crowded: boolean): StampNeed => {
  const [step, limit] = [recordShare * idleTTLMs, awaitShare * idleTTLMs]
  if (ageMs > (crowded ? Math.min(limit, crowdedAwaitMs) : limit)) return "awaited"
  return ageMs > (crowded ? Math.min(step, crowdedStepMs) : step) ? "background" : "none"
}

/**
 * When an instance counts as idle, milliseconds since the epoch like `recordedAt`, the time of its last record. Use
 * within a quarter of the TTL after a record leaves no new record, so that quarter is added to the TTL.
 */
export const idleFrom = (recordedAt: number, idleTTLMs: number): number => recordedAt + (1 + recordShare) * idleTTLMs
