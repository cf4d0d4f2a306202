/** Bytes to which pieces are added. Each is copied twice at most on average, however small the pieces are. */
export type GrowingBuffer = {
  readonly length: number
  add(piece: Uint8Array): void
  /** All bytes, which are the caller's now; the buffer is empty again. */
  take(): Buffer
}

export const smallest = 1_024
export const nothing = Buffer.alloc(0)

/**
 * Makes an empty buffer. It takes the memory of its bytes at most twice; a list of the pieces instead costs some 200 bytes
 * for each piece, and joining them anew at each one is quadratic. Whoever adds to it bounds it.
 */
export const createGrowingBuffer = (): GrowingBuffer => {
  let bytes = nothing
  let length = 0
  return {
    get length() {
      return length
    },
    add: (piece) => {
      const needed = length + piece.length
      if (needed > bytes.length) {
        const larger = Buffer.allocUnsafeSlow(Math.max(smallest, needed, 2 * bytes.length))
        larger.set(bytes.subarray(0, length))
        bytes = larger
      }
      bytes.set(piece, length)
      length = needed
    },
    take: () => {
      const taken = bytes.subarray(0, length)
      bytes = nothing
      length = 0
      return taken
    },
  }
}
