/** What stands where a secret stood. */
export const masked = "•••"

/** Lines of a multi-line value that are masked on their own: keys and certificates are printed line by line. */
const shortestLine = 8

/** The ways in which a program is likely to print a value. */
const spellings = (value: string): string[] => {
  const lines = value.split(/\r?\n/)
  const parts = lines.length > 1 ? lines.map((line) => line.trim()).filter((line) => line.length >= shortestLine) : []
  return [value, value.trim(), ...parts].flatMap((text) => [
    text,
    JSON.stringify(text).slice(1, -1),
    encodeURIComponent(text),
    Buffer.from(text).toString("base64"),
    Buffer.from(text).toString("base64url"),
  ])
}

/** Everything that must not show, by its first character. */
const toNeedles = (values: readonly string[]): ReadonlyMap<string, readonly string[]> => {
  const needles = new Map<string, string[]>()
  for (const needle of new Set(values.filter((value) => value.trim() !== "").flatMap(spellings))) {
    const alike = needles.get(needle.charAt(0)) ?? []
    needles.set(needle.charAt(0), alike)
    alike.push(needle)
  }
  return needles
}

/** Masks a text that comes in pieces. */
export type Masker = {
  /** What can be shown by now; holds back an end that may be the beginning of a secret. */
  push(piece: string): string
  /** The rest: nothing more comes. */
  end(): string
}

/** Makes a masker for secret values. Secrets that overlap are masked as one. */
export const createMasker = (values: readonly string[]): Masker => {
  const needles = toNeedles(values)
  let held = ""
  // characters at the beginning of `held` that belong to a secret which has been found
  let covered = 0

  const take = (text: string, last: boolean): string => {
    let shown = ""
    let clear = Math.min(covered, text.length)
    let at = 0
    for (; at < text.length; at++) {
      let longest = 0
      let mayGrow = false
      for (const needle of needles.get(text.charAt(at)) ?? []) {
        if (text.startsWith(needle, at)) longest = Math.max(longest, needle.length)
        else mayGrow ||= !last && needle.length > text.length - at && needle.startsWith(text.slice(at))
      }
      if (mayGrow) break
      if (longest > 0 && at >= clear) shown += masked
      clear = Math.max(clear, at + longest)
      if (at >= clear) shown += text.charAt(at)
    }
    held = text.slice(at)
    covered = Math.max(clear - at, 0)
    return shown
  }
  return { push: (piece) => take(held + piece, false), end: () => take(held, true) }
}

/** `text` with every occurrence of a secret value replaced, also JSON-escaped, URL-encoded and in base64. */
export const mask = (text: string, values: readonly string[]): string => {
  const masker = createMasker(values)
  return masker.push(text) + masker.end()
}
