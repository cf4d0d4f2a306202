import { AppError, isAppError } from "../errors.ts"
import {
  backslash,
  type Cursor,
  closeBrace,
  colon,
  eachElement,
  expect,
  isLast,
  malformed,
  openBrace,
  openBracket,
  peek,
  plainText,
  quote,
  skipString,
  skipValue,
} from "./json-cursor.ts"

/**
 * What some parsers leave out of a key: NUL, characters without a form, halves of surrogate pairs. Those that follow each
 * other are passed together: one by one, 16 MiB of them took 0.2 s. Not more than 256 at once, because the engine keeps a
 * place on its stack for each repetition, and ends with a RangeError beyond some millions.
 */
const invisible = /[\0\p{Cs}\p{Default_Ignorable_Code_Point}]{1,256}/uy

/** Longest name that a key is compared with, here and in tool-policy.ts. A longer reading means none of them. */
const longestName = 64

/**
 * Folds the case. Upper case comes first: it turns the long s, the Kelvin sign and the dotless i into ASCII letters.
 * The Turkish dotted I needs a replacement of its own.
 */
const foldCase = (key: string): string => key.toUpperCase().replaceAll("\u0130", "I").toLowerCase()

const plain = /^[!-~]*$/

/** The dot of a dotted I that is written as two characters: composed they are one letter, which Turkish folds to i. */
const dotAbove = "\u0307"

/** The reading with one more character; undefined if no ASCII reading has that character. */
const read = (before: string, character: string): string | undefined => {
  const code = character.charCodeAt(0)
  if (code < 128) return before + character
  if (character === dotAbove && before.endsWith("I")) return `${before.slice(0, -1)}i`
  const form = character.normalize("NFKC")
  return plain.test(foldCase(form)) ? before + form : undefined
}

/**
 * A key folded in case and compatibility forms, if the result is plain ASCII of at most 64 characters. Else undefined,
 * because all names that it is compared with are such. Works character by character: a text's compatibility form is
 * ASCII if and only if that of each character is, since composition never makes ASCII (UAX #15; the dotted I, which is
 * folded to it, is composed here). Normalising a whole key instead is quadratic in its combining marks.
 */
const fold = (key: string): string | undefined => {
  let reading: string | undefined = ""
  for (let at = 0; at < key.length; ) {
    invisible.lastIndex = at
    if (invisible.test(key)) {
      at = invisible.lastIndex
      continue
    }
    const character = String.fromCodePoint(key.codePointAt(at) ?? 0)
    at += character.length
    reading = read(reading, character)
    if (reading === undefined || reading.length > longestName) return undefined
  }
  return foldCase(reading)
}

/**
 * Every name that a lenient parser may read in this key, as far as that is plain ASCII: folded in case and
 * compatibility forms (Go's encoding/json matches keys so, CVE-2026-27896), with NUL left out, and cut off at NUL,
 * where strings end in C. Linear in the key's length.
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

/** The key under which a message of the modern era names its protocol version (MCP 2026-07-28, per-request `_meta`). */
export const versionKey = "io.modelcontextprotocol/protocolVersion"

/** Most levels of nesting in a body. */
const maxDepth = 100
/**
 * Most members and elements of a body together: parsing 4 MiB of small ones takes 280 ms, in which no other request is
 * served.
 */
const maxMembers = 50_000
/** Most messages in a batch. */
const maxBatch = 100
/** Longest id that an error echoes. */
const maxIdLength = 1_024

/**
 * A key that changes the prototype of an object to which a JavaScript server copies members by assignment. No message
 * has it.
 */
const prototypeKey = "__proto__"

type Level = {
  /** The keys that are read at this level, by their length: most other keys are passed by their length alone. */
  readonly keys: ReadonlyMap<number, readonly string[]>
  /** The keys by their readings, as lenient parsers might spell them. */
  readonly folded: ReadonlyMap<string, string>
  /** The key whose object is scanned as the next level, and that level. */
  readonly child?: readonly [key: string, level: Level]
}

const level = (keys: readonly string[], child?: Level["child"]): Level => ({
  keys: Map.groupBy([...keys, prototypeKey], (key) => key.length),
  folded: new Map(keys.flatMap((key) => readingsOf(key).map((reading) => [reading, key]))),
  ...(child === undefined ? {} : { child }),
})

const metaLevel = level([versionKey])
const paramsLevel = level(["name", "uri", "taskId", "_meta"], ["_meta", metaLevel])
const messageLevel = level(["jsonrpc", "id", "method", "params", "result", "error"], ["params", paramsLevel])

/** The position in a body, and what was found so far. */
type BodyCursor = Cursor & {
  /** Source text of the id of a lone message, kept even if the scan fails later. */
  idText: string | undefined
}

/** The result of a scan. */
type Scan = { readonly idText: string | undefined; readonly error: AppError | undefined }

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
 * The key between two positions of the text if it is one of this level. Throws InvalidRequest for another spelling of
 * such a key, by escapes or for a lenient parser.
 */
const decidingKey = (text: string, start: number, end: number, at: Level): string | undefined => {
  const candidates = at.keys.get(end - start)
  for (const key of candidates ?? []) if (text.startsWith(key, start)) return key
  const plain = isPlain(text, start, end)
  if (plain && candidates === undefined) return undefined
  const source = text.slice(start, end)
  for (const reading of plain ? [source.toLowerCase()] : readingsOf(plainText(source))) {
    const key = at.folded.get(reading)
    if (key !== undefined) throw ambiguous(source, key)
  }
  return undefined
}

/** Passes a key and returns it if it is one of this level. Throws InvalidRequest if it is there for the second time. */
const scanKey = (cursor: Cursor, at: Level, seen: string[]): string | undefined => {
  if (peek(cursor) !== quote) throw malformed()
  const start = cursor.at + 1
  skipString(cursor)
  const key = decidingKey(cursor.text, start, cursor.at - 1, at)
  if (key === undefined) return undefined
  if (key === prototypeKey) throw new AppError("InvalidRequest", { detail: `A message has no key '${key}'.` })
  if (seen.includes(key)) throw new AppError("InvalidRequest", { detail: `The key '${key}' is there twice.` })
  seen.push(key)
  return key
}

const scanObject = (cursor: BodyCursor, at: Level, depth: number, lone: boolean): void => {
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
    if (isLast(cursor, closeBrace)) return
  }
}

const scanBatch = (cursor: BodyCursor): void => {
  let count = 0
  eachElement(cursor, () => {
    if (++count > maxBatch)
      throw new AppError("InvalidRequest", { detail: `A batch has at most ${maxBatch} messages.` })
    if (peek(cursor) === openBrace) scanObject(cursor, messageLevel, 2, false)
    else skipValue(cursor, 1)
  })
}

/**
 * Checks a body's structure before it is parsed: depth, number of members, and keys at the levels that decide what a
 * message is (the message, its params, their `_meta`). There it refuses keys that are there twice, or that other
 * parsers would read as another key. Assumes nothing about the text; what it accepts must still be parsed.
 */
export const scanBody = (text: string): Scan => {
  const cursor: BodyCursor = { text, maxDepth, maxMembers, at: 0, members: 0, idText: undefined }
  try {
    const first = peek(cursor)
    if (first === openBracket) scanBatch(cursor)
    else if (first === openBrace) scanObject(cursor, messageLevel, 1, true)
    return { idText: cursor.idText, error: undefined }
  } catch (error) {
    if (isAppError(error)) return { idText: cursor.idText, error }
    throw error
  }
}
