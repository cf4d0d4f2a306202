/**
 * Fewest characters of a line that is masked on its own: private keys and certificates are often printed line by line.
 */
const shortestLine = 8

/** What is masked of a secret value: the trimmed value, and if it has several lines each of 8 characters or more. */
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

/** Fewest letters of base64 from inside a longer text that are masked: shorter ones match ordinary words too often. */
const shortestInside = 8

/** The base64 letters of `bytes` behind `before` other bytes, without letters that depend on the bytes around them. */
const inside = (bytes: Buffer, before: number): string => {
  const text = Buffer.concat([Buffer.alloc(before), bytes]).toString("base64")
  return text.slice(Math.ceil((before * 4) / 3), Math.floor(((before + bytes.length) * 4) / 3))
}

function* withoutPadding(text: string): Generator<string> {
  yield text
  if (text.endsWith("=")) yield text.slice(0, text.indexOf("="))
}

/**
 * The base64 of {@link plainParts}, and of the value with the blanks around it; also the base64 of the value inside a
 * longer text, such as `name:password`. Nothing for a blank value.
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

/** Length of a block, in UTF-16 units: long enough that a match in a log is not by chance. */
export const blockLength = 32

/** Most UTF-16 units by which the beginning of a block is moved. */
const furthest = 8
/** No block begins so near to a line's end if it can be moved: many lines' ends would look like its beginning. */
const nearEnd = 4

const isNearEnd = (text: string, at: number): boolean => {
  for (let next = at; next < at + nearEnd; next++) {
    const code = text.charCodeAt(next)
    if (code === 10 || code === 13) return true
  }
  return false
}

/** Where to begin a block so that it touches the block that ends at `at`: not near a line's end if possible. */
const beginBefore = (text: string, at: number): number => {
  for (let begin = at; begin > at - furthest; begin--) if (!isNearEnd(text, begin)) return begin
  return at
}

/** Where to begin the last block: it may be shorter than others, so that it does not begin near a line's end. */
const lastBegin = (text: string, latest: number): number => {
  const earliest = text.length - blockLength
  for (let begin = earliest; begin <= Math.min(earliest + furthest, latest); begin++)
    if (!isNearEnd(text, begin)) return begin
  // the block before it is moved, which leaves more room for the last one
  return beginBefore(text, latest)
}

/**
 * Calls `visit` with the begin and end of each block of a text. No block is longer than {@link blockLength}. Each
 * begins inside or right behind the one before, and the last one ends with the text: the blocks together cover the
 * text.
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
