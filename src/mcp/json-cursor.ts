import { AppError } from "../errors.ts"

/**
 * A position in a JSON text. The functions below find only where values begin and end: they do not check that the text
 * is valid JSON, so it must still be parsed.
 */
export type Cursor = {
  readonly text: string
  /** Most levels of nesting; deeper ones are refused. */
  readonly maxDepth: number
  /** Most members and elements of all levels together; more are refused. */
  readonly maxMembers: number
  at: number
  /** Members and elements that were passed. */
  members: number
}

/** Codes of the characters that begin, end and separate values. */
export const quote = 34
const comma = 44
export const colon = 58
export const openBracket = 91
export const backslash = 92
const closeBracket = 93
export const openBrace = 123
export const closeBrace = 125

/** The error of a text that is no JSON. */
export const malformed = (): AppError => new AppError("MalformedJson", { detail: "The body is not valid JSON." })

/** The character of the next token, with the cursor on it; NaN at the end. */
export const peek = (cursor: Cursor): number => {
  let code = cursor.text.charCodeAt(cursor.at)
  while (code === 32 || code === 10 || code === 13 || code === 9) code = cursor.text.charCodeAt(++cursor.at)
  return code
}

/** Passes one character. Throws MalformedJson if it is another. */
export const expect = (cursor: Cursor, code: number): void => {
  if (peek(cursor) !== code) throw malformed()
  cursor.at++
}

/** Counts one more member or element. Throws InvalidRequest where no more may come. */
const count = (cursor: Cursor): void => {
  if (++cursor.members <= cursor.maxMembers) return
  throw new AppError("InvalidRequest", { detail: `The body has more than ${cursor.maxMembers} members and elements.` })
}

/**
 * Passes the comma or the closing bracket after a member or an element; true if it ends the container. Throws
 * MalformedJson for any other character, InvalidRequest for too many members.
 */
export const isLast = (cursor: Cursor, close: number): boolean => {
  const code = peek(cursor)
  cursor.at++
  if (code !== close && code !== comma) throw malformed()
  count(cursor)
  return code === close
}

/** Passes a string. */
export const skipString = (cursor: Cursor): void => {
  const { text } = cursor
  const start = cursor.at + 1
  let end = start
  for (;;) {
    end = text.indexOf('"', end)
    if (end === -1) throw malformed()
    let escapes = 0
    while (text.charCodeAt(end - 1 - escapes) === backslash && end - 1 - escapes >= start) escapes++
    if (escapes % 2 === 0) break
    end++
  }
  cursor.at = end + 1
}

const skipContainer = (cursor: Cursor, outer: number): void => {
  let depth = outer
  do {
    const code = cursor.text.charCodeAt(cursor.at)
    if (Number.isNaN(code)) throw malformed()
    if (code === quote) {
      skipString(cursor)
      continue
    }
    if (code === comma) count(cursor)
    else if (code === openBrace || code === openBracket) {
      depth++
      count(cursor)
    } else if (code === closeBrace || code === closeBracket) depth--
    if (depth > cursor.maxDepth) {
      throw new AppError("InvalidRequest", { detail: `The body is nested more than ${cursor.maxDepth} levels deep.` })
    }
    cursor.at++
  } while (depth > outer)
}

/** Passes a number, true, false or null: whatever it is, up to what can follow a value. */
const skipLiteral = (cursor: Cursor): void => {
  const start = cursor.at
  for (;;) {
    const next = cursor.text.charCodeAt(cursor.at)
    if (Number.isNaN(next) || next === comma || next === closeBrace || next === closeBracket || next <= 32) break
    cursor.at++
  }
  if (cursor.at === start) throw malformed()
}

/** Passes a value without reading it; the value is inside `depth` levels. Throws MalformedJson and InvalidRequest. */
export const skipValue = (cursor: Cursor, depth: number): void => {
  const code = peek(cursor)
  if (code === quote) skipString(cursor)
  else if (code === openBrace || code === openBracket) skipContainer(cursor, depth)
  else skipLiteral(cursor)
}

/** The text of a string, from its source without the quotes. Throws MalformedJson. */
export const plainText = (source: string): string => {
  if (!source.includes("\\")) return source
  try {
    return JSON.parse(`"${source}"`)
  } catch {
    throw malformed()
  }
}

/** Passes a string and returns its text. Throws MalformedJson. */
export const readString = (cursor: Cursor): string => {
  if (peek(cursor) !== quote) throw malformed()
  const start = cursor.at + 1
  skipString(cursor)
  return plainText(cursor.text.slice(start, cursor.at - 1))
}

/** Passes an object; `visit` gets each key, with the cursor before the value, and must pass the value. */
export const eachMember = (cursor: Cursor, visit: (key: string) => void): void => {
  expect(cursor, openBrace)
  if (peek(cursor) === closeBrace) return void cursor.at++
  do {
    const key = readString(cursor)
    expect(cursor, colon)
    visit(key)
  } while (!isLast(cursor, closeBrace))
}

/** Passes an array; `visit` is called with the cursor before each element, and must pass the element. */
export const eachElement = (cursor: Cursor, visit: () => void): void => {
  expect(cursor, openBracket)
  if (peek(cursor) === closeBracket) return void cursor.at++
  do visit()
  while (!isLast(cursor, closeBracket))
}
