import { passNumber, passString, type TextPlace } from "./json-tokens.ts"

/** Bounds and strictness of the check of a JSON text. */
export type JsonRules = {
  /** Most levels of nesting; a lone number has none. */
  readonly maxDepth: number
  /** Most members: each member of an object and each element of an array counts one. Default 50,000. */
  readonly maxMembers?: number
  /**
   * True: no object has a key twice (RFC 8259 §4 leaves open which one counts) or the key `__proto__`, and no string has
   * half a surrogate pair, which UTF-8 cannot carry. Keys are compared without their escapes. Default false.
   */
  readonly strict?: boolean
}

/** The first fault of a JSON text. */
type JsonFault = {
  /**
   * A clause that follows the name of the text, without a full stop: `is nested deeper than 64 levels at line 1,
   * character 65`.
   */
  readonly message: string
  /** Where the fault is, in UTF-16 units from the beginning of the text. */
  readonly at: number
}

/** Most members, unless the rules say otherwise. */
const defaultMaxMembers = 50_000

/** Longest part of a key that {@link JsonFault.message} repeats, in UTF-16 units. */
const maxKeyLength = 64

/** A key by which assigning members, as many servers do, would change what the object inherits. */
const prototypeKey = "__proto__"

const quote = 34
const comma = 44
const colon = 58
const openBracket = 91
const closeBracket = 93
const openBrace = 123
const closeBrace = 125

type Scan = TextPlace & {
  readonly rules: Required<JsonRules>
  members: number
  /** The closing bracket of each open container, the innermost last. */
  readonly closers: number[]
  /** Keys of each open container, recorded only for objects in strict mode. */
  readonly keys: (Set<string> | undefined)[]
}

/** Records the first fault; returns false, so that the scan ends. */
const fail = (scan: Scan, fault: string, at = scan.at): false => {
  scan.fault ??= { what: fault, at }
  return false
}

const fault = (scan: Scan, what: string): false => fail(scan, `is no JSON: ${what}`)

/** The character of the next token, with the scan on it; NaN at the end. */
const peek = (scan: Scan): number => {
  let code = scan.text.charCodeAt(scan.at)
  while (code === 32 || code === 10 || code === 13 || code === 9) code = scan.text.charCodeAt(++scan.at)
  return code
}

/** A key for the text of a fault: cut, in quotes, with control characters escaped. */
const shown = (key: string): string =>
  JSON.stringify(key.length > maxKeyLength ? `${key.slice(0, maxKeyLength)}…` : key)

/**
 * Records a key of the innermost object; the scan stands behind the key. False if the key is `__proto__` or there
 * already. Recorded keys begin with a quote: the hashes of keys of digits alone are predictable, so that a set of them
 * could be made slow.
 */
const isNewKey = (scan: Scan, start: number): boolean => {
  const source = scan.text.slice(start, scan.at)
  const key: string = scan.escaped ? JSON.parse(source) : source.slice(1, -1)
  if (key === prototypeKey) return fail(scan, `has the key "${prototypeKey}", which is not allowed`, start)
  const innermost = scan.keys.length - 1
  const seen = scan.keys[innermost] ?? new Set()
  scan.keys[innermost] = seen
  const before = seen.size
  seen.add(`"${key}`)
  return seen.size > before || fail(scan, `has the key ${shown(key)} twice in one object`, start)
}

/** Passes a key and its colon. */
const passKey = (scan: Scan): boolean => {
  if (peek(scan) !== quote) return fault(scan, "a key is missing")
  const start = scan.at
  if (!passString(scan, scan.rules.strict) || (scan.rules.strict && !isNewKey(scan, start))) return false
  if (peek(scan) !== colon) return fault(scan, "a colon is missing")
  scan.at++
  return true
}

/** Goes on to the value of the next member or element. */
const next = (scan: Scan): boolean => {
  const { maxMembers } = scan.rules
  if (++scan.members > maxMembers)
    return fail(scan, `has more than ${maxMembers.toLocaleString("en")} members and elements`)
  return scan.closers[scan.closers.length - 1] !== closeBrace || passKey(scan)
}

const open = (scan: Scan, closer: number): boolean => {
  if (scan.closers.length === scan.rules.maxDepth)
    return fail(scan, `is nested deeper than ${scan.rules.maxDepth} levels`)
  scan.at++
  scan.closers.push(closer)
  scan.keys.push(undefined)
  return true
}

const close = (scan: Scan): void => {
  scan.at++
  scan.closers.pop()
  scan.keys.pop()
}

/** The word that begins with this letter. */
const wordOf = (code: number): string | undefined =>
  code === 116 ? "true" : code === 102 ? "false" : code === 110 ? "null" : undefined

/** Passes a string, a number, true, false or null. */
const passScalar = (scan: Scan, code: number): boolean => {
  if (code === quote) return passString(scan, scan.rules.strict)
  const word = wordOf(code)
  if (word === undefined) return passNumber(scan)
  if (!scan.text.startsWith(word, scan.at)) return fault(scan, "a value is missing")
  scan.at += word.length
  return true
}

/** Passes what follows a value, up to the next value. False at the end of the text, and after a fault. */
const passEnds = (scan: Scan): boolean => {
  for (;;) {
    const code = peek(scan)
    const { length } = scan.closers
    if (length === 0) return Number.isNaN(code) ? false : fault(scan, "something follows it")
    if (code === comma) {
      scan.at++
      return next(scan)
    }
    if (code !== scan.closers[length - 1])
      return fault(scan, Number.isNaN(code) ? "it ends too early" : "a comma or a closing bracket is missing")
    close(scan)
  }
}

/** Passes what begins a value: all of a scalar, or a container up to its first member. False: see {@link passEnds}. */
const passValue = (scan: Scan): boolean => {
  const code = peek(scan)
  if (code !== openBrace && code !== openBracket) return passScalar(scan, code) && passEnds(scan)
  const closer = code === openBrace ? closeBrace : closeBracket
  if (!open(scan, closer)) return false
  if (peek(scan) !== closer) return next(scan)
  close(scan)
  return passEnds(scan)
}

/** The line and the character of a position, both counted from one. */
const placeOf = (text: string, at: number): string => {
  let line = 1
  let start = 0
  for (let end = text.indexOf("\n"); end !== -1 && end < at; end = text.indexOf("\n", start)) {
    line++
    start = end + 1
  }
  return `line ${line}, character ${at - start + 1}`
}

/**
 * The first fault of a JSON text, or undefined. Reads the text once and builds no values. Follows the grammar of RFC
 * 8259 exactly: `JSON.parse` accepts every text that passes. Needs memory for the nesting only and, if strict, for the
 * keys of open objects. The fault's clause quotes nothing of the text but a key.
 */
export const findJsonFault = (text: string, rules: JsonRules): JsonFault | undefined => {
  const { maxDepth, maxMembers = defaultMaxMembers, strict = false } = rules
  const scan: Scan = {
    ...{ text, at: 0, escaped: false, fault: undefined, members: 0, closers: [], keys: [] },
    rules: { maxDepth, maxMembers, strict },
  }
  while (passValue(scan));
  if (scan.fault === undefined) return undefined
  const { what, at } = scan.fault
  return { message: `${what}, at ${placeOf(text, at)}`, at }
}
