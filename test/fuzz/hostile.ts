import fc from "fast-check"

/** Texts that are made to be read in two ways. */

const escaped = (character: string): string =>
  [...Array(character.length).keys()]
    .map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`)
    .join("")

const lookalikes: Readonly<Record<string, readonly string[]>> = {
  k: ["K", "\u212a", "\uff4b"],
  s: ["S", "\u017f", "\uff53"],
  i: ["I", "\u0131", "\u0130", "\uff49"],
}
const invisibles = ["\\u0000", "\\ud800", "\\udc00", "\u200d", "\ufeff", "\u00ad", "\\u0000x"]

const respell = (letter: string): readonly string[] => [
  letter,
  letter.toUpperCase(),
  escaped(letter),
  escaped(letter.toUpperCase()),
  ...(lookalikes[letter.toLowerCase()] ?? []),
]

/** The source of a string that somebody could take for `text`: letters respelled, invisible characters put in. */
export const spelled = (text: string): fc.Arbitrary<string> =>
  fc
    .tuple(
      fc.array(fc.tuple(fc.nat(text.length - 1), fc.nat(7)), { maxLength: 2 }),
      fc.option(fc.tuple(fc.nat(text.length), fc.constantFrom(...invisibles)), { freq: 3 }),
    )
    .map(([changes, extra]) => {
      const letters = [...text]
      for (const [at, which] of changes) {
        const choices = respell(text[at] ?? "")
        letters[at] = choices[which % choices.length] ?? ""
      }
      if (extra !== null) letters.splice(extra[0], 0, extra[1])
      return `"${letters.join("")}"`
    })

const space = fc.constantFrom("", "", "", " ", "\n", "\t\r ")
const scalar = fc.constantFrom(
  '"x"',
  "1",
  "1.50",
  "-0",
  "1e400",
  "12345678901234567890",
  "true",
  "null",
  '"\\"}"',
  "{}",
  "[]",
)

/** A JSON value that decides nothing, though it may look so. */
export const filler: fc.Arbitrary<string> = fc.letrec<{ any: string }>((tie) => ({
  any: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    scalar,
    fc.string().map((text) => JSON.stringify(text)),
    fc.array(tie("any"), { maxLength: 3 }).map((elements) => `[${elements.join(",")}]`),
    fc
      .array(fc.tuple(fc.constantFrom('"name"', '"method"', '"x"', '"tools"'), tie("any")), { maxLength: 3 })
      .map((members) => `{${members.map(([key, value]) => `${key}: ${value}`).join(",")}}`),
  ),
})).any

type Member = readonly [key: string, value: string]

/** The source of an object with these members, in any order and with spaces anywhere, and others among them. */
export const objectOf = (
  members: readonly fc.Arbitrary<Member>[],
  others: fc.Arbitrary<Member>,
): fc.Arbitrary<string> =>
  fc
    .tuple(fc.tuple(...members), fc.array(others, { maxLength: 2 }), space)
    .chain(([own, more, gap]) =>
      fc.tuple(fc.shuffledSubarray([...own, ...more], { minLength: own.length + more.length }), fc.constant(gap)),
    )
    .map(([all, gap]) => `{${all.map(([key, value]) => `${gap}${key}${gap}:${gap}${value}${gap}`).join(",")}}`)

/** A member whose key could be taken for one of `names`. */
export const memberLike = (names: readonly string[], value: fc.Arbitrary<string>): fc.Arbitrary<Member> =>
  fc.tuple(fc.constantFrom(...names).chain(spelled), value)

/** Bytes of a text, sometimes with one of them changed, left out or put in. */
export const nearly = (text: fc.Arbitrary<string>): fc.Arbitrary<Buffer> =>
  fc
    .tuple(
      text.map((each) => Buffer.from(each)),
      fc.option(
        fc.tuple(fc.nat(), fc.nat(2), fc.oneof(fc.nat(255), fc.constantFrom(0, 0xc0, 0xef, 34, 44, 92, 123, 125))),
      ),
    )
    .map(([bytes, change]) => {
      if (change === null) return bytes
      const [place, kind, byte] = change
      const at = place % (bytes.length + 1)
      const put = kind === 0 ? [] : [byte]
      return Buffer.concat([bytes.subarray(0, at), Buffer.from(put), bytes.subarray(kind === 2 ? at : at + 1)])
    })
