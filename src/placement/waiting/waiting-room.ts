import { AppError } from "../../errors.ts"
import { createShares, type Shares } from "../../intake/bodies.ts"
import type { ClockPort } from "../../ports/clock.ts"

/** Most requests that wait for one instance. */
export const maxWaitersPerInstance = 1_000

/** A request that waits for an instance. `Q` describes the request. */
export type Waiter<Q> = {
  /** Name of the instance. */
  readonly name: string
  readonly question: Q
  /** Ends the wait with success and gives its place back. After the first release or reject both have no effect. */
  release(): void
  /** Ends the wait with an error and gives its place back. */
  reject(error: unknown): void
}

/** One wait. */
type WaitRequest<Q> = {
  /** Name of the instance. */
  readonly name: string
  readonly question: Q
  /** Owner of the request; the places are divided among owners, see intake/bodies.ts. */
  readonly owner: string
  /** Longest wait in milliseconds. */
  readonly timeoutMs: number
  /** Makes the error for the end of that time. */
  readonly onTimeout: (question: Q) => unknown
  /** Aborted when the client disconnects: ends the wait. */
  readonly signal: AbortSignal
}

/** The waiting requests, by instance. */
export type WaitingRoom<Q> = {
  /**
   * Waits until the waiter is released. `onEntered` is called synchronously with the waiter.
   * @throws TooManyWaiting at once if there is no place left, or none for this owner; the error of `onTimeout`; the
   * signal's reason; the error of a reject
   */
  wait(request: WaitRequest<Q>, onEntered: (waiter: Waiter<Q>) => void): Promise<void>
  /** The waiters of an instance. */
  of(name: string): readonly Waiter<Q>[]
  /** True if requests wait for an instance. */
  has(name: string): boolean
  /** Number of all waiters. */
  readonly size: number
  /** Rejects all waiters. */
  close(error: unknown): void
}

const tooMany = (detail: string): AppError => new AppError("TooManyWaiting", { detail, retryAfterSeconds: 5 })

/** The waiters of one instance. */
type Room<Q> = { readonly waiters: Set<Waiter<Q>>; readonly places: Shares }

/**
 * Makes an empty waiting room for `maxWaiting` requests, of which at most {@link maxWaitersPerInstance} wait for one
 * instance. `onEmpty` is called with the name of each instance that lost its last waiter.
 */
export const createWaitingRoom = <Q>(
  clock: ClockPort,
  maxWaiting: number,
  onEmpty: (name: string) => void,
): WaitingRoom<Q> => {
  const rooms = new Map<string, Room<Q>>()
  const places = createShares(maxWaiting)

  /** Takes a place in the instance's room and on the replica. Throws TooManyWaiting, and then takes neither. */
  const enter = (name: string, owner: string): Room<Q> => {
    const room = rooms.get(name) ?? { waiters: new Set(), places: createShares(maxWaitersPerInstance) }
    if (!room.places.take(owner, 1)) throw tooMany("Too many requests, of you or of all, wait for this server.")
    if (!places.take(owner, 1)) {
      room.places.give(owner, 1)
      throw tooMany("Too many requests, of you or of all, wait for servers on this replica.")
    }
    rooms.set(name, room)
    return room
  }

  const leave = (room: Room<Q>, waiter: Waiter<Q>, owner: string): void => {
    room.waiters.delete(waiter)
    room.places.give(owner, 1)
    places.give(owner, 1)
    if (room.waiters.size > 0) return
    rooms.delete(waiter.name)
    onEmpty(waiter.name)
  }

  const wait = async (request: WaitRequest<Q>, onEntered: (waiter: Waiter<Q>) => void): Promise<void> => {
    const { name, question, owner, signal } = request
    signal.throwIfAborted()
    const room = enter(name, owner)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    let settled = false
    const settle = (finish: () => void): void => {
      if (settled) return
      settled = true
      cancel()
      signal.removeEventListener("abort", onAbort)
      leave(room, waiter, owner)
      finish()
    }
    const waiter: Waiter<Q> = {
      name,
      question,
      release: () => settle(resolve),
      reject: (error) => settle(() => reject(error)),
    }
    const onAbort = (): void => waiter.reject(signal.reason)
    const cancel = clock.timer(request.timeoutMs, () => waiter.reject(request.onTimeout(question)))
    signal.addEventListener("abort", onAbort, { once: true })
    room.waiters.add(waiter)
    onEntered(waiter)
    await promise
  }

  return {
    wait,
    of: (name) => [...(rooms.get(name)?.waiters ?? [])],
    has: (name) => rooms.has(name),
    get size() {
      return places.held
    },
    close: (error) => {
      for (const room of [...rooms.values()]) for (const waiter of [...room.waiters]) waiter.reject(error)
    },
  }
}
