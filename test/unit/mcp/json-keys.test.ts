import fc from "fast-check"
import { expect, test } from "vitest"
import { mayMean } from "../../../src/mcp/json-scan.ts"

const everyCharacter = function* () {
  for (let code = 0x80; code <= 0x10ffff; code++) if (code < 0xd800 || code > 0xdfff) yield String.fromCodePoint(code)
}

/** What parsers may make of a character by the rules of Unicode, of Turkish, and by compatibility. */
const formsOf = (character: string): readonly string[] => [
  character.toLowerCase(),
  character.toUpperCase(),
  character.toLocaleLowerCase("tr"),
  character.toLocaleUpperCase("tr"),
  character.normalize("NFKC"),
]

test("a character that any way of folding makes a letter may mean that letter", () => {
  const found = new Map<string, string>()
  for (const character of everyCharacter())
    for (const form of formsOf(character)) if (/^[a-z]$/i.test(form)) found.set(character, form.toLowerCase())
  expect([...found.keys()]).toEqual(expect.arrayContaining(["\u212a", "\u017f", "\u0131", "\u0130", "\uff4d"]))
  for (const [character, letter] of found) expect(mayMean(character, letter), character).toBe(true)
})

test.each([
  ["tools", "tools", true],
  ["TOOLS", "tools", true],
  ["too\0ls", "tools", true],
  ["tools\0x", "tools", true],
  ["\ud800tools", "tools", true],
  ["to\u00adols", "tools", true],
  ["tool\u017f", "tools", true],
  ["cachescope", "cacheScope", true],
  ["I\u0307d", "id", true],
  ["I\u200b\u0307d", "id", true],
  ["I\u0307\u0307d", "id", false],
  ["i\u0301d", "id", false],
  [`${"\u200b".repeat(100_000)}tools`, "tools", true],
  ["tool", "tools", false],
  ["stool", "tools", false],
  ["", "tools", false],
])("%j may mean %s: %s", (key, name, expected) => {
  expect(mayMean(key, name)).toBe(expected)
})

test("a key is read character by character exactly as it is read as a whole", () => {
  const whole = (key: string): string =>
    key
      .replace(/[\0\p{Cs}\p{Default_Ignorable_Code_Point}]/gu, "")
      .normalize("NFKC")
      .toUpperCase()
      .replaceAll("\u0130", "I")
      .toLowerCase()
  const characters = fc.constantFrom(
    ..."idIDtTsSkK\u0307\u0301\u0323\u0130\u0131\u017f\u212a\uff49\u00df\u200b\0\ud800 \u00a0\ufb00",
  )
  const keys = fc.oneof(
    fc.array(characters, { maxLength: 8 }).map((each) => each.join("")),
    fc.string({ unit: "binary", maxLength: 6 }),
  )
  fc.assert(
    fc.property(keys, fc.constantFrom("id", "ids", "tsk", "ss", "ff"), (key, name) => {
      expect(mayMean(key, name)).toBe(whole(key) === name || whole(key.split("\0", 1)[0] ?? "") === name)
    }),
    { numRuns: 20_000 },
  )
})

test.for(["\u00ad", "\u{e0100}", "\ud800"])(
  "a key may have millions of characters without a form (%j)",
  (character) => {
    expect(mayMean(`me${character.repeat(10_000_000)}thod`, "method")).toBe(true)
  },
)
