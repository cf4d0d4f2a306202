import { AppError } from "../errors.ts"

/** Shares of something that has a limit, by owner. The caller chooses the unit: bytes, requests. */
export type Shares = {
  /**
   * Takes `amount` more units (a whole number) for an owner, all or none: false if that would exceed the owner's share.
   * Each unit is granted while the owner held before it at most a third of what is free after it. So a single owner
   * gets a quarter of the limit. Of `k` owners who take all they can get, each gets `limit / (3 + k)`. An owner who
   * holds nothing gets at least one unit as long as one is free.
   */
  take(owner: string, amount: number): boolean
  /** Gives back what was taken, at most what the owner holds. An owner who holds nothing is forgotten. */
  give(owner: string, amount: number): void
  /** True if an owner who holds nothing would get `amount` now. */
  fits(amount: number): boolean
  /** What all owners hold together, at most {@link limit}. */
  readonly held: number
  readonly limit: number
  /** How many owners hold something. */
  readonly owners: number
}

/** How much must stay free for each unit that an owner holds: 3 leaves a quarter of the limit to a single owner. */
const spare = 3

/**
 * Shares a limit by what is free at the moment (dynamic thresholds: Choudhury and Hahne, «Dynamic Queue Length
 * Thresholds for Shared-Memory Packet Switches», 1998). It needs no list of possible owners, and a part always stays
 * free for the next owner.
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

/** Retry-After of a body that does not fit into the budget, seconds. */
const retrySeconds = 5

/**
 * The error for a body that does not fit into the budget. The connection ends with it, because the rest of the body has
 * no use.
 */
export const bodiesTooLarge = (): AppError =>
  new AppError("BodiesTooLarge", {
    detail: "The bodies of your requests, or of all requests, fill this replica's memory for bodies.",
    retryAfterSeconds: retrySeconds,
    headers: { connection: "close" },
  })

/** What one request holds of a budget. */
export type Holding = {
  /**
   * Takes `bytes` more for the request's owner, always the same one; false if they do not fit, or if the holding has
   * ended.
   */
  take(owner: string, bytes: number): boolean
  /** Gives back everything that was taken; afterwards nothing can be taken. Ending twice is harmless. */
  end(): void
}

/** The bytes of all request bodies of a replica, counted from their reading until their request ends. */
export type Budget = {
  /**
   * Begins to count for one request. The caller must call `end` in a `finally` around the whole request, because
   * nothing else gives bytes back.
   */
  open(): Holding
  /** Bytes that all requests hold. */
  readonly held: number
  readonly limit: number
}

/**
 * Creates a budget of `limit` bytes, of which each owner gets a share. `refused` is called for each refusal: with
 * `owner` if the owner holds too much, with `replica` if a new owner would not get the bytes either.
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

/** Bytes to which pieces are appended. Each byte is copied at most twice on average, however small the pieces are. */
export type GrowingBuffer = {
  readonly length: number
  add(piece: Uint8Array): void
  /** Returns all bytes, not copied, and empties the buffer. */
  take(): Buffer
}

const smallest = 1_024
const nothing = Buffer.alloc(0)

/**
 * Creates an empty buffer. It takes the memory of its bytes at most twice; a list of the pieces instead costs some 200
 * bytes for each piece, and joining all of them after each one is quadratic. The caller must bound the size.
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

/**
 * Why a piece of a body was refused: `limit` = the body is too large, `share` = its owner may hold no more bytes now.
 */
export type Overflow = "limit" | "share"

/** The bounds of a body. */
type GatherOptions = {
  /** Most bytes of the body. */
  readonly limit: number
  /**
   * The value of Content-Length; undefined if there is none. It reserves nothing: memory is held only for bytes that
   * have arrived.
   */
  readonly declared: number | undefined
  /** Reserves bytes of the budget before they are held; false refuses them. Nothing is given back here. */
  readonly take: (bytes: number) => boolean
}

/** A body that comes in pieces. */
export type Gather = {
  /**
   * Appends a piece. Returns why the piece was refused, else undefined. After a refusal nothing is held, and every
   * further piece is refused.
   */
  add(piece: Buffer): Overflow | undefined
  /**
   * Returns what arrived as one buffer, and releases it here. The bytes that were taken still count, for the returned
   * buffer.
   */
  whole(): Buffer
}

/** The value of a Content-Length header; undefined if there is none or it is no length. */
export const declaredLength = (header: string | null | undefined): number | undefined => {
  const length = Number(header ?? undefined)
  return Number.isSafeInteger(length) && length >= 0 ? length : undefined
}

/**
 * Gathers a body. The first piece is held without a copy. With a second one both are copied into one buffer, whose size
 * is doubled whenever it is full: a byte is copied when it arrives and, on average, less than twice when the buffer
 * grows. A body holds less than twice the bytes that arrived, or 1 KiB, however small its pieces are.
 */
export const createGather = (options: GatherOptions): Gather => new PieceByPiece(options)

/** A class, because a body of one piece needs few of these functions: as closures they were 0.7 KB of each request. */
class PieceByPiece implements Gather {
  readonly #options: GatherOptions
  #held: Buffer = nothing
  #size = 0
  #overflow: Overflow | undefined

  constructor(options: GatherOptions) {
    this.#options = options
  }

  add(piece: Buffer): Overflow | undefined {
    this.#overflow ??= this.#keep(piece)
    if (this.#overflow !== undefined) this.#letGo()
    return this.#overflow
  }

  whole(): Buffer {
    const body = this.#size === this.#held.length ? this.#held : this.#held.subarray(0, this.#size)
    this.#letGo()
    return body
  }

  /**
   * The size of a new buffer for `needed` bytes: doubled for the bytes that follow, within the limit and
   * Content-Length.
   */
  #roomFor(needed: number): number {
    const { declared, limit } = this.#options
    const most = declared === undefined || declared < needed ? limit : Math.min(declared, limit)
    return Math.max(needed, Math.min(Math.max(2 * this.#held.length, smallest), most))
  }

  /** Copies all into one larger buffer; false if its owner may not hold that. */
  #grow(needed: number): boolean {
    const room = this.#roomFor(needed)
    if (!this.#options.take(room - this.#held.length)) return false
    // not from Node's pool, which would outlive the body and is not counted
    const larger = Buffer.allocUnsafeSlow(room)
    this.#held.copy(larger, 0, 0, this.#size)
    this.#held = larger
    return true
  }

  #keep(piece: Buffer): Overflow | undefined {
    const needed = this.#size + piece.length
    if (needed > this.#options.limit) return "limit"
    if (this.#size === 0) {
      if (!this.#options.take(piece.length)) return "share"
      this.#held = piece
    } else {
      if (needed > this.#held.length && !this.#grow(needed)) return "share"
      piece.copy(this.#held, this.#size)
    }
    this.#size = needed
    return undefined
  }

  #letGo(): void {
    this.#held = nothing
    this.#size = 0
  }
}
