/** The last lines that a child wrote to its stderr, for the error that tells of its death. */
export type Tail = {
  /** Adds bytes as they came from the pipe. */
  add(chunk: Buffer): void
  /** All that is kept, without a line whose beginning was dropped. */
  read(): string
}

/** Most bytes that are kept of one child. */
const keptBytes = 64 * 1_024

/** Creates an empty tail. Adding takes constant time for each byte: what is kept is cut only once it has doubled. */
export const createTail = (): Tail => {
  let pieces: Buffer[] = []
  let bytes = 0
  let isCut = false
  const cut = (): void => {
    const whole = Buffer.concat(pieces)
    pieces = [Buffer.from(whole.subarray(Math.max(0, whole.length - keptBytes)))]
    isCut ||= whole.length > keptBytes
    bytes = pieces[0]?.length ?? 0
  }
  return {
    add: (chunk) => {
      // a piece of a few bytes would keep the whole block of memory that it was read into
      pieces.push(Buffer.from(chunk.subarray(Math.max(0, chunk.length - keptBytes))))
      isCut ||= chunk.length > keptBytes
      bytes += Math.min(chunk.length, keptBytes)
      if (bytes > 2 * keptBytes || pieces.length > 1_024) cut()
    },
    read: () => {
      cut()
      const text = pieces[0]?.toString() ?? ""
      if (!isCut) return text
      // a part of a value could not be recognized as a secret
      const end = text.indexOf("\n")
      return end < 0 ? "" : text.slice(end + 1)
    },
  }
}
