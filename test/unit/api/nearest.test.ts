import fc from "fast-check"
import { expect, test } from "vitest"
import { nearest } from "../../../src/api/nearest.ts"

test.each([
  ["idle_tll", "idle_ttl"],
  ["IDLE_TTL", "idle_ttl"],
  ["max_instance", "max_instances"],
  ["namspace", "namespace"],
  ["something_else", undefined],
  ["", undefined],
])("%j most likely means %j", (name, meant) => {
  expect(nearest(name, ["idle_ttl", "max_instances", "namespace"])).toBe(meant)
})

test("a name with one typing mistake is always found", () => {
  const names = ["idle_ttl", "max_lifetime", "public_url", "allowed_origins"]
  fc.assert(
    fc.property(fc.constantFrom(...names), fc.nat(), fc.constantFrom("drop", "double", "swap"), (name, at, mistake) => {
      const index = at % (name.length - 1)
      const parts = { drop: "", double: `${name[index]}${name[index]}`, swap: `${name[index + 1]}${name[index]}` }
      const rest = name.slice(index + (mistake === "swap" ? 2 : 1))
      expect(nearest(name.slice(0, index) + parts[mistake as keyof typeof parts] + rest, names)).toBe(name)
    }),
  )
})

test("a very long name is compared with nothing", () => {
  expect(nearest("x".repeat(1_000_000), ["x"])).toBeUndefined()
})
