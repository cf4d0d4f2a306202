import { expect, test } from "vitest"
import { mayMean } from "../../../src/gateway/json-keys.ts"

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
  ["tool", "tools", false],
  ["stool", "tools", false],
  ["", "tools", false],
])("%j may mean %s: %s", (key, name, expected) => {
  expect(mayMean(key, name)).toBe(expected)
})
