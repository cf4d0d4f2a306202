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

/** `text` with every occurrence of a secret value replaced, also JSON-escaped, URL-encoded and in base64. */
export const mask = (text: string, values: readonly string[]): string => {
  const needles = [...new Set(values.filter((value) => value.trim() !== "").flatMap(spellings))]
  return needles.sort((a, b) => b.length - a.length).reduce((rest, needle) => rest.replaceAll(needle, masked), text)
}
