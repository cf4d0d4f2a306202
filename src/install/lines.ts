import { StringDecoder } from "node:string_decoder"

/** Cuts a program's output into lines. */
export type LineCutter = {
  /** Takes the next bytes, however the pipe cut them. */
  push(chunk: Buffer): void
  /** Hands on what stands behind the last line end. */
  end(): void
}

/** Most characters of a line. */
export const longestLine = 8 * 1_024

/** What is handed on for a line that is too long: a part of it could end within a credential, which no mask would find. */
export const tooLong = `(a line of more than ${longestLine} characters was left out)`

/** Creates a cutter: `line` gets each line without its end; blank ones are left out. */
export const createLineCutter = (line: (text: string) => void): LineCutter => {
  const decoder = new StringDecoder("utf8")
  let held = ""
  let isTooLong = false
  const hold = (piece: string): void => {
    isTooLong ||= held.length + piece.length > longestLine
    held = isTooLong ? "" : held + piece
  }
  const finish = (): void => {
    if (isTooLong) line(tooLong)
    else if (held.trim() !== "") line(held.trimEnd())
    held = ""
    isTooLong = false
  }
  const take = (text: string): void => {
    let from = 0
    for (let end = text.indexOf("\n"); end !== -1; end = text.indexOf("\n", from)) {
      hold(text.slice(from, end))
      finish()
      from = end + 1
    }
    hold(text.slice(from))
  }
  return {
    push: (chunk) => take(decoder.write(chunk)),
    end: () => {
      take(decoder.end())
      finish()
    },
  }
}
