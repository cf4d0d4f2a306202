import { AppError } from "../../errors.ts"
import { createShares, type Shares } from "../../intake/bodies.ts"
import type { ClockPort } from "../../ports/clock.ts"

/** Most requests that wait for one instance. */
export const maxWaitersPerInstance = 1_000

/** Somebody who waits for an instance. `Q` is what they wait for. */
export type Waiter<Q> = {
  readonly name: string
  readonly question: Q
  /** Lets the waiter go on. Once settled, a waiter is out of the room; settling twice is harmless. */
  release(): void
  reject(error: unknown): void
}

/** One wait. */
type WaitRequest<Q> = {
  /** Name of the instance. */
  readonly name: string
  readonly question: Q
  /** Whose request it is: each gets a share of the places; see intake/bodies.ts. */
  readonly owner: string
  /** Longest wait in milliseconds. */
  readonly timeoutMs: number
  /** The error at the end of that time. */
  readonly onTimeout: (question: Q) => unknown
  /** Ends the wait with its client. */
  readonly signal: AbortSignal
}

/** Those who wait, by instance. */
export type WaitingRoom<Q> = {
  /**
   * Waits until released. `onEntered` is called with the waiter before anything is awaited.
   * @throws TooManyWaiting at once if nobody more may wait, or the owner no more; what `onTimeout` says; the signal's reason
   */
  wait(request: WaitRequest<Q>, onEntered: (waiter: Waiter<Q>) => void): Promise<void>
  /** Those who wait for an instance now. */
  of(name: string): readonly Waiter<Q>[]
  has(name: string): boolean
  readonly size: number
  /** Rejects everyone. */
  close(error: unknown): void
}

const tooMany = (detail: string): AppError => new AppError("TooManyWaiting", { detail, retryAfterSeconds: 5 })

/** Those who wait for one instance. */
type Room<Q> = { readonly waiters: Set<Waiter<Q>>; readonly places: Shares }

/**
 * Makes an empty waiting room for `maxWaiting` requests, of which at most {@link maxWaitersPerInstance} wait for one
 * instance. `onEmpty` is told of each instance that lost its last waiter.
 */
export const createWaitingRoom = <Q>(
  clock: ClockPort,
  maxWaiting: number,
  onEmpty: (name: string) => void,
): WaitingRoom<Q> => {
  const rooms = new Map<string, Room<Q>>()
  const places = createShares(maxWaiting)

  /** Takes a place in the instance's room and on the replica, or none. */
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
