import { isDeepStrictEqual } from "node:util"
import fc from "fast-check"
import { expect, it, test } from "vitest"
import { applyMergePatch, mergePatchBetween } from "../../../src/api/patch.ts"

type Fields = Readonly<Record<string, unknown>>

const leaf = fc.oneof(
  fc.integer({ max: 3, min: 0 }),
  fc.constantFrom("a", "b"),
  fc.array(fc.integer({ max: 2, min: 0 })),
)
const plain = { noNullPrototype: true }
const key = fc.constantFrom("x", "y", "z")
const fields: fc.Arbitrary<Fields> = fc.dictionary(key, fc.oneof(leaf, fc.dictionary(key, leaf, plain)), plain)

it("a merge patch turns one state into the other, and there is none between equal ones", () => {
  fc.assert(
    fc.property(fields, fields, (before, after) => {
      const patch = mergePatchBetween(before, after)
      expect(patch === undefined).toBe(isDeepStrictEqual(before, after))
      expect(applyMergePatch(before, patch ?? {})).toEqual(after)
    }),
  )
})

it("a nested field that is gone is removed, not merged", () => {
  expect(mergePatchBetween({ limits: { cpu: "1", memory: "1Gi" } }, { limits: { cpu: "1" } })).toEqual({
    limits: { memory: null },
  })
})

/** The test cases of RFC 7396, appendix A. */
test.each([
  [{ a: "b" }, { a: "c" }, { a: "c" }],
  [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
  [{ a: "b" }, { a: null }, {}],
  [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
  [{ a: ["b"] }, { a: "c" }, { a: "c" }],
  [{ a: "c" }, { a: ["b"] }, { a: ["b"] }],
  [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
  [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
  [
    ["a", "b"],
    ["c", "d"],
    ["c", "d"],
  ],
  [{ a: "b" }, ["c"], ["c"]],
  [{ a: "foo" }, null, null],
  [{ a: "foo" }, "bar", "bar"],
  [{ e: null }, { a: 1 }, { e: null, a: 1 }],
  [[1, 2], { a: "b", c: null }, { a: "b" }],
  [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
])("%j patched with %j is %j, as RFC 7396 says", (target, patch, result) => {
  expect(applyMergePatch(target, patch)).toEqual(result)
})

test("a field called __proto__ is a field like any other", () => {
  const patched = applyMergePatch({}, JSON.parse('{"__proto__":{"a":1}}'))
  expect(Object.keys(Object(patched))).toEqual(["__proto__"])
  expect(Object(patched).a).toBeUndefined()
})

it("a key that every object seems to have is changed and removed like any other", () => {
  expect(mergePatchBetween({ constructor: "1", a: 1 }, { a: 1 })).toEqual({ constructor: null })
  expect(mergePatchBetween({}, { constructor: "1" })).toEqual({ constructor: "1" })
  const named = JSON.parse('{"__proto__":"1"}')
  expect(Object.entries(mergePatchBetween({}, named) ?? {})).toEqual([["__proto__", "1"]])
  expect(Object.entries(mergePatchBetween(named, {}) ?? {})).toEqual([["__proto__", null]])
})
