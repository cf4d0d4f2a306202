import fc from "fast-check"
import { expect, test } from "vitest"
import { formatDuration, parseDuration } from "../../../src/api/duration.ts"
import { durationRule } from "../../../src/api/units.ts"

test.each([
  ["90s", 90_000],
  ["1h30m", 5_400_000],
  ["1.5h", 5_400_000],
  ["250ms", 250],
  ["0s", 0],
  ["1m1ms", 60_001],
])("%s is %i ms", (text, ms) => {
  expect(parseDuration(text)).toBe(ms)
})

test.each([
  "",
  "10",
  "s",
  "-5s",
  "1d",
  "1h 30m",
  "1,5h",
  ".5h",
  "5.s",
  "1h30",
  "1e3s",
  "9".repeat(33),
  `${"9".repeat(30)}h`,
])("'%s' is no duration", (text) => {
  expect(parseDuration(text)).toBeUndefined()
})

test("what is formatted reads back as the same time", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 10 ** 12 }), (ms) => {
      expect(parseDuration(formatDuration(ms))).toBe(ms)
    }),
  )
})

test("what is read is formatted in its shortest form, which is stable", () => {
  const part = fc.tuple(fc.nat(999), fc.constantFrom("ms", "s", "m", "h")).map((parts) => parts.join(""))
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 5 }), (parts) => {
      const ms = parseDuration(parts.join(""))
      expect(ms).toBeTypeOf("number")
      const text = formatDuration(ms ?? -1)
      expect(text.length).toBeLessThanOrEqual(Math.max(2, parts.join("").length * 2))
      expect(formatDuration(parseDuration(text) ?? -1)).toBe(text)
    }),
  )
})

test("durations of a kind begin at ten seconds", () => {
  const { holds } = durationRule("spec.idleTTL")
  expect(["10s", "10000ms", "1h"].map((text) => holds(text))).toEqual([true, true, true])
  expect(["9s", "9.999s", "0s", "x"].map((text) => holds(text))).toEqual([false, false, false, false])
})
