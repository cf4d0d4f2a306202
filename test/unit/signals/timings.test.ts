import { describe, expect, test } from "vitest"
import { acknowledgeDelayMs, gatewaysMs, leastDrainMs } from "../../../src/signals/drain.ts"
import { freshMs, markDelayMs, markRenewMs, markTtlMs } from "../../../src/signals/in-use.ts"
import { evictableIdleMs, idleFrom, stampNeed } from "../../../src/signals/last-used.ts"
import { presenceTiming } from "../../../src/signals/presence.ts"

const minute = 60_000
/** How long a write about use may take before it counts as failed; see the effects of placement. */
const writeMs = 3_000

describe("what gateways and operator agree on", () => {
  test("two renewals of an in-use mark may fail before it counts as dead", () => {
    expect(markTtlMs).toBeGreaterThanOrEqual(3 * markRenewMs)
  })
  test("a new instance counts as in use until its creator's mark is written", () => {
    expect(freshMs).toBeGreaterThan(markDelayMs + 2 * writeMs)
  })
  test("a call that was open when a drain began is marked before the drain can end", () => {
    expect(leastDrainMs).toBeGreaterThan(markDelayMs + acknowledgeDelayMs)
  })
  test("a drain waits for a gateway no longer than one that died counts as living", () => {
    expect(gatewaysMs).toBeLessThan(presenceTiming.ttlMs)
  })
  test("two renewals of a gateway's presence may fail before it counts as dead", () => {
    expect(presenceTiming.ttlMs).toBeGreaterThanOrEqual(3 * presenceTiming.renewMs)
  })
  test.each([10_000, minute, 30 * minute])("with an idle TTL of %i ms no instance is idle that is in use", (ttl) => {
    // the oldest record that nobody renews while requests come
    const oldest = Array.from({ length: 200 }, (_, at) => (at * ttl) / 100).findLast(
      (age) => stampNeed(age, ttl, false) === "none",
    )
    expect(idleFrom(-(oldest ?? 0), ttl)).toBeGreaterThanOrEqual(ttl)
  })
  test("where instances are crowded use is awaited before the instance could be evicted", () => {
    expect(stampNeed(evictableIdleMs - 2 * writeMs, 30 * minute, true)).toBe("awaited")
  })
})

test.each([
  [0, false, "none"],
  [7.4, false, "none"],
  [7.6, false, "background"],
  [14.9, false, "background"],
  [15.1, false, "awaited"],
  [0.4, true, "none"],
  [0.6, true, "background"],
  [0.8, true, "awaited"],
])("with an idle TTL of 30 min and a record %s min old (crowded: %s) a write is %s", (age, crowded, expected) => {
  expect(stampNeed(age * minute, 30 * minute, crowded)).toBe(expected)
})

test("a short TTL is not stretched by the step of a crowded cluster", () => {
  expect(stampNeed(3_000, 10_000, true)).toBe("background")
})
