import { AppError } from "../errors.ts"

/** How much of something that has a limit is held by whom. Units are the caller's: bytes, requests. */
export type Shares = {
  /**
   * Takes `amount` more for an owner, a whole number of units, or nothing at all: false if that would be more than the
   * owner's share. Each unit is let in while the owner held before it at most a third of what is free after it. So an owner
   * alone gets a quarter of the limit, each of `k` who want all they can get `limit / (3 + k)`, and whoever holds nothing
   * yet gets at least one unit as long as one is free.
   */
  take(owner: string, amount: number): boolean
  /** Gives back what was taken; never more than that. An owner who holds nothing is forgotten. */
  give(owner: string, amount: number): void
  /** True if somebody who holds nothing would get so much now. */
  fits(amount: number): boolean
  /** What all hold together, at most {@link limit}. */
  readonly held: number
  readonly limit: number
  /** How many hold something. */
  readonly owners: number
}

/** How much must stay free for each unit that an owner holds: 3 leaves a quarter to one who is alone. */
const spare = 3

/**
 * Shares out a limit by what is free at the moment (dynamic thresholds: Choudhury and Hahne, «Dynamic Queue Length
 * Thresholds for Shared-Memory Packet Switches», 1998): no list of those who might come is needed, and a part always stays
 * free for whoever comes next.
 */
export const createShares = (limit: number): Shares => {
  const holdings = new Map<string, number>()
  let held = 0
  /** True if an owner who would hold `own` after a take of `amount` may. */
  const mayHold = (own: number, amount: number): boolean => spare * (own - 1) <= limit - held - amount
  return {
    take: (owner, amount) => {
      if (amount <= 0) return true
      const own = (holdings.get(owner) ?? 0) + amount
      if (!mayHold(own, amount)) return false
      holdings.set(owner, own)
      held += amount
      return true
    },
    give: (owner, amount) => {
      const own = holdings.get(owner) ?? 0
      const given = Math.min(Math.max(amount, 0), own)
      held -= given
      if (given === own) holdings.delete(owner)
      else holdings.set(owner, own - given)
    },
    fits: (amount) => mayHold(amount, amount),
    get held() {
      return held
    },
    limit,
    get owners() {
      return holdings.size
    },
  }
}

/** Seconds after which a body that found no room may come again. */
const retrySeconds = 5

/**
 * The refusal of a body that finds no room in the budget. The connection ends with it: what still comes on it is read by
 * nobody.
 */
export const bodiesTooLarge = (): AppError =>
  new AppError("BodiesTooLarge", {
    detail: "The bodies of your requests, or of all, fill this replica's memory for them.",
    retryAfterSeconds: retrySeconds,
    headers: { connection: "close" },
  })

/** What one request holds of a budget. */
export type Holding = {
  /** Takes so many bytes more for the request's owner, always the same one; false: too many, or the request is over. */
  take(owner: string, bytes: number): boolean
  /** Gives back everything that was taken, once and for all. Ending twice is harmless. */
  end(): void
}

/** The bytes of all request bodies of a replica: counted while they are read, until nobody needs them any more. */
export type Budget = {
  /**
   * Begins to count for one request. Whoever opens ends, in a `finally` around all that the request does: nothing else
   * gives bytes back, so that no way out of a request can forget it.
   */
  open(): Holding
  /** Bytes that all requests hold. */
  readonly held: number
  readonly limit: number
}

/**
 * Makes a budget of `limit` bytes, of which each owner gets a share. `refused` hears of each refusal:
 * because the owner holds too much, or because somebody new would not get the bytes either.
 */
export const createBudget = (limit: number, refused: (by: "owner" | "replica") => void = () => {}): Budget => {
  const shares = createShares(limit)

  const open = (): Holding => {
    let of: string | undefined
    let amount = 0
    let isOver = false
    return {
      take: (owner, bytes) => {
        if (isOver) return false
        of ??= owner
        if (!shares.take(of, bytes)) {
          refused(shares.fits(bytes) ? "owner" : "replica")
          return false
        }
        amount += bytes
        return true
      },
      end: () => {
        isOver = true
        if (of === undefined || amount === 0) return
        shares.give(of, amount)
        amount = 0
      },
    }
  }
  return {
    open,
    get held() {
      return shares.held
    },
    limit,
  }
}

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
