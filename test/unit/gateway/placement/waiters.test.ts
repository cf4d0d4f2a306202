import { getEventListeners } from "node:events"
import { describe, expect, test } from "vitest"
import { configSchema } from "../../../../src/config/schema.ts"
import { createWaitingRoom, maxWaitersPerInstance, type Waiter } from "../../../../src/gateway/placement/waiters.ts"
import { fakeClock } from "../../../support/fake-clock.ts"

const setUp = (limits = { maxWaiting: 10_000, maxHeld: 1_000_000 }) => {
  const clock = fakeClock()
  const emptied: string[] = []
  const room = createWaitingRoom<string>(clock, limits, (name) => emptied.push(name))
  const entered: Waiter<string>[] = []
  const wait = (name: string, more: { bytes?: number; signal?: AbortSignal } = {}) =>
    room.wait(
      {
        name,
        question: name,
        heldBytes: more.bytes ?? 0,
        timeoutMs: 45_000,
        onTimeout: (question) => new Error(`${question} took too long`),
        signal: more.signal ?? new AbortController().signal,
      },
      (waiter) => entered.push(waiter),
    )
  return { clock, emptied, room, entered, wait }
}

const code = (promise: Promise<unknown>) =>
  promise.then(
    () => "none",
    (error: { code?: string }) => error.code,
  )

describe("the waiting room", () => {
  test("a released waiter goes on and leaves nothing behind", async () => {
    const { clock, room, entered, wait, emptied } = setUp()
    const { signal } = new AbortController()
    const waiting = wait("a", { signal })
    expect(room.has("a")).toBe(true)
    entered[0]?.release()
    entered[0]?.reject(new Error("late"))
    await waiting
    expect(room.size).toBe(0)
    expect(emptied).toEqual(["a"])
    expect(getEventListeners(signal, "abort")).toHaveLength(0)
    expect(clock.pending).toBe(0)
  })

  test("a waiter ends with its client", async () => {
    const { clock, room, wait } = setUp()
    const client = new AbortController()
    const waiting = wait("a", { signal: client.signal })
    client.abort()
    await expect(waiting).rejects.toMatchObject({ name: "AbortError" })
    expect(room.size).toBe(0)
    expect(clock.pending).toBe(0)
  })

  test("a waiter ends at the end of the hold", async () => {
    const { clock, wait } = setUp()
    const waiting = wait("a")
    const ended = expect(waiting).rejects.toThrow("a took too long")
    await clock.advance(45_000)
    await ended
  })

  test("one instance has at most 1,000 waiters; another one still has room", async () => {
    const { room, wait } = setUp()
    const all = Array.from({ length: maxWaitersPerInstance }, () => wait("a"))
    expect(await code(wait("a"))).toBe("TooManyWaiting")
    const other = wait("b")
    room.close(new Error("over"))
    expect(await Promise.allSettled([...all, other])).toHaveLength(maxWaitersPerInstance + 1)
    expect(room.size).toBe(0)
  })

  test("10,000 wait on one replica, over all instances, as configured by default", async () => {
    const { max_waiting: maxWaiting, max_held: maxHeld } = configSchema.parse({}).gateway
    expect([maxWaiting, maxHeld]).toEqual([10_000, 256 * 2 ** 20])
    const { room, wait } = setUp({ maxWaiting, maxHeld })
    const all = Array.from({ length: 10_000 }, (_, index) => wait(`i${index % 10}`, { bytes: 100 }))
    expect(await code(wait("another"))).toBe("TooManyWaiting")
    expect([room.size, room.heldBytes]).toEqual([10_000, 1_000_000])
    room.close(new Error("over"))
    await Promise.allSettled(all)
    expect([room.size, room.heldBytes]).toEqual([0, 0])
  })

  test("a replica bounds its waiters and the bytes that they hold", async () => {
    const { entered, wait } = setUp({ maxWaiting: 2, maxHeld: 100 })
    const first = wait("a", { bytes: 80 })
    expect(await code(wait("b", { bytes: 21 }))).toBe("TooManyWaiting")
    const second = wait("b", { bytes: 20 })
    expect(await code(wait("c"))).toBe("TooManyWaiting")
    for (const waiter of entered) waiter.release()
    await Promise.all([first, second])
    const third = wait("c", { bytes: 100 })
    entered.at(-1)?.release()
    await third
  })
})
