import { createGrowingBuffer } from "../intake/bodies.ts"

const lineFeed = 10
const carriageReturn = 13

/** Finds where events end in a stream of bytes: with a blank line (WHATWG HTML, server-sent events). */
type EventEnds = {
  /**
   * The index behind the first event that ends in the chunk at or after `from`; -1 if none does. Each byte must be
   * passed once, in order.
   */
  next(chunk: Buffer, from: number): number
}

/** Follows a stream from here on. `before`: the last bytes before it; empty at the stream's beginning. */
export const followEvents = (before = ""): EventEnds => {
  let atLineStart = before === "" || before.endsWith("\n") || before.endsWith("\r")
  let afterReturn = before.endsWith("\r")
  return {
    next: (chunk, from) => {
      for (let at = from; at < chunk.length; at++) {
        const code = chunk[at]
        const secondHalf = code === lineFeed && afterReturn
        afterReturn = code === carriageReturn
        if (secondHalf) continue
        const endsLine = code === lineFeed || code === carriageReturn
        const endsEvent = endsLine && atLineStart
        atLineStart = endsLine
        if (!endsEvent) continue
        if (!afterReturn || chunk[at + 1] !== lineFeed) return at + 1
        afterReturn = false
        return at + 2
      }
      return -1
    },
  }
}

/** Holds a stream of bytes back up to the end of an event. */
type EventSplitter = {
  /** The events that this chunk completes, in one buffer; may be empty. Takes time linear in the bytes. */
  push(chunk: Buffer): Buffer
  /** How many bytes came after the last complete event. */
  readonly held: number
}

const nothing = Buffer.alloc(0)

/** Creates a splitter. Its `push` throws the error of `tooLong` for an event of more than `limit` bytes. */
export const createEventSplitter = (limit: number, tooLong: () => Error): EventSplitter => {
  const held = createGrowingBuffer()
  const ends = followEvents()
  const check = (bytes: number): void => {
    if (bytes > limit) throw tooLong()
  }
  return {
    push: (chunk) => {
      let last = 0
      for (let end = ends.next(chunk, 0); end !== -1; end = ends.next(chunk, end)) {
        check(end - last + (last === 0 ? held.length : 0))
        last = end
      }
      const whole = chunk.subarray(0, last)
      const rest = chunk.subarray(last)
      check(rest.length + (last === 0 ? held.length : 0))
      if (last > 0 && held.length === 0) {
        held.add(rest)
        return whole
      }
      held.add(whole)
      const events = last === 0 ? nothing : held.take()
      held.add(rest)
      return events
    },
    get held() {
      return held.length
    },
  }
}

/** The fields of an event (WHATWG HTML, «interpreting an event stream»); other fields and comments are ignored. */
export type ServerEvent = {
  /** Its type; absent = `message`. */
  readonly event?: string
  /** The value that a client sends as Last-Event-ID from now on. */
  readonly id?: string
  /** Milliseconds, in digits, until a client reconnects. */
  readonly retry?: string
  /** Absent if the event has none, so that no client sees it; may be empty. */
  readonly data?: string
}

/** True for events of the type that MCP uses: clients ignore those of other types, such as pings of some servers. */
export const isMessage = ({ event = "" }: ServerEvent): boolean => event === "" || event === "message"

/** Calls `visit` with each line that the text ends, without its end. Takes time linear in the text's length. */
const eachLine = (text: string, visit: (line: string) => void): void => {
  const after = (mark: string, from: number): number => {
    const at = text.indexOf(mark, from)
    return at === -1 ? text.length : at
  }
  let feed = after("\n", 0)
  let back = after("\r", 0)
  for (let start = 0; start < text.length; ) {
    const end = Math.min(feed, back)
    visit(text.slice(start, end))
    start = back + 1 === feed ? feed + 1 : end + 1
    if (feed < start) feed = after("\n", start)
    if (back < start) back = after("\r", start)
  }
}

type Fields = { event?: string; id?: string; retry?: string; data?: string[] }

/** Adds one line to the fields of an event. */
const readField = (fields: Fields, line: string): void => {
  const colon = line.indexOf(":")
  const name = colon === -1 ? line : line.slice(0, colon)
  const value = colon === -1 ? "" : line.slice(line.charCodeAt(colon + 1) === 32 ? colon + 2 : colon + 1)
  if (name === "data") {
    fields.data ??= []
    fields.data.push(value)
  } else if (name === "event") fields.event = value
  else if (name === "id" && !value.includes("\0")) fields.id = value
  else if (name === "retry" && /^\d+$/.test(value)) fields.retry = value
}

/** Reads the text of complete events; events without a field are left out. */
export const parseEvents = (text: string): readonly ServerEvent[] => {
  const events: ServerEvent[] = []
  let fields: Fields = {}
  let hasLines = false
  eachLine(text, (line) => {
    if (line !== "") {
      readField(fields, line)
      hasLines = true
      return
    }
    if (!hasLines) return
    const { data, ...others } = fields
    if (data !== undefined) events.push({ ...others, data: data.join("\n") })
    else if (Object.keys(others).length > 0) events.push(others)
    fields = {}
    hasLines = false
  })
  return events
}

/** Characters at which some programs end a line, though the specification does not (Python's `splitlines`). */
const doubtful = /[\p{Cc}\p{Zl}\p{Zp}]/u

/** A comment, which clients ignore: keeps a silent stream open. */
export const comment = ":\n\n"

const field = (name: string, value: string | undefined): string =>
  value === undefined || doubtful.test(value) ? "" : `${name}: ${value}\n`

/**
 * Writes an event that every client reads alike: one line for each field, no other fields, no comments. A type or an id
 * with control characters or line separators is left out. `data` may have line feeds, and nothing else that ends a line.
 * Empty if nothing is left.
 */
export const writeEvent = ({ event, id, retry, data }: ServerEvent): string => {
  const fields = field("event", event) + field("id", id) + field("retry", retry)
  const lines = data === undefined ? "" : `data: ${data.replaceAll("\n", "\ndata: ")}\n`
  return fields === "" && lines === "" ? "" : `${fields}${lines}\n`
}

const betweenEvents: readonly string[] = ["\n\n", "\n\r\n", "\n\r", "\r\r"]

/** True if a stream whose last bytes are these is between two events, so that a comment can go in. */
export const endsBetweenEvents = (tail: string): boolean =>
  tail === "" || betweenEvents.some((end) => tail.endsWith(end))

/**
 * The last four bytes of a stream after this chunk, as latin1: what {@link endsBetweenEvents} and {@link hasEventId}
 * need.
 */
export const tailAfter = (tail: string, chunk: Buffer): string =>
  (tail + chunk.toString("latin1", Math.max(0, chunk.length - 4))).slice(-4)

/** True if a line of `chunk` gives an event its id; `tail` is the last four bytes that came before. */
export const hasEventId = (tail: string, chunk: Buffer): boolean => {
  if (chunk.includes("\nid:")) return true
  const seam = tail + chunk.toString("latin1", 0, 4)
  return seam.includes("\nid:") || (tail === "" && seam.startsWith("id:"))
}
