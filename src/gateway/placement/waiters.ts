import { AppError } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"

/** Most requests that wait for one instance. */
export const maxWaitersPerInstance = 1_000

/** How many may wait, and with how much. */
export type WaitLimits = {
  /** Most waiters of this replica. */
  readonly maxWaiting: number
  /** Most bytes of request bodies that they hold together. */
  readonly maxHeld: number
}

/** Somebody who waits for an instance. `Q` is what they wait for. */
export type Waiter<Q> = {
  readonly name: string
  readonly question: Q
  /** Lets the waiter go on. Once settled, a waiter is out of the room; settling twice is harmless. */
  release(): void
  reject(error: unknown): void
}

/** One wait. */
export type WaitRequest<Q> = {
  /** Name of the instance. */
  readonly name: string
  readonly question: Q
  readonly heldBytes: number
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
   * @throws TooManyWaiting at once if a bound is reached; what `onTimeout` says; the signal's reason
   */
  wait(request: WaitRequest<Q>, onEntered: (waiter: Waiter<Q>) => void): Promise<void>
  /** Those who wait for an instance now. */
  of(name: string): readonly Waiter<Q>[]
  has(name: string): boolean
  readonly size: number
  /** Bytes of request bodies that those who wait hold. */
  readonly heldBytes: number
  /** Rejects everyone. */
  close(error: unknown): void
}

const tooMany = (detail: string): AppError => new AppError("TooManyWaiting", { detail, retryAfterSeconds: 5 })

/** Makes an empty waiting room. `onEmpty` is told of each instance that lost its last waiter. */
export const createWaitingRoom = <Q>(
  clock: ClockPort,
  limits: WaitLimits,
  onEmpty: (name: string) => void,
): WaitingRoom<Q> => {
  const rooms = new Map<string, Set<Waiter<Q>>>()
  let waiting = 0
  let held = 0

  const ensureRoom = ({ name, heldBytes }: WaitRequest<Q>): void => {
    if ((rooms.get(name)?.size ?? 0) >= maxWaitersPerInstance) throw tooMany("Too many requests wait for this server.")
    if (waiting >= limits.maxWaiting) throw tooMany("Too many requests wait for servers on this replica.")
    if (held + heldBytes > limits.maxHeld) throw tooMany("Waiting requests hold too many bytes on this replica.")
  }

  const enter = (waiter: Waiter<Q>, bytes: number): void => {
    const room = rooms.get(waiter.name) ?? new Set()
    rooms.set(waiter.name, room.add(waiter))
    waiting++
    held += bytes
  }

  const leave = (waiter: Waiter<Q>, bytes: number): void => {
    const room = rooms.get(waiter.name)
    room?.delete(waiter)
    waiting--
    held -= bytes
    if (room?.size !== 0) return
    rooms.delete(waiter.name)
    onEmpty(waiter.name)
  }

  const wait = async (request: WaitRequest<Q>, onEntered: (waiter: Waiter<Q>) => void): Promise<void> => {
    const { name, question, heldBytes, signal } = request
    signal.throwIfAborted()
    ensureRoom(request)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    let settled = false
    const settle = (finish: () => void): void => {
      if (settled) return
      settled = true
      cancel()
      signal.removeEventListener("abort", onAbort)
      leave(waiter, heldBytes)
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
    enter(waiter, heldBytes)
    onEntered(waiter)
    await promise
  }

  return {
    wait,
    of: (name) => [...(rooms.get(name) ?? [])],
    has: (name) => rooms.has(name),
    get size() {
      return waiting
    },
    get heldBytes() {
      return held
    },
    close: (error) => {
      for (const room of [...rooms.values()]) for (const waiter of [...room]) waiter.reject(error)
    },
  }
}
