/**
 * Media types in headers (RFC 9110 §8.3.1, §12.5.1), read in one pass from left to right: the time is linear in the
 * header's length.
 */

/** A parameter of a media type. */
type Parameter = {
  /** In lower case, because names are compared without their case. */
  readonly name: string
  /** Without quotes and escapes. */
  readonly value: string
}

/** A media type with its parameters, in order; a name may be there twice. */
export type MediaType = {
  /** `type/subtype` in lower case. */
  readonly essence: string
  readonly parameters: readonly Parameter[]
}

/** A piece of a header, and the index behind it. */
type Piece = { readonly text: string; readonly end: number }

const marks = "!#$%&'*+-.^_`|~"
const isToken = (char: string): boolean =>
  (char >= "a" && char <= "z") || (char >= "A" && char <= "Z") || (char >= "0" && char <= "9") || marks.includes(char)
const isBlank = (char: string): boolean => char === " " || char === "\t"
/** What a quoted string holds besides escapes: no control character but the tab (RFC 9110 §5.6.4). */
const isQuotable = (char: string): boolean => char === "\t" || (char >= " " && char !== "\x7f")

/** The index behind the characters of a kind that begin at `at`. */
const past = (header: string, at: number, is: (char: string) => boolean): number => {
  let end = at
  while (end < header.length && is(header.charAt(end))) end++
  return end
}

/** The token at `at`; undefined if there is none. */
const readToken = (header: string, at: number): Piece | undefined => {
  const end = past(header, at, isToken)
  return end === at ? undefined : { text: header.slice(at, end), end }
}

/** The quoted string whose opening quote is at `at`, unescaped; undefined if it does not end. */
const readQuoted = (header: string, at: number): Piece | undefined => {
  let text = ""
  for (let index = at + 1; index < header.length; index++) {
    let char = header.charAt(index)
    if (char === '"') return { text, end: index + 1 }
    if (char === "\\") char = header.charAt(++index)
    if (char === "" || !isQuotable(char)) return undefined
    text += char
  }
  return undefined
}

/** `type/subtype` at `at`; a media range has `*` in them, which is a token too. */
const readEssence = (header: string, at: number): Piece | undefined => {
  const type = readToken(header, at)
  if (type === undefined || header.charAt(type.end) !== "/") return undefined
  const subtype = readToken(header, type.end + 1)
  return subtype && { text: `${type.text}/${subtype.text}`.toLowerCase(), end: subtype.end }
}

/** `name=value` at `at`, without blanks around the `=`. */
const readParameter = (header: string, at: number): (Parameter & { readonly end: number }) | undefined => {
  const name = readToken(header, at)
  if (name === undefined || header.charAt(name.end) !== "=") return undefined
  const from = name.end + 1
  const value = header.charAt(from) === '"' ? readQuoted(header, from) : readToken(header, from)
  return value && { name: name.text.toLowerCase(), value: value.text, end: value.end }
}

/**
 * The media type of a header that has exactly one; undefined for anything else, such as a list of several. Blanks may
 * be around each `;`, and parameters may be empty (RFC 9110 §5.6.6).
 */
export const parseMediaType = (header: string): MediaType | undefined => {
  const essence = readEssence(header, 0)
  if (essence === undefined) return undefined
  const parameters: Parameter[] = []
  let at = past(header, essence.end, isBlank)
  while (at < header.length) {
    if (header.charAt(at) !== ";") return undefined
    at = past(header, at + 1, isBlank)
    if (at === header.length || header.charAt(at) === ";") continue
    const parameter = readParameter(header, at)
    if (parameter === undefined) return undefined
    parameters.push({ name: parameter.name, value: parameter.value })
    at = past(header, parameter.end, isBlank)
  }
  return { essence: essence.text, parameters }
}

const utf8Names: readonly string[] = ["utf-8", "utf8"]

/** True unless a charset other than UTF-8 is named: a server that decodes by that charset would read another text. */
export const isUtf8 = ({ parameters }: MediaType): boolean =>
  parameters.every(({ name, value }) => name !== "charset" || utf8Names.includes(value.toLowerCase()))

/**
 * The end of the list element that begins at `at`: the index of its comma, or the header's length. Commas in quotes
 * belong to the element. Undefined if a quoted string does not end.
 */
const endOfElement = (header: string, at: number): number | undefined => {
  let index = at
  while (index < header.length && header.charAt(index) !== ",") {
    const end = header.charAt(index) === '"' ? readQuoted(header, index)?.end : index + 1
    if (end === undefined) return undefined
    index = end
  }
  return index
}

/**
 * `type/subtype` of a Content-Type in lower case; undefined if there is none, or more than one value. Malformed
 * parameters are ignored: some servers send them, and the type is clear without them.
 */
export const essenceOf = (header: string | readonly string[] | undefined): string | undefined => {
  const [text = "", ...others] = typeof header === "string" ? [header] : (header ?? [])
  const essence = readEssence(text, 0)
  if (essence === undefined || others.length > 0 || endOfElement(text, essence.end) !== text.length) return undefined
  const next = text.charAt(past(text, essence.end, isBlank))
  return next === "" || next === ";" ? essence.text : undefined
}

/** True if a media range means the type: every type, every subtype of its type, or itself. */
const covers = (range: string, essence: string): boolean =>
  range === "*/*" || range === essence || (range.endsWith("/*") && essence.startsWith(range.slice(0, -1)))

/**
 * True if an Accept header names one of `essences` (lower case), by itself or in a range. Weights are ignored: a client
 * that names a type at all can read it. Elements that are no ranges are skipped.
 */
export const acceptsOneOf = (header: string, essences: readonly string[]): boolean => {
  let at = 0
  while (at < header.length) {
    const range = readEssence(header, past(header, at, isBlank))?.text
    if (range !== undefined && essences.some((essence) => covers(range, essence))) return true
    const end = endOfElement(header, at)
    if (end === undefined) return false
    at = end + 1
  }
  return false
}
