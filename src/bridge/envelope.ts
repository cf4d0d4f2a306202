import { AppError } from "../errors.ts"
import {
  type Cursor,
  eachElement,
  eachMember,
  openBrace,
  peek,
  plainText,
  quote,
  skipValue,
} from "../mcp/json-cursor.ts"
import { readingsOf } from "../mcp/json-scan.ts"

/** Where a value is in a text: the index of its first character, and the index behind its last one. */
export type Span = readonly [from: number, to: number]

/** The places of a message that the bridge reads or replaces. An absent one is not in the message. */
export type Envelope = {
  jsonrpc?: Span
  id?: Span
  method?: Span
  result?: Span
  error?: Span
  /** `params._meta.progressToken` of a request. */
  askedToken?: Span
  /** `params.progressToken` of `notifications/progress`. */
  reportedToken?: Span
  /** `params.requestId` of `notifications/cancelled`. */
  requestId?: Span
  /** `params.uri`, of `notifications/resources/updated` too. */
  uri?: Span
  /** The subscription's id in `_meta` of a notification or of a result (MCP 2026-07-28, subscriptions). */
  subscriptionId?: Span
  /** `params._meta` log level: the request asks for log messages (MCP 2026-07-28). */
  logLevel?: Span
}

type Places = Readonly<Record<string, keyof Envelope>>

/** The keys that are read at one level of a message, and the same keys in lower case. */
type Level = { readonly places: Places; readonly folded: ReadonlyMap<string, string> }

const level = (places: Places): Level => ({
  places,
  folded: new Map(Object.keys(places).map((name) => [name.toLowerCase(), name])),
})

const subscriptionKey = "io.modelcontextprotocol/subscriptionId"

const messageKeys = level({ jsonrpc: "jsonrpc", id: "id", method: "method", result: "result", error: "error" })
const paramsKeys = level({ progressToken: "reportedToken", requestId: "requestId", uri: "uri" })
const metaKeys = level({
  progressToken: "askedToken",
  [subscriptionKey]: "subscriptionId",
  "io.modelcontextprotocol/logLevel": "logLevel",
})
const nothing = level({})

/** Keys of printable ASCII, as nearly all are: some parser takes one for another only if their case alone differs. */
const isPlain = /^[!-~]*$/

/** The name that some parser may take this key for. */
const nameFor = ({ folded }: Level, key: string): string | undefined => {
  const readings = isPlain.test(key) ? [key.toLowerCase()] : readingsOf(key)
  return readings.map((reading) => folded.get(reading)).find((name) => name !== undefined)
}

/** The place of a key at this level. `strict`: throws InvalidRequest for a repeated key, or one spelled differently. */
const placeOf = (at: Level, key: string, found: Envelope, strict: boolean): keyof Envelope | undefined => {
  const place = Object.hasOwn(at.places, key) ? at.places[key] : undefined
  if (!strict) return place
  if (place !== undefined && found[place] !== undefined)
    throw new AppError("InvalidRequest", { detail: `The key '${key}' is there twice.` })
  const name = place === undefined ? nameFor(at, key) : undefined
  if (name !== undefined)
    throw new AppError("InvalidRequest", {
      detail: `Write the key '${name}' plainly: some parsers take another spelling for it.`,
    })
  return place
}

/** Reads an object; `inner` reads the values of some of its keys, and all others are passed. */
const readLevel = (
  cursor: Cursor,
  found: Envelope,
  at: Level,
  strict: boolean,
  inner: Readonly<Record<string, () => void>>,
): void =>
  eachMember(cursor, (key) => {
    const place = placeOf(at, key, found, strict)
    const isObject = peek(cursor) === openBrace
    const from = cursor.at
    const read = isObject && Object.hasOwn(inner, key) ? inner[key] : undefined
    if (read === undefined) skipValue(cursor, 0)
    else read()
    if (place !== undefined) found[place] = [from, cursor.at]
  })

/** Most levels of nesting that are passed; a parser with a stack of its own has no smaller limit. */
const maxDepth = 10_000

const cursorOf = (text: string): Cursor => ({ text, maxDepth, maxMembers: Number.MAX_VALUE, at: 0, members: 0 })

/**
 * Finds the places of one message, whose text must be valid JSON. `strict`, for messages of clients: throws
 * InvalidRequest for keys that two parsers could read differently. Otherwise the last of two equal keys counts, as in
 * JSON.parse. Takes time linear in the text; throws MalformedJson if the text is no object.
 */
export const readEnvelope = (text: string, strict: boolean): Envelope => {
  const cursor = cursorOf(text)
  const found: Envelope = {}
  const meta = () => readLevel(cursor, found, metaKeys, strict, {})
  const params = () => readLevel(cursor, found, paramsKeys, strict, { _meta: meta })
  // a client's message can have a result too; nothing in it is read
  const result = () => readLevel(cursor, found, nothing, false, { _meta: meta })
  readLevel(cursor, found, messageKeys, strict, strict ? { params } : { params, result })
  return found
}

/** The source of a value. */
export const sourceOf = (text: string, span: Span): string => text.slice(span[0], span[1])

/** A value, parsed; undefined if it is not there. */
export const parsedAt = (text: string, span: Span | undefined): unknown => span && JSON.parse(sourceOf(text, span))

/** The source of the id in a message; `null` if it has none. */
export const idTextOf = ({ text, envelope: { id } }: { readonly text: string; readonly envelope: Envelope }): string =>
  id === undefined ? "null" : sourceOf(text, id)

/** The text of a value that is a string; undefined for other values. */
export const stringOf = (text: string, span: Span | undefined): string | undefined =>
  span !== undefined && text.charCodeAt(span[0]) === quote ? plainText(text.slice(span[0] + 1, span[1] - 1)) : undefined

/** A text with the values at some places replaced; the other places keep their source, so that no number changes. */
export const withValues = (text: string, changes: readonly (readonly [span: Span, source: string])[]): string => {
  let out = ""
  let at = 0
  for (const [[from, to], source] of changes.toSorted(([a], [b]) => a[0] - b[0])) {
    out += text.slice(at, from) + source
    at = to
  }
  return out + text.slice(at)
}

/**
 * JSON on one line: outside of strings, where JSON has no control characters, a line end is a blank. Works on bytes:
 * replacing 16 MiB of line ends in a string took 0.7 s.
 */
export const onOneLine = (text: string): string => {
  if (!/[\r\n]/.test(text)) return text
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; at++) if (bytes[at] === 10 || bytes[at] === 13) bytes[at] = 32
  return bytes.toString()
}

/** Reads the elements of a batch as texts. The text must be a valid array. */
export const elementsOf = (text: string): readonly string[] => {
  const cursor = cursorOf(text)
  const elements: string[] = []
  eachElement(cursor, () => {
    peek(cursor)
    const from = cursor.at
    skipValue(cursor, 1)
    elements.push(text.slice(from, cursor.at))
  })
  return elements
}
