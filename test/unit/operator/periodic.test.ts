import { describe, expect, test } from "vitest"
import { checkPeriodically, nextReconcileMs } from "../../../src/operator/periodic.ts"
import { fakeClock } from "../../support/fake-clock.ts"
import { quietTelemetry } from "../../support/quiet-telemetry.ts"

const minute = 60_000

describe("an instance is reconciled again", () => {
  test("when time alone changes what is decided about it", () => {
    expect(nextReconcileMs(1_000, minute, 0)).toBe(1_000)
    expect(nextReconcileMs(0, minute, 0.5)).toBe(0)
  })

  test("between five and ten gc_intervals later, although nothing changes by time", () => {
    expect(nextReconcileMs(Number.POSITIVE_INFINITY, minute, 0)).toBe(5 * minute)
    expect(nextReconcileMs(Number.POSITIVE_INFINITY, minute, 0.5)).toBe(7.5 * minute)
    expect(nextReconcileMs(60 * minute, minute, 1)).toBe(10 * minute)
  })
})

const setUp = (sweep: () => Promise<void> = async () => {}) => {
  const clock = fakeClock()
  const ending = new AbortController()
  const counts = { swept: 0, reconciled: 0 }
  const ended = checkPeriodically(
    {
      clock,
      gcIntervalMs: minute,
      sweep: () => {
        counts.swept++
        return sweep()
      },
      reconcileAll: () => {
        counts.reconciled++
      },
      log: quietTelemetry().log,
    },
    ending.signal,
  )
  return { clock, ending, counts, ended }
}

describe("every gc_interval", () => {
  test("objects without an owner are deleted, and no instance is reconciled", async () => {
    const { clock, counts } = setUp()
    await clock.advance(3 * minute)
    expect(counts).toEqual({ swept: 4, reconciled: 0 })
  })

  test("a sweep that failed is tried again", async () => {
    const { clock, counts } = setUp(() => Promise.reject(new Error("refused")))
    await clock.advance(minute)
    expect(counts.swept).toBe(2)
  })

  test.each([
    ["forward", 60 * minute],
    ["back", -60 * minute],
  ])("all instances are reconciled if the clock was set %s: deadlines are times of the day", async (_way, ms) => {
    const { clock, counts } = setUp()
    await clock.advance(30_000)
    clock.skew(ms)
    await clock.advance(30_000)
    expect(counts.reconciled).toBe(1)
    await clock.advance(5 * minute)
    expect(counts.reconciled).toBe(1)
  })

  test("nothing more is done once the operator ends", async () => {
    const { clock, counts, ending, ended } = setUp()
    await clock.advance(0)
    clock.skew(60 * minute)
    ending.abort()
    await ended
    expect(counts).toEqual({ swept: 1, reconciled: 0 })
    expect(clock.pending).toBe(0)
  })
})
