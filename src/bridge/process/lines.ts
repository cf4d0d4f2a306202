import { createHeldPieces } from "../../intake/held-pieces.ts"

const lineFeed = 10
const carriageReturn = 13

/** What a splitter does with what it finds. */
type LineHandlers = {
  /** Gets each complete line without its end; blank lines are left out. */
  readonly line: (line: Buffer) => void
  /** Called once for each line that is longer than the limit; the line itself is dropped. */
  readonly tooLong: () => void
}

/** Cuts a stream of bytes into lines. */
export type LineSplitter = {
  /** Takes the next bytes, however the pipe cut them. */
  push(chunk: Buffer): void
}

/**
 * Creates a splitter for lines of at most `limit` bytes. Each byte is looked at once and copied at most twice, and a
 * line that is too long takes no memory beyond the limit.
 */
export const createLineSplitter = (limit: number, { line, tooLong }: LineHandlers): LineSplitter => {
  const held = createHeldPieces()
  let isDropping = false
  const emit = (whole: Buffer): void => {
    const end = whole[whole.length - 1] === carriageReturn ? whole.length - 1 : whole.length
    if (end > 0) line(whole.subarray(0, end))
  }
  const hold = (piece: Buffer): void => {
    if (isDropping || piece.length === 0) return
    if (held.length + piece.length > limit) {
      held.clear()
      isDropping = true
      tooLong()
    } else held.add(piece)
  }
  /** Ends the line whose last piece this is. */
  const finish = (piece: Buffer): void => {
    if (!isDropping && held.length === 0 && piece.length <= limit) return void emit(piece)
    hold(piece)
    if (!isDropping) emit(held.take())
    isDropping = false
  }
  return {
    push: (chunk) => {
      let from = 0
      for (let end = chunk.indexOf(lineFeed); end !== -1; end = chunk.indexOf(lineFeed, from)) {
        finish(chunk.subarray(from, end))
        from = end + 1
      }
      hold(chunk.subarray(from))
    },
  }
}
