import { AppError } from "../errors.ts"
import { findJsonFault } from "../intake/json-text.ts"
import {
  comment,
  createEventSplitter,
  endsBetweenEvents,
  followEvents,
  isMessage,
  parseEvents,
  type ServerEvent,
  tailAfter,
  writeEvent,
} from "./sse.ts"
import { cutTools, type ToolPolicy } from "./tool-policy.ts"

/**
 * Changes a body before it is passed to the client. Both functions throw UpstreamInvalid for a body that they cannot
 * read.
 */
export type BodyFilter = {
  /** Takes a piece; returns the filtered bytes that are ready, which may be none. */
  push(chunk: Buffer): Buffer
  /** Returns the remaining bytes at the body's end. */
  end(): Buffer
  /** True once the last piece was the whole body, unchanged: then its Content-Length still holds. */
  readonly isWhole?: () => boolean
}

/** The policy as it is now; undefined while the target shows all its tools. */
export type PolicyNow = () => ToolPolicy | undefined

/** Longest event or JSON value that is held, in bytes. */
export const maxHeldBytes = 4 * 2 ** 20
const nothing = Buffer.alloc(0)
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** The error of an answer that the tool policy cannot be applied to. */
export const unreadable = (detail: string, cause?: unknown): AppError =>
  new AppError("UpstreamInvalid", { detail, cause })
/** The error of a message that is longer than {@link maxHeldBytes}. */
export const tooLong = (): AppError =>
  new AppError("UpstreamInvalid", {
    detail: `A message of the server's answer is longer than ${maxHeldBytes} bytes, so the tool policy cannot be applied to it.`,
    data: { limit: maxHeldBytes },
  })
const notJson = (cause?: unknown): AppError =>
  unreadable("The server's answer is not JSON, so the tool policy cannot be applied to it.", cause)

const isJson = (text: string): boolean =>
  findJsonFault(text, { maxDepth: text.length, maxMembers: text.length }) === undefined

/**
 * Longest text that is checked with JSON.parse. Longer ones are scanned: parsed, their small members take up to 100
 * MiB, twenty times the text.
 */
export const mostParsed = 64 * 1_024

/** Throws UpstreamInvalid for a text that is no JSON. */
const checkJson = (text: string): void => {
  if (text.length > mostParsed) {
    if (!isJson(text)) throw notJson()
    return
  }
  try {
    JSON.parse(text)
  } catch (cause) {
    throw notJson(cause)
  }
}

/** The text of a message without hidden tools; undefined if it can go on as it is. Throws UpstreamInvalid. */
export const filterText = (text: string, policy: ToolPolicy): string | undefined => {
  checkJson(text)
  return cutTools(text, policy)
}

/** The text of bytes in UTF-8. Throws UpstreamInvalid. */
export const decode = (bytes: Buffer): string => {
  try {
    return utf8.decode(bytes)
  } catch (cause) {
    throw unreadable("The server's answer is not valid UTF-8.", cause)
  }
}

/**
 * Characters that some programs take for the end of a line. JSON has them in strings only, where they can be escaped.
 */
const lineEnds = /[\u007f-\u009f\u2028\u2029]/g
const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`

/** JSON in one line for every program. Line ends between its tokens become blanks; inside strings there are none. */
const toLine = (json: string): string => json.replace(/[\r\n]/g, " ").replace(lineEnds, escaped)

/**
 * The event written again from its known fields, without hidden tools. Data of another type than `message` is left
 * out if it is not JSON.
 */
const filterEvent = (event: ServerEvent, policy: ToolPolicy | undefined): string => {
  const { data, event: _, ...others } = event
  if (data === undefined || data === "" || policy === undefined) return writeEvent(event)
  if (!isMessage(event) && !isJson(data)) return writeEvent(others)
  return writeEvent({ ...event, data: toLine(filterText(data, policy) ?? data) })
}

/**
 * Filters a stream from the boundary of two events on. `atStart`: from the stream's beginning, where a byte order mark
 * is left out.
 */
const createEventFilter = (policyNow: PolicyNow, atStart: boolean) => {
  const splitter = createEventSplitter(maxHeldBytes, tooLong)
  let first = atStart
  return (chunk: Buffer): Buffer => {
    const bytes = splitter.push(chunk)
    if (bytes.length === 0) return nothing
    const text = decode(bytes)
    const events = parseEvents(first && text.startsWith("\ufeff") ? text.slice(1) : text)
    first = false
    const policy = policyNow()
    const out = events.map((event) => filterEvent(event, policy)).join("")
    // events without fields and comments show that the server is alive: they become one comment
    return Buffer.from(out === "" ? comment : out)
  }
}

/** Filters a stream from its next event on: the beginning of the current one has been sent already. */
const createLateFilter = (policyNow: PolicyNow, tail: string) => {
  const filter = createEventFilter(policyNow, tail === "")
  const ends = followEvents(tail)
  let passing = !endsBetweenEvents(tail)
  return (chunk: Buffer): Buffer => {
    if (!passing) return filter(chunk)
    const end = ends.next(chunk, 0)
    if (end === -1) return chunk
    passing = false
    return Buffer.concat([chunk.subarray(0, end), filter(chunk.subarray(end))])
  }
}

/**
 * Filters the messages of an event stream, holding one event at a time: each is written again. While there is no policy,
 * the bytes pass unchanged. A policy that comes applies from the next event on, and from then on every event is written
 * anew.
 * @param canChange false if the stream cannot be read (compressed, another charset): a policy that comes ends it
 */
export const filterEvents = (policyNow: PolicyNow, canChange = true): BodyFilter => {
  let tail = ""
  let filter: ((chunk: Buffer) => Buffer) | undefined
  return {
    push: (chunk) => {
      if (filter === undefined && policyNow() !== undefined) {
        if (!canChange) throw unreadable("The target has a tool policy now, which cannot be applied to this stream.")
        filter = createLateFilter(policyNow, tail)
      }
      if (filter !== undefined) return filter(chunk)
      tail = tailAfter(tail, chunk)
      return chunk
    },
    // an incomplete event is dropped: clients discard it too
    end: () => nothing,
  }
}
