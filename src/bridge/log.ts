import { StringDecoder } from "node:string_decoder"

/** The bridge's log: the container's stderr, one line at a time. */
export type BridgeLog = {
  /** Writes a line of the bridge itself. */
  note(text: string): void
  /** Writes a line about a child. */
  line(label: string, text: string): void
  /** Writes what a child writes, each line with its label. */
  stream(label: string): LogStream
}

/** What one child writes to its stderr, on its way to the log. */
type LogStream = {
  /** Takes the next bytes, however the pipe cut them. */
  write(chunk: Buffer): void
  /** Writes the last line if it has no end. */
  end(): void
}

/** Longest unfinished line that is held, in characters; it is then written in parts. */
const longestPart = 16_384

/** Creates the log. `write` gets whole lines. */
export const createBridgeLog = (write: (text: string) => void): BridgeLog => {
  const line = (label: string, text: string): void => write(`[${label}] ${text}\n`)
  return {
    note: (text) => write(`reflow-bridge: ${text}\n`),
    line,
    stream: (label) => {
      const decoder = new StringDecoder("utf8")
      let held: string[] = []
      let length = 0
      const take = (): string => {
        const text = held.join("")
        held = []
        length = 0
        return text
      }
      return {
        write: (chunk) => {
          const text = decoder.write(chunk)
          const end = text.lastIndexOf("\n")
          if (end >= 0) {
            const lines = (take() + text.slice(0, end)).split("\n")
            write(lines.map((each) => `[${label}] ${each}\n`).join(""))
          }
          const rest = text.slice(end + 1)
          held.push(rest)
          length += rest.length
          if (length >= longestPart) line(label, take())
        },
        end: () => {
          const rest = take() + decoder.end()
          if (rest !== "") line(label, rest)
        },
      }
    },
  }
}
