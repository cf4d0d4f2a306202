import { AppError } from "../errors.ts"
import { createShares } from "./shares.ts"

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
 * Makes a budget of `limit` bytes, of which each owner gets a share; see shares.ts. `refused` hears of each refusal:
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
