/** What some parsers leave out of a key: NUL, characters without a form, halves of surrogate pairs. */
const invisible = /[\0\p{Cs}\p{Default_Ignorable_Code_Point}]/gu

/** Upper before lower: then long s, the Kelvin sign and the dotless i become letters too. The dotted I is Turkish. */
const foldCase = (key: string): string => key.toUpperCase().replaceAll("\u0130", "I").toLowerCase()

const fold = (key: string): string => foldCase(key.replace(invisible, "").normalize("NFKC"))

/**
 * As what lenient parsers may take a key: folded in case and compatibility forms (Go's encoding/json matches keys so,
 * CVE-2026-27896), with NUL left out, and cut off at NUL, where strings end in C.
 */
export const readingsOf = (key: string): readonly string[] => {
  const nul = key.indexOf("\0")
  return nul === -1 ? [fold(key)] : [fold(key), fold(key.slice(0, nul))]
}

/** True if some parser may take the key for `name`, which is plain ASCII. */
export const mayMean = (key: string, name: string): boolean => {
  if (key === name) return true
  // of plain keys only the case can be folded
  if (key.length !== name.length && /^[!-~]*$/.test(key)) return false
  return readingsOf(key).includes(fold(name))
}
