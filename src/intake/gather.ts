/** Bytes to which pieces are added. Each is copied twice at most on average, however small the pieces are. */
type GrowingBuffer = {
  readonly length: number
  add(piece: Uint8Array): void
  /** All bytes, which are the caller's now; the buffer is empty again. */
  take(): Buffer
}

const smallest = 1_024
const nothing = Buffer.alloc(0)

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

/** Why no more of a body is taken in: it is too large, or its owner may hold no more bytes now. */
export type Overflow = "limit" | "share"

/** What a body may take. */
type GatherOptions = {
  /** Most bytes of the body. */
  readonly limit: number
  /** What Content-Length says; undefined if it says nothing. No byte is held on its word: only what came is. */
  readonly declared: number | undefined
  /** Takes bytes of the budget before they are held; false refuses them. Nothing is given back here. */
  readonly take: (bytes: number) => boolean
}

/** A body that comes in pieces. */
export type Gather = {
  /** Takes a piece in. Answers why not, if not; from then on nothing is held any more and the body cannot be had. */
  add(piece: Buffer): Overflow | undefined
  /** What came, as one buffer; holds nothing any more itself. Whoever holds the buffer holds what was taken. */
  whole(): Buffer
}

/** The value of a Content-Length header; undefined if there is none or it is no length. */
export const declaredLength = (header: string | null | undefined): number | undefined => {
  const length = Number(header ?? undefined)
  return Number.isSafeInteger(length) && length >= 0 ? length : undefined
}

/**
 * Gathers a body. The first piece is held as it came. With a second one they are copied into one buffer, whose room is
 * doubled whenever it is full: a byte is copied as it comes and, on the average, less than twice when the room grows. What a
 * body holds is less than twice what came of it, or 1 KiB, however small its pieces are.
 */
export const createGather = ({ limit, declared, take }: GatherOptions): Gather => {
  let held: Buffer = nothing
  let size = 0
  let overflow: Overflow | undefined

  /** Room for `needed` bytes, and for as many more as probably come. */
  const roomFor = (needed: number): number => {
    const most = declared === undefined || declared < needed ? limit : Math.min(declared, limit)
    return Math.max(needed, Math.min(Math.max(2 * held.length, smallest), most))
  }
  /** Copies all into one larger buffer; false if its owner may not hold that. */
  const grow = (needed: number): boolean => {
    const room = roomFor(needed)
    if (!take(room - held.length)) return false
    // from no pool: a pool would outlive the body, and nobody would have counted it
    const larger = Buffer.allocUnsafeSlow(room)
    held.copy(larger, 0, 0, size)
    held = larger
    return true
  }
  const keep = (piece: Buffer): Overflow | undefined => {
    const needed = size + piece.length
    if (needed > limit) return "limit"
    if (size === 0) {
      if (!take(piece.length)) return "share"
      held = piece
    } else {
      if (needed > held.length && !grow(needed)) return "share"
      piece.copy(held, size)
    }
    size = needed
    return undefined
  }
  const letGo = (): void => {
    held = nothing
    size = 0
  }
  return {
    add: (piece) => {
      overflow ??= keep(piece)
      if (overflow !== undefined) letGo()
      return overflow
    },
    whole: () => {
      const body = size === held.length ? held : held.subarray(0, size)
      letGo()
      return body
    },
  }
}
