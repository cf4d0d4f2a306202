import { createGrowingBuffer } from "../intake/bodies.ts"

/** Splits a stream of bytes after each complete JSON object or array: some servers answer with one message a line. */
export type ValueSplitter = {
  /** The values that this chunk completes, each with the blanks before it. */
  push(chunk: Buffer): readonly Buffer[]
  /** Returns and removes the bytes after the last value. */
  rest(): Buffer
  /** True in the middle of a value. */
  isInside(): boolean
}

/** The splitter's errors. */
type SplitErrors = {
  /** A value is longer than the limit. */
  readonly tooLong: () => Error
  /** There is something between values that is neither an object, nor an array, nor blank. */
  readonly noValue: () => Error
}

const quote = 34
const backslash = 92
const isOpen = (code: number): boolean => code === 123 || code === 91
const isClose = (code: number): boolean => code === 125 || code === 93
const isSpace = (code: number): boolean => code === 32 || code === 10 || code === 13 || code === 9

/** Returns for each byte whether it ends a value; throws `noValue` for a byte that belongs to none. */
const createStep = (noValue: () => Error) => {
  let depth = 0
  let inString = false
  let escaped = false
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
    if (depth === 0 && !isSpace(code)) throw noValue()
    return false
  }
  return { step, isInside: () => depth > 0 }
}

/** Creates a splitter of values of at most `limit` bytes. */
export const createValueSplitter = (limit: number, errors: SplitErrors): ValueSplitter => {
  const held = createGrowingBuffer()
  const { step, isInside } = createStep(errors.noValue)
  const taken = (piece: Buffer): Buffer => {
    if (held.length === 0) return piece
    held.add(piece)
    return held.take()
  }
  return {
    push: (chunk) => {
      const values: Buffer[] = []
      let start = 0
      for (let at = 0; at < chunk.length; at++) {
        if (!step(chunk[at] ?? 0)) continue
        values.push(taken(chunk.subarray(start, at + 1)))
        start = at + 1
      }
      const rest = chunk.subarray(start)
      if (held.length + rest.length > limit) throw errors.tooLong()
      if (rest.length > 0) held.add(rest)
      return values
    },
    rest: held.take,
    isInside,
  }
}
