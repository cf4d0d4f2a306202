import { describe, expect, test } from "vitest"
import { freshnessOf } from "../../../../src/placement/remote/freshness.ts"

const minute = 60_000
const at = Date.parse("2030-01-01T00:00:00Z")
const asked = (age: number, isOut = false, expiresAt?: number) =>
  freshnessOf({ at, expiresAt: expiresAt === undefined ? undefined : at + expiresAt }, { now: at + age, isOut })

describe("composed values", () => {
  test.each<[number, boolean, string]>([
    [0, false, "fresh"],
    [4 * minute - 1, false, "fresh"],
    [4 * minute, false, "aging"],
    [5 * minute - 1, false, "aging"],
    [5 * minute, false, "stale"],
    [3 * minute, true, "fresh"],
    [5 * minute, true, "aging"],
    [60 * minute - 1, true, "aging"],
    [60 * minute, true, "stale"],
    [-1, false, "stale"],
    [-1, true, "stale"],
  ])("of an age of %i ms, API server out: %s, are %s", (age, isOut, freshness) => {
    expect(asked(age, isOut)).toBe(freshness)
  })

  test.each<[number, number, boolean, string]>([
    [2 * minute, 90_000 - 1, false, "fresh"],
    [2 * minute, 90_000, false, "aging"],
    [2 * minute, 2 * minute - 1, false, "aging"],
    [2 * minute, 2 * minute, false, "stale"],
    [2 * minute, 2 * minute, true, "stale"],
    [10_000, 4_999, false, "fresh"],
    [10_000, 5_000, false, "aging"],
    [60 * minute, 4 * minute, false, "aging"],
    [60 * minute, 5 * minute, false, "stale"],
  ])("that live %i ms and have an age of %i ms, API server out: %s, are %s", (life, age, isOut, freshness) => {
    expect(asked(age, isOut, life)).toBe(freshness)
  })
})
