/** Lines of a multi-line value that are masked on their own: keys and certificates are printed line by line. */
const shortestLine = 8

/** What must not show of a secret value: itself, and its lines of at least 8 characters if it has several. */
export function* plainParts(value: string): Generator<string> {
  const text = value.trim()
  if (text === "") return
  yield text
  if (!text.includes("\n")) return
  for (const line of text.split("\n")) {
    const part = line.trim()
    if (part.length >= shortestLine) yield part
  }
}

/** Shortest part of a longer text in base64 that is masked: words of fewer letters are too common. */
const shortestInside = 8

/** What base64 makes of bytes behind `before` others, as far as it depends on nothing but these bytes. */
const inside = (bytes: Buffer, before: number): string => {
  const text = Buffer.concat([Buffer.alloc(before), bytes]).toString("base64")
  return text.slice(Math.ceil((before * 4) / 3), Math.floor(((before + bytes.length) * 4) / 3))
}

function* withoutPadding(text: string): Generator<string> {
  yield text
  if (text.endsWith("=")) yield text.slice(0, text.indexOf("="))
}

/**
 * The base64 of {@link plainParts}, and of the value with the blanks around it; and what base64 makes of the value inside
 * another text, as of a password behind a name. Of a blank value there is nothing to hide.
 */
export function* base64Parts(value: string): Generator<string> {
  const text = value.trim()
  for (const part of plainParts(value)) yield* withoutPadding(Buffer.from(part).toString("base64"))
  if (text === "") return
  if (text !== value) yield* withoutPadding(Buffer.from(value).toString("base64"))
  const bytes = Buffer.from(text)
  for (const before of [0, 1, 2]) {
    const part = inside(bytes, before)
    if (part.length >= shortestInside) yield part
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
