const lineFeed = 10
const carriageReturn = 13

/** Splits a stream of bytes into events, each with the blank line that ends it (WHATWG HTML, server-sent events). */
export type EventSplitter = {
  /** The events that this chunk completes. */
  push(chunk: Buffer): readonly Buffer[]
  /** What came after the last complete event. */
  readonly rest: Buffer
}

/** Makes a splitter; throws what `tooLong` makes when one event is longer than `limit` bytes. */
export const createEventSplitter = (limit: number, tooLong: () => Error): EventSplitter => {
  let rest: Buffer = Buffer.alloc(0)
  let atLineStart = true
  let afterReturn = false

  const push = (chunk: Buffer): readonly Buffer[] => {
    const events: Buffer[] = []
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    let start = 0
    for (let at = rest.length; at < bytes.length; at++) {
      const code = bytes[at]
      const secondHalf = code === lineFeed && afterReturn
      afterReturn = code === carriageReturn
      if (secondHalf) continue
      const endsLine = code === lineFeed || code === carriageReturn
      if (endsLine && atLineStart) {
        const end = code === carriageReturn && bytes[at + 1] === lineFeed ? at + 2 : at + 1
        events.push(bytes.subarray(start, end))
        start = end
        if (end === at + 2) {
          at++
          afterReturn = false
        }
      }
      atLineStart = endsLine
    }
    rest = bytes.subarray(start)
    if (rest.length > limit || events.some((event) => event.length > limit)) throw tooLong()
    return events
  }
  return {
    push,
    get rest() {
      return rest
    },
  }
}

/** The data of an event's text; undefined if it has none (a comment, a bare id). */
export const eventData = (lines: readonly string[]): string | undefined => {
  const data = lines.flatMap((line) => (isData(line) ? [line.slice(5).replace(/^ /, "")] : []))
  return data.length === 0 ? undefined : data.join("\n")
}

const isData = (line: string): boolean => line === "data" || line.startsWith("data:")

/** The lines of an event, without line ends and without the blank one at its end. */
export const eventLines = (text: string): readonly string[] => text.split(/\r\n|\r|\n/).filter((line) => line !== "")

/** The event with other data, its other fields kept. */
export const withData = (lines: readonly string[], data: string): string => {
  const others = lines.filter((line) => !isData(line))
  return `${[...others, ...data.split("\n").map((line) => `data: ${line}`)].join("\n")}\n\n`
}

/** True if a stream whose last bytes are these is between two events, so that a comment can go in. */
export const endsBetweenEvents = (tail: string): boolean =>
  tail === "" || tail.endsWith("\n\n") || tail.endsWith("\n\r\n") || tail.endsWith("\r\r")

/** True if a line of `chunk` gives an event its id; `tail` is the last four bytes that came before. */
export const hasEventId = (tail: string, chunk: Buffer): boolean => {
  if (chunk.includes("\nid:")) return true
  const seam = tail + chunk.toString("latin1", 0, 4)
  return seam.includes("\nid:") || (tail === "" && seam.startsWith("id:"))
}
