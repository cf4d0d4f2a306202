import fc from "fast-check"
import { expect } from "vitest"
import { createMasker, masked } from "../../src/credentials/mask.ts"
import { makeNeedles } from "../../src/credentials/needles.ts"
import { findJsonFault } from "../../src/intake/json-text.ts"
import { filler, memberLike, nearly, objectOf } from "./hostile.ts"
import type { FuzzProperty } from "./property.ts"

const isParsed = (text: string): boolean => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

const texts = fc.oneof(
  objectOf([], memberLike(["name", "__proto__", "constructor"], filler)),
  filler,
  fc.json(),
  fc.string({ unit: fc.constantFrom(...'{}[],:"\\u0eE+-.19 tn\n'), maxLength: 16 }),
)

/** True if no object of what a parser built has a foreign prototype or a text of half a character in it. */
const isPlain = (value: unknown): boolean => {
  if (typeof value === "string") return value.isWellFormed()
  if (typeof value !== "object" || value === null) return true
  return Object.entries(value).every(([key, each]) => key !== "__proto__" && key.isWellFormed() && isPlain(each))
}

const secret = fc.string({ unit: fc.constantFrom("a", "b", "1", "\n", "é"), minLength: 1, maxLength: 120 })
const cuts = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 5 })

export const textProperties: readonly FuzzProperty[] = [
  {
    name: "a JSON text passes the scan if and only if the parser takes it, and strictly only what everybody reads alike",
    property: fc.property(nearly(texts), (bytes) => {
      const text = bytes.toString()
      expect(findJsonFault(text, { maxDepth: 1_000 }) === undefined).toBe(isParsed(text))
      if (findJsonFault(text, { maxDepth: 1_000, strict: true }) === undefined)
        expect(isPlain(JSON.parse(text))).toBe(true)
    }),
  },
  {
    name: "a secret in a log does not show, wherever the log is cut and whatever other secrets there are",
    property: fc.asyncProperty(secret, fc.array(secret, { maxLength: 2 }), cuts, async (value, others, lengths) => {
      const text = value.trim()
      fc.pre(text !== "")
      const masker = createMasker(await makeNeedles([value, ...others]))
      let shown = ""
      let turn = 0
      for (let rest = `<${text}>`; rest !== ""; turn++) {
        const length = lengths[turn % lengths.length] ?? 1
        shown += masker.push(rest.slice(0, length))
        rest = rest.slice(length)
      }
      expect(shown + masker.end()).toBe(`<${masked}>`)
    }),
  },
]
