import type { Readable } from "node:stream"
import { StringDecoder } from "node:string_decoder"
import type { LogQuery } from "../../ports/cluster.ts"
import { untilAborted } from "../../waiting/until-aborted.ts"

/** Limits of a ring. */
type LogLimits = {
  /** Most lines; default 10,000. */
  readonly lines?: number
  /** Most UTF-8 bytes with line ends; default 1 MiB. */
  readonly bytes?: number
}

/** The newest lines that one run of a container wrote. */
export type LogRing = {
  /**
   * Adds a line, given without its line end; beyond the limits the oldest lines are dropped. `isPart`: the line
   * continues.
   */
  add(line: string, isPart?: boolean): void
  /** The lines, oldest first, each with its line end. `limitBytes` keeps the beginning, as on the API server. */
  read(query?: Pick<LogQuery, "tailLines" | "limitBytes">): string
  /**
   * {@link read}, then each line when it is added, until {@link end} or the signal. Lines dropped meanwhile are
   * missing.
   */
  follow(query: Pick<LogQuery, "tailLines">, signal: AbortSignal | undefined): AsyncIterable<string>
  /** No more lines come. */
  end(): void
}

/**
 * Most UTF-16 code units of an unfinished line that are buffered; then a part is added without a line end. The
 * container runtime interface splits lines at the same length. Reading joins the parts again: a line end inside a
 * secret would prevent the secret from being found and masked.
 */
const longestLine = 16_384

/**
 * UTF-16 code units that are left out if a text begins in the middle of a line whose beginning was dropped. They may be
 * the rest of a secret, in any escaping, which could not be found and masked.
 */
const leftOut = 512

const size = (line: string): number => Buffer.byteLength(line)

/** The first `bytes` bytes of `text`, without half a character. */
const firstBytes = (text: string, bytes: number): string => {
  const whole = Buffer.from(text)
  if (whole.length <= bytes) return text
  return new StringDecoder("utf8").write(whole.subarray(0, bytes))
}

/** Makes an empty ring. */
export const createLogRing = (limits: LogLimits = {}): LogRing => {
  const { lines: mostLines = 10_000, bytes: mostBytes = 1_048_576 } = limits
  let lines: string[] = []
  let first = 0
  let bytes = 0
  let dropped = 0
  let ended = false
  /** True if the beginning of the oldest line was dropped. */
  let isCut = false
  let change = Promise.withResolvers<void>()
  const notify = () => {
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
      notify()
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
      notify()
    },
  }
}

/** Writes the lines of a stream into a ring; at the end of the stream also a last line without its line end. */
export const captureLines = (stream: Readable, ring: LogRing): void => {
  const decoder = new StringDecoder("utf8")
  let rest = ""
  const take = (text: string) => {
    // only the new text is searched for line ends: a line may arrive character by character
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
  // a broken pipe is followed by "close"
  stream.on("error", () => {})
  stream.once("close", () => {
    take(decoder.end())
    if (rest !== "") ring.add(rest)
    rest = ""
  })
}
