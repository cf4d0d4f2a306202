import { AppError } from "../errors.ts"

/** The key under which a message of the modern era names its protocol version (MCP 2026-07-28, per-request `_meta`). */
export const versionKey = "io.modelcontextprotocol/protocolVersion"

/** Most levels of nesting in a body. */
const maxDepth = 100
/** Most messages in a batch. */
const maxBatch = 100
/** Longest id that an error echoes. */
const maxIdLength = 1_024

type Level = {
  /** The keys that decide, by their length: most other keys are passed by their length alone. */
  readonly keys: ReadonlyMap<number, readonly string[]>
  /** The keys as a lenient parser might spell them. */
  readonly folded: ReadonlySet<string>
  /** Which key's object is the next level that decides, and that level. */
  readonly child?: readonly [key: string, level: Level]
}

/**
 * Folds what lenient parsers fold: NUL, case (long s and the Kelvin sign too, hence upper before lower) and
 * compatibility forms. Go's encoding/json matches keys by case folding (CVE-2026-27896), C parsers stop at NUL.
 */
const fold = (key: string): string => key.replaceAll("\0", "").normalize("NFKC").toUpperCase().toLowerCase()

const level = (keys: readonly string[], child?: Level["child"]): Level => ({
  keys: Map.groupBy(keys, (key) => key.length),
  folded: new Set(keys.map(fold)),
  ...(child === undefined ? {} : { child }),
})

const metaLevel = level([versionKey])
const paramsLevel = level(["name", "uri", "taskId", "_meta"], ["_meta", metaLevel])
const messageLevel = level(["jsonrpc", "id", "method", "params", "result", "error"], ["params", paramsLevel])

type Cursor = {
  readonly text: string
  at: number
  /** Source text of the id of a lone message, kept even if the scan fails later. */
  idText: string | undefined
}

/** What a scan found out. */
export type Scan = { readonly idText: string | undefined; readonly error: AppError | undefined }

const quote = 34
const comma = 44
const colon = 58
const openBracket = 91
const backslash = 92
const closeBracket = 93
const openBrace = 123
const closeBrace = 125

const malformed = (): AppError => new AppError("MalformedJson", { detail: "The body is not valid JSON." })

const peek = (cursor: Cursor): number => {
  let code = cursor.text.charCodeAt(cursor.at)
  while (code === 32 || code === 10 || code === 13 || code === 9) code = cursor.text.charCodeAt(++cursor.at)
  return code
}

const expect = (cursor: Cursor, code: number): void => {
  if (peek(cursor) !== code) throw malformed()
  cursor.at++
}

/** Passes a string. */
const skipString = (cursor: Cursor): void => {
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
    if (code === openBrace || code === openBracket) depth++
    else if (code === closeBrace || code === closeBracket) depth--
    if (depth > maxDepth) {
      throw new AppError("InvalidRequest", { detail: `The body is nested more than ${maxDepth} levels deep.` })
    }
    cursor.at++
  } while (depth > outer)
}

/** Passes a value that decides nothing. */
const skipValue = (cursor: Cursor, depth: number): void => {
  const code = peek(cursor)
  if (code === quote) skipString(cursor)
  else if (code === openBrace || code === openBracket) skipContainer(cursor, depth)
  else skipLiteral(cursor)
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

const plainText = (source: string): string => {
  if (!source.includes("\\")) return source
  try {
    return JSON.parse(`"${source}"`)
  } catch {
    throw malformed()
  }
}

const ambiguous = (source: string, key: string): AppError =>
  new AppError("InvalidRequest", {
    detail: `Some parsers would take the key ${JSON.stringify(source.slice(0, 64))} for '${key}': write it plainly.`,
  })

/** True for printable ASCII without escapes, of which only the case can be folded. */
const isPlain = (text: string, start: number, end: number): boolean => {
  for (let at = start; at < end; at++) {
    const code = text.charCodeAt(at)
    if (code < 32 || code > 126 || code === backslash) return false
  }
  return true
}

/**
 * The key between two places of the text if it decides. Throws if it could be taken for one that does: after
 * unescaping, without NUL, or in another case.
 */
const decidingKey = (text: string, start: number, end: number, at: Level): string | undefined => {
  const candidates = at.keys.get(end - start)
  if (candidates !== undefined) {
    for (const key of candidates) if (text.startsWith(key, start)) return key
  } else if (isPlain(text, start, end)) return undefined
  const source = text.slice(start, end)
  const folded = fold(plainText(source))
  if (at.folded.has(folded)) throw ambiguous(source, folded)
  return undefined
}

/** Passes a key; gives it if it decides, and throws if it is there for the second time. */
const scanKey = (cursor: Cursor, at: Level, seen: string[]): string | undefined => {
  if (peek(cursor) !== quote) throw malformed()
  const start = cursor.at + 1
  skipString(cursor)
  const key = decidingKey(cursor.text, start, cursor.at - 1, at)
  if (key === undefined) return undefined
  if (seen.includes(key)) throw new AppError("InvalidRequest", { detail: `The key '${key}' is there twice.` })
  seen.push(key)
  return key
}

const scanObject = (cursor: Cursor, at: Level, depth: number, lone: boolean): void => {
  expect(cursor, openBrace)
  if (peek(cursor) === closeBrace) return void cursor.at++
  const seen: string[] = []
  for (;;) {
    const key = scanKey(cursor, at, seen)
    expect(cursor, colon)
    const isObject = peek(cursor) === openBrace
    const start = cursor.at
    if (isObject && key !== undefined && at.child?.[0] === key) scanObject(cursor, at.child[1], depth + 1, false)
    else skipValue(cursor, depth)
    if (lone && key === "id" && cursor.at - start <= maxIdLength) cursor.idText = cursor.text.slice(start, cursor.at)
    const code = peek(cursor)
    cursor.at++
    if (code === closeBrace) return
    if (code !== comma) throw malformed()
  }
}

const scanBatch = (cursor: Cursor): void => {
  expect(cursor, openBracket)
  if (peek(cursor) === closeBracket) return void cursor.at++
  for (let count = 1; ; count++) {
    if (count > maxBatch) throw new AppError("InvalidRequest", { detail: `A batch has at most ${maxBatch} messages.` })
    if (peek(cursor) === openBrace) scanObject(cursor, messageLevel, 2, false)
    else skipValue(cursor, 1)
    const code = peek(cursor)
    cursor.at++
    if (code === closeBracket) return
    if (code !== comma) throw malformed()
  }
}

/**
 * Looks at a body's structure before it is parsed: depth, and at the levels that decide what a message is (the message,
 * its params, their `_meta`) keys that are there twice or that other parsers would read as another key. Assumes nothing
 * about the text; what it accepts must still be parsed.
 */
export const scanBody = (text: string): Scan => {
  const cursor: Cursor = { text, at: 0, idText: undefined }
  try {
    const first = peek(cursor)
    if (first === openBracket) scanBatch(cursor)
    else if (first === openBrace) scanObject(cursor, messageLevel, 1, true)
    return { idText: cursor.idText, error: undefined }
  } catch (error) {
    if (error instanceof AppError) return { idText: cursor.idText, error }
    throw error
  }
}
