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

const secret = fc.string({
  unit: fc.constantFrom("a", "b", "1", "\n", "é", "/", '"', "\\", "%", "+", " ", "🔑"),
  minLength: 1,
  maxLength: 120,
})
/** For each character whether it is written by an escape, and how. */
const choices = fc.array(fc.nat(3), { minLength: 1, maxLength: 9 })

const inHex = (value: number, length: number, choice: number): string => {
  const digits = value.toString(16).padStart(length, "0")
  return choice % 2 === 0 ? digits : digits.toUpperCase()
}

/** A text as some writer of JSON may write it: what must be escaped is, and of the rest what the choices say. */
const asJson = (text: string, chosen: readonly number[]): string =>
  Array.from({ length: text.length }, (_, at) => {
    const [unit = "", choice = 0] = [text[at], chosen[at % chosen.length]]
    if (choice > 1) return `\\u${inHex(unit.charCodeAt(0), 4, choice)}`
    return unit === "/" && choice === 1 ? "\\/" : JSON.stringify(unit).slice(1, -1)
  }).join("")

/** A text as some writer of URLs may write it. */
const asURL = (text: string, chosen: readonly number[], isForm: boolean): string =>
  [...text]
    .map((character, at) => {
      const choice = chosen[at % chosen.length] ?? 0
      if (isForm && character === " " && choice === 0) return "+"
      if (choice === 0 && !"%+".includes(character)) return character
      return [...Buffer.from(character)].map((byte) => `%${inHex(byte, 2, choice)}`).join("")
    })
    .join("")

type Write = (text: string, chosen: readonly number[]) => string
const writing = fc.constantFrom<Write>(
  (text) => text,
  asJson,
  (text, chosen) => asJson(asJson(text, chosen), chosen.toReversed()),
  (text, chosen) => asURL(text, chosen, false),
  (text, chosen) => asURL(text, chosen, true),
  (text) => Buffer.from(text).toString("base64"),
)
const others = fc.array(secret, { maxLength: 2 })
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
    name: "a secret in a log does not show, however it is written, wherever the log is cut and whatever other secrets there are",
    property: fc.asyncProperty(
      secret,
      others,
      cuts,
      writing,
      choices,
      async (value, others, lengths, write, chosen) => {
        const text = write(value.trim(), chosen)
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
      },
    ),
  },
]
