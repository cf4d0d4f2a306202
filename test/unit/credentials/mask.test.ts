import fc from "fast-check"
import { expect, test } from "vitest"
import { createMasker, mask, masked } from "../../../src/credentials/mask.ts"

const secret = 'p@ss"word\\é/+'

test.each([
  ["as it is", secret],
  ["escaped for JSON", JSON.stringify(secret).slice(1, -1)],
  ["escaped for a URL", encodeURIComponent(secret)],
  ["in base64", Buffer.from(secret).toString("base64")],
  ["in URL-safe base64", Buffer.from(secret).toString("base64url")],
])("a secret %s does not show", (_how, spelling) => {
  expect(mask(`before ${spelling} after`, [secret])).toBe(`before ${masked} after`)
})

test("a key of several lines is masked line by line, also when only some of its lines are shown", () => {
  const key = "-----BEGIN KEY-----\nMIIabcdefgh\nMIIijklmnop\n-----END KEY-----\n"
  expect(mask("x MIIijklmnop y", [key])).toBe(`x ${masked} y`)
})

test("a secret that contains another is masked whole", () => {
  expect(mask("abcdef", ["abc", "abcdef"])).toBe(masked)
})

test("empty values mask nothing", () => {
  expect(mask("all is well", ["", "  "])).toBe("all is well")
})

test("secrets that overlap leave no end of either", () => {
  expect(mask("x abcde y", ["abc", "bcde"])).toBe(`x ${masked} y`)
  expect(mask("abcabc", ["abc"])).toBe(masked + masked)
})

/** What a masker shows of a text in pieces. */
const shownOf = (pieces: readonly string[], values: readonly string[]): string => {
  const masker = createMasker(values)
  return pieces.map((piece) => masker.push(piece)).join("") + masker.end()
}

test("a secret does not show wherever the text is cut into pieces, and nothing else is changed", () => {
  const letters = fc.string({ unit: fc.constantFrom("a", "b", "\n"), maxLength: 12 })
  fc.assert(
    fc.property(fc.array(letters), fc.array(letters, { maxLength: 3 }), (pieces, values) => {
      expect(shownOf(pieces, values)).toBe(mask(pieces.join(""), values))
      for (const value of values) if (value.trim() !== "") expect(shownOf(pieces, values)).not.toContain(value)
    }),
  )
})

test("what cannot be the beginning of a secret is shown at once", () => {
  const masker = createMasker(["secret"])
  expect(masker.push("no such thing\nsec")).toBe("no such thing\n")
  expect(masker.push("ond\nsecre")).toBe("second\n")
  expect(masker.push("t!")).toBe(`${masked}!`)
  expect(masker.push("se")).toBe("")
  expect(masker.end()).toBe("se")
})
