import fc from "fast-check"
import { expect } from "vitest"
import { expand, longestText, overExpandedBy } from "../../src/api/expansion.ts"
import type { FuzzProperty } from "./property.ts"

/** Kubernetes' own loop, letter by letter (third_party/forked/golang/expansion/expand.go). */
const byTheBook = (input: string, lookUp: (name: string) => string | undefined): string => {
  let made = ""
  for (let cursor = 0; cursor < input.length; cursor++) {
    const next = input[cursor + 1]
    const end = input.indexOf(")", cursor + 2)
    if (input[cursor] !== "$" || next === undefined) made += input[cursor]
    else if (next !== "(") {
      made += next === "$" ? "$" : `$${next}`
      cursor++
    } else if (end === -1) {
      made += "$("
      cursor++
    } else {
      const name = input.slice(cursor + 2, end)
      made += lookUp(name) ?? `$(${name})`
      cursor = end
    }
  }
  return made
}

const piece = fc.oneof(
  fc.constantFrom("$", "$$", "(", ")", "$(", "$(A)", "$(B)", "$(", "A", "B", "é", "\n"),
  fc.string({ maxLength: 2 }),
)
const text = fc.array(piece, { maxLength: 30 }).map((pieces) => pieces.join(""))
const names = fc.constantFrom("A", "B", "C", "PORT", "A$(B", "")

export const expansionProperties: readonly FuzzProperty[] = [
  {
    name: "$(NAME) becomes what Kubernetes makes of it, and is as long as was measured before",
    property: fc.property(text, fc.dictionary(names, text), (input, values) => {
      const lookUp = (name: string) => (Object.hasOwn(values, name) ? values[name] : undefined)
      const made = expand(input, lookUp)
      expect(made).toBe(byTheBook(input, lookUp))
      const known = new Map(Object.entries(values).map(([name, value]) => [name, Buffer.byteLength(value)]))
      const room = longestText - Buffer.byteLength(made) - 1
      const filled = (bytes: number) => overExpandedBy({ args: [`${"x".repeat(bytes)}${input}`] }, known)
      expect([filled(room), filled(room + 1) === undefined]).toEqual([undefined, false])
    }),
  },
  {
    name: "a value that $(NAME) stands for is never expanded itself",
    property: fc.property(text, (value) => {
      expect(expand("<$(A)>", (name) => (name === "A" ? value : undefined))).toBe(`<${value}>`)
    }),
  },
]
