/** What some parsers leave out of a key: NUL, characters without a form, halves of surrogate pairs. */
const invisible = /[\0\p{Cs}\p{Default_Ignorable_Code_Point}]/u

/** Longest key that decides anything; see json-scan.ts and tool-cut.ts. A reading that is longer means none of them. */
const longestName = 64

/** Upper before lower: then long s, the Kelvin sign and the dotless i become letters too. The dotted I is Turkish. */
const foldCase = (key: string): string => key.toUpperCase().replaceAll("\u0130", "I").toLowerCase()

const plain = /^[!-~]*$/

/** The dot of a dotted I that is written as two characters: composed they are one letter, which Turkish folds to i. */
const dotAbove = "\u0307"

/** What one more character adds to a reading; undefined if no plain reading has it. */
const read = (before: string, character: string): string | undefined => {
  const code = character.charCodeAt(0)
  if (code !== 0 && code < 128) return before + character
  if (invisible.test(character)) return before
  if (character === dotAbove && before.endsWith("I")) return `${before.slice(0, -1)}i`
  const form = character.normalize("NFKC")
  return plain.test(foldCase(form)) ? before + form : undefined
}

/**
 * A key folded in case and compatibility forms, if that is plain ASCII of at most 64 characters; else undefined, because
 * no key that decides is anything else. It goes from character to character: a text's compatibility form is ASCII if and
 * only if that of each character is, since composition never makes ASCII (UAX #15; the dotted I, which is folded to it,
 * is composed here). Normalising a whole key instead is quadratic in its combining marks.
 */
const fold = (key: string): string | undefined => {
  let reading: string | undefined = ""
  for (const character of key) {
    reading = read(reading, character)
    if (reading === undefined || reading.length > longestName) return undefined
  }
  return foldCase(reading)
}

/**
 * As what lenient parsers may take a key, as far as that is plain ASCII: folded in case and compatibility forms (Go's
 * encoding/json matches keys so, CVE-2026-27896), with NUL left out, and cut off at NUL, where strings end in C. Linear
 * in the key's length.
 */
export const readingsOf = (key: string): readonly string[] => {
  const nul = key.indexOf("\0")
  const readings = nul === -1 ? [fold(key)] : [fold(key), fold(key.slice(0, nul))]
  return readings.filter((reading) => reading !== undefined)
}

/** True if some parser may take the key for `name`, which is plain ASCII. */
export const mayMean = (key: string, name: string): boolean => {
  if (key === name) return true
  // of plain keys only the case can be folded
  if (key.length !== name.length && /^[!-~]*$/.test(key)) return false
  return readingsOf(key).includes(foldCase(name))
}
