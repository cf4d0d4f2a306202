import type { Readable } from "node:stream"
import { StringDecoder } from "node:string_decoder"
import type { LogQuery } from "../../ports/cluster.ts"
import { untilAborted } from "../../waiting/until-aborted.ts"

/** What a ring holds at most. */
type LogLimits = {
  /** Default 10,000. */
  readonly lines?: number
  /** UTF-8 bytes with line ends; default 1 MiB. */
  readonly bytes?: number
}

/** The newest lines that one run of a container wrote. */
export type LogRing = {
  /** Adds a line, without its line end; the oldest ones give way. `isPart`: it goes on with the next one. */
  add(line: string, isPart?: boolean): void
  /** Lines oldest first, each with its line end; `limitBytes` cuts at the end, as the API server does. */
  read(query?: Pick<LogQuery, "tailLines" | "limitBytes">): string
  /** {@link read}, then each line as it is added, until {@link end} or the signal. Lines that gave way are missed. */
  follow(query: Pick<LogQuery, "tailLines">, signal: AbortSignal | undefined): AsyncIterable<string>
  /** No more lines come. */
  end(): void
}

/**
 * Longest piece of a line without an end that is held back. The container runtime interface cuts there, too, and whoever
 * reads the log joins the pieces: a line end between them could stand in the middle of a secret, which nobody would know
 * for one.
 */
const longestLine = 16_384

/**
 * Units that are left out where a text begins in the middle of a line, whose beginning has given way: there may stand the
 * rest of a secret, escaped in whatever way, which nobody would know for one.
 */
const leftOut = 512

const size = (line: string): number => Buffer.byteLength(line)

/** The first `bytes` bytes of `text`, without half a character. */
const firstBytes = (text: string, bytes: number): string => {
  const whole = Buffer.from(text)
  if (whole.length <= bytes) return text
  return new StringDecoder("utf8").write(whole.subarray(0, bytes))
}

/** The last `bytes` bytes of `text`, without half a character. */
const lastBytes = (text: string, bytes: number): string => {
  const whole = Buffer.from(text)
  let start = Math.max(whole.length - bytes, 0)
  // bytes 10xxxxxx continue a character
  while (start < whole.length && ((whole[start] ?? 0) & 0xc0) === 0x80) start++
  return whole.subarray(start).toString()
}

/** Makes an empty ring. */
export const createLogRing = (limits: LogLimits = {}): LogRing => {
  const { lines: mostLines = 10_000, bytes: mostBytes = 1_048_576 } = limits
  let lines: string[] = []
  let first = 0
  let bytes = 0
  let dropped = 0
  let ended = false
  /** True if the oldest line is not whole, because its beginning has given way. */
  let isCut = false
  let change = Promise.withResolvers<void>()
  const tell = () => {
    change.resolve()
    change = Promise.withResolvers()
  }
  const isWhole = (at: number) => (at === first ? !isCut : (lines[at - 1] ?? "").endsWith("\n"))
  const join = (from: number) => {
    const text = lines.slice(from).join("")
    return from === lines.length || isWhole(from) ? text : text.slice(leftOut)
  }
  const dropOldest = () => {
    const oldest = lines[first] ?? ""
    isCut = !oldest.endsWith("\n")
    bytes -= size(oldest)
    first++
    if (first > mostLines) {
      lines = lines.slice(first)
      dropped += first
      first = 0
    }
  }
  return {
    add: (text, isPart = false) => {
      const line = isPart ? text : `${text}\n`
      lines.push(line)
      bytes += size(line)
      while (lines.length - first > mostLines || (bytes > mostBytes && lines.length - first > 1)) dropOldest()
      tell()
    },
    read: ({ tailLines, limitBytes } = {}) => {
      const start = tailLines === undefined ? first : Math.max(first, lines.length - tailLines)
      const text = join(start)
      return limitBytes === undefined ? text : firstBytes(text, limitBytes)
    },
    follow: async function* ({ tailLines }, signal) {
      const stopped = untilAborted(signal)
      let next = dropped + Math.max(first, lines.length - (tailLines ?? lines.length))
      let hasBegun = false
      while (signal?.aborted !== true) {
        const changed = change.promise
        const from = Math.max(first, next - dropped)
        const goesOn = hasBegun && from === next - dropped
        next = dropped + lines.length
        hasBegun = true
        if (from < lines.length) yield goesOn ? lines.slice(from).join("") : join(from)
        else if (ended) return
        else await Promise.race([changed, stopped])
      }
    },
    end: () => {
      ended = true
      tell()
    },
  }
}

/**
 * The words that the kubelet takes from the log as the message of a failed container: 80 lines, 2048 bytes. `hide` takes
 * out what must not be seen; it comes before the cut, so that no half of a secret is left.
 */
export const lastWords = async (ring: LogRing, hide: (text: string) => Promise<string>): Promise<string> =>
  lastBytes(await hide(ring.read({ tailLines: 80 })), 2048)

/** Writes the lines of a stream into a ring; the last one also without its end. */
export const captureLines = (stream: Readable, ring: LogRing): void => {
  const decoder = new StringDecoder("utf8")
  let rest = ""
  const take = (text: string) => {
    // what was held back is not looked through again: a line may come letter by letter
    const [first = "", ...others] = text.split("\n")
    const parts = [rest + first, ...others]
    rest = parts.pop() ?? ""
    for (const line of parts) ring.add(line.replace(/\r$/, ""))
    while (rest.length > longestLine) {
      ring.add(rest.slice(0, longestLine), true)
      rest = rest.slice(longestLine)
    }
  }
  stream.on("data", (chunk: Buffer) => take(decoder.write(chunk)))
  // a pipe that breaks has simply ended
  stream.on("error", () => {})
  stream.once("close", () => {
    take(decoder.end())
    if (rest !== "") ring.add(rest)
    rest = ""
  })
}
