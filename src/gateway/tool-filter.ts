import { AppError } from "../errors.ts"
import { createEventSplitter, eventData, eventLines, withData } from "./sse.ts"
import { cutTools } from "./tool-cut.ts"
import type { ToolPolicy } from "./tool-policy.ts"

/** Changes a body on its way to the client. Both functions throw UpstreamInvalid for what they cannot read. */
export type BodyFilter = {
  /** What of the body can go on now; may be nothing. */
  push(chunk: Buffer): Buffer
  /** What is left at the end. */
  end(): Buffer
}

/** Longest event or JSON value that is held. */
const maxHeldBytes = 4 * 2 ** 20
const nothing = Buffer.alloc(0)
const utf8 = new TextDecoder("utf-8", { fatal: true })

const unreadable = (detail: string, cause?: unknown): AppError => new AppError("UpstreamInvalid", { detail, cause })
const tooLong = (): AppError => unreadable("The server's answer is too long to apply the tool policy to it.")

/** The text of a message without hidden tools; undefined if it can go on as it is. */
const filterText = (text: string, policy: ToolPolicy): string | undefined => {
  checkJson(text)
  return cutTools(text, policy)
}

const checkJson = (text: string): void => {
  try {
    JSON.parse(text)
  } catch (cause) {
    throw unreadable("The server's answer is not JSON, so the tool policy cannot be applied to it.", cause)
  }
}

const decode = (bytes: Buffer): string => {
  try {
    return utf8.decode(bytes)
  } catch (cause) {
    throw unreadable("The server's answer is not valid UTF-8.", cause)
  }
}

/** Filters the messages of an event stream, holding one event at a time. */
export const filterEvents = (policy: ToolPolicy): BodyFilter => {
  const splitter = createEventSplitter(maxHeldBytes, tooLong)
  const filterEvent = (event: Buffer): Buffer => {
    const lines = eventLines(decode(event))
    const data = eventData(lines)
    if (data === undefined || data === "") return event
    const filtered = filterText(data, policy)
    return filtered === undefined ? event : Buffer.from(withData(lines, filtered))
  }
  return {
    push: (chunk) => {
      const events = splitter.push(chunk)
      return events.length === 0 ? nothing : Buffer.concat(events.map(filterEvent))
    },
    // an event that was not ended is not one: clients discard it too
    end: () => nothing,
  }
}

const quote = 34
const backslash = 92
const isOpen = (code: number): boolean => code === 123 || code === 91
const isClose = (code: number): boolean => code === 125 || code === 93
const isSpace = (code: number): boolean => code === 32 || code === 10 || code === 13 || code === 9

/** Cuts bytes after each complete JSON object or array: some servers answer with one message a line. */
const createValueSplitter = () => {
  let rest: Buffer = nothing
  let depth = 0
  let inString = false
  let escaped = false

  /** True if the byte ends a value. */
  const step = (code: number): boolean => {
    if (inString) {
      if (escaped) escaped = false
      else if (code === backslash) escaped = true
      else if (code === quote) inString = false
      return false
    }
    if (code === quote) inString = true
    else if (isOpen(code)) depth++
    else if (isClose(code) && depth > 0) return --depth === 0
    if (depth === 0 && !isSpace(code)) throw unreadable("The server's answer is not a JSON object.")
    return false
  }
  const push = (chunk: Buffer): readonly Buffer[] => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    const values: Buffer[] = []
    let start = 0
    for (let at = rest.length; at < bytes.length; at++) {
      if (!step(bytes[at] ?? 0)) continue
      values.push(bytes.subarray(start, at + 1))
      start = at + 1
    }
    rest = bytes.subarray(start)
    if (rest.length > maxHeldBytes) throw tooLong()
    return values
  }
  return { push, rest: () => rest, isInside: () => depth > 0 }
}

/** Filters the messages of a JSON body, holding one message at a time. */
export const filterJson = (policy: ToolPolicy): BodyFilter => {
  const splitter = createValueSplitter()
  const filterValue = (value: Buffer): Buffer => {
    const filtered = filterText(decode(value), policy)
    return filtered === undefined ? value : Buffer.from(filtered)
  }
  return {
    push: (chunk) => {
      const values = splitter.push(chunk)
      return values.length === 0 ? nothing : Buffer.concat(values.map(filterValue))
    },
    end: () => {
      if (splitter.isInside()) throw unreadable("The server's answer ended in the middle of a message.")
      return splitter.rest()
    },
  }
}
