/** Lines of a multi-line value that are masked on their own: keys and certificates are printed line by line. */
const shortestLine = 8

/** The ways in which a program is likely to print a text so that its parts are still in it. */
function* inClear(text: string): Generator<string> {
  yield text
  const escaped = JSON.stringify(text).slice(1, -1)
  if (escaped !== text) yield escaped
  // half a surrogate pair has no form in a URL
  const encoded = encodeURIComponent(text.toWellFormed())
  if (encoded !== text) yield encoded
}

function* inBase64(text: string): Generator<string> {
  const plain = Buffer.from(text).toString("base64")
  const forURLs = Buffer.from(text).toString("base64url")
  yield plain
  if (forURLs !== plain) yield forURLs
}

/**
 * What must not show of a secret value: itself, and its lines of at least 8 characters if it has several; each as it is,
 * escaped for JSON and for URLs, in base64 and base64url. Blanks around it may show, unless they are encoded with it; of
 * a blank value there is nothing to hide. Made one by one: together they can be thirty times as long as the value.
 */
export function* spellings(value: string): Generator<string> {
  const text = value.trim()
  if (text === "") return
  yield* inClear(text)
  yield* inBase64(text)
  if (text !== value) yield* inBase64(value)
  if (!text.includes("\n")) return
  for (const line of text.split("\n")) {
    const part = line.trim()
    if (part.length < shortestLine) continue
    yield* inClear(part)
    yield* inBase64(part)
  }
}

/** Length of a block, in UTF-16 units: what is as long as this in a log is no coincidence. */
export const blockLength = 32

/** Furthest that the beginning of a block is moved. */
const furthest = 8
/** A block that begins so near to a line's end would let the end of many a line look like its beginning. */
const nearEnd = 4

const isNearEnd = (text: string, at: number): boolean => {
  for (let next = at; next < at + nearEnd; next++) {
    const code = text.charCodeAt(next)
    if (code === 10 || code === 13) return true
  }
  return false
}

/** The last place from which a block still touches what ends at `at`, and does not begin near a line's end if it can. */
const beginBefore = (text: string, at: number): number => {
  for (let begin = at; begin > at - furthest; begin--) if (!isNearEnd(text, begin)) return begin
  return at
}

/** The beginning of a last block that may be shorter, so that it does not begin near a line's end. */
const lastBegin = (text: string, latest: number): number => {
  const earliest = text.length - blockLength
  for (let begin = earliest; begin <= Math.min(earliest + furthest, latest); begin++)
    if (!isNearEnd(text, begin)) return begin
  // the block before it is moved, which leaves more room for the last one
  return beginBefore(text, latest)
}

/**
 * Where the blocks of a text begin and end: none is longer than {@link blockLength}, each begins inside or right behind
 * the one before, and the last one ends with the text. So whatever covers every block covers the text.
 */
export const eachBlock = (text: string, visit: (from: number, to: number) => void): void => {
  let end = Math.min(blockLength, text.length)
  visit(0, end)
  while (end < text.length) {
    const begin = end + blockLength < text.length ? beginBefore(text, end) : lastBegin(text, end)
    end = Math.min(begin + blockLength, text.length)
    visit(begin, end)
  }
}
