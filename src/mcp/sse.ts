import { createGrowingBuffer } from "../intake/growing-buffer.ts"

const lineFeed = 10
const carriageReturn = 13

/** Splits a stream of bytes into events, each with the blank line that ends it (WHATWG HTML, server-sent events). */
export type EventSplitter = {
  /** The events that this chunk completes. Each byte is looked at once, and copied only if its event is not whole yet. */
  push(chunk: Buffer): readonly Buffer[]
  /** How many bytes came after the last complete event. */
  readonly held: number
}

/**
 * Makes a splitter; throws what `tooLong` makes when one event is longer than `limit` bytes. `before` are the last bytes
 * of what went by unsplit, if the stream has begun: the first event is then the rest of the one that they belong to.
 */
export const createEventSplitter = (limit: number, tooLong: () => Error, before = ""): EventSplitter => {
  const held = createGrowingBuffer()
  let atLineStart = before === "" || before.endsWith("\n") || before.endsWith("\r")
  let afterReturn = before.endsWith("\r")

  /** The place after the event that ends in the chunk at or after `from`; -1 if none does. */
  const endIn = (chunk: Buffer, from: number): number => {
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
  }
  const hold = (piece: Buffer): void => {
    if (held.length + piece.length > limit) throw tooLong()
    held.add(piece)
  }
  return {
    push: (chunk) => {
      const events: Buffer[] = []
      let start = 0
      for (let end = endIn(chunk, 0); end !== -1; end = endIn(chunk, start)) {
        const piece = chunk.subarray(start, end)
        if (held.length + piece.length > limit) throw tooLong()
        if (held.length > 0) held.add(piece)
        events.push(held.length > 0 ? held.take() : piece)
        start = end
      }
      if (start < chunk.length) hold(chunk.subarray(start))
      return events
    },
    get held() {
      return held.length
    },
  }
}

/** What an event says (WHATWG HTML, «interpreting an event stream»): all other fields and comments say nothing. */
export type ServerEvent = {
  /** Its type; absent = `message`. */
  readonly event?: string
  /** What a client sends as Last-Event-ID from now on. */
  readonly id?: string
  /** Milliseconds, in digits, until a client connects anew. */
  readonly retry?: string
  /** Absent if the event has none, so that no client sees it; may be empty. */
  readonly data?: string
}

const lineEnd = /\r\n?|\n/g

/** Calls `visit` with each line of the text, without line ends. */
const eachLine = (text: string, visit: (line: string) => void): void => {
  let start = 0
  for (const { index, 0: end } of text.matchAll(lineEnd)) {
    if (index > start) visit(text.slice(start, index))
    start = index + end.length
  }
  if (start < text.length) visit(text.slice(start))
}

/** Reads the text of one event. */
export const parseEvent = (text: string): ServerEvent => {
  const fields: { event?: string; id?: string; retry?: string } = {}
  const data: string[] = []
  eachLine(text, (line) => {
    const colon = line.indexOf(":")
    const name = colon === -1 ? line : line.slice(0, colon)
    const begin = line.charCodeAt(colon + 1) === 32 ? colon + 2 : colon + 1
    const value = colon === -1 ? "" : line.slice(begin)
    if (name === "data") data.push(value)
    else if (name === "event") fields.event = value
    else if (name === "id" && !value.includes("\0")) fields.id = value
    else if (name === "retry" && /^\d+$/.test(value)) fields.retry = value
  })
  return data.length === 0 ? fields : { ...fields, data: data.join("\n") }
}

/** Characters at which some reader of lines ends one, though the specification does not (Python's `splitlines`). */
const doubtful = /[\p{Cc}\p{Zl}\p{Zp}]/u

/** An event that says nothing but that the stream lives. */
export const comment = ":\n\n"

const field = (name: string, value: string | undefined): string =>
  value === undefined || doubtful.test(value) ? "" : `${name}: ${value}\n`

/**
 * Writes an event that every client reads alike: one line for each field, no other fields, no comments. A type or an id
 * with control characters or line separators is left out. `data` may have line feeds, and nothing else that ends a line.
 * Empty for an event that says nothing.
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

/** True if a line of `chunk` gives an event its id; `tail` is the last four bytes that came before. */
export const hasEventId = (tail: string, chunk: Buffer): boolean => {
  if (chunk.includes("\nid:")) return true
  const seam = tail + chunk.toString("latin1", 0, 4)
  return seam.includes("\nid:") || (tail === "" && seam.startsWith("id:"))
}
