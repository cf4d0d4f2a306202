import { isDeepStrictEqual } from "node:util"
import fc from "fast-check"
import { expect, it } from "vitest"
import { mergePatchBetween } from "../../../src/operator/merge-patch.ts"

type Fields = Readonly<Record<string, unknown>>

/** RFC 7396, as written there. */
const apply = (target: unknown, patch: unknown): unknown => {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return patch
  const result: Record<string, unknown> =
    typeof target === "object" && target !== null && !Array.isArray(target) ? { ...target } : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key]
    else result[key] = apply(result[key], value)
  }
  return result
}

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
      expect(apply(before, patch ?? {})).toEqual(after)
    }),
  )
})

it("a nested field that is gone is removed, not merged", () => {
  expect(mergePatchBetween({ limits: { cpu: "1", memory: "1Gi" } }, { limits: { cpu: "1" } })).toEqual({
    limits: { memory: null },
  })
})
