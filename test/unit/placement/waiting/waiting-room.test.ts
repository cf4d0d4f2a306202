import { getEventListeners } from "node:events"
import { describe, expect, test } from "vitest"
import { configSchema } from "../../../../src/config/schema.ts"
import {
  createWaitingRoom,
  maxWaitersPerInstance,
  type Waiter,
} from "../../../../src/placement/waiting/waiting-room.ts"
import { fakeClock } from "../../../support/fake-clock.ts"

const setUp = (maxWaiting = 10_000) => {
  const clock = fakeClock()
  const emptied: string[] = []
  const room = createWaitingRoom<string>(clock, maxWaiting, (name) => emptied.push(name))
  const entered: Waiter<string>[] = []
  let strangers = 0
  /** Waits, as somebody who has not come before unless `owner` says who. */
  const wait = (name: string, more: { owner?: string; signal?: AbortSignal } = {}) =>
    room.wait(
      {
        name,
        question: name,
        owner: more.owner ?? `stranger ${strangers++}`,
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
    const { max_waiting: maxWaiting } = configSchema.parse({}).gateway
    expect(maxWaiting).toBe(10_000)
    const { room, wait } = setUp(maxWaiting)
    const all = Array.from({ length: 10_000 }, (_, index) => wait(`i${index % 10}`))
    expect(await code(wait("another"))).toBe("TooManyWaiting")
    expect(room.size).toBe(10_000)
    room.close(new Error("over"))
    await Promise.allSettled(all)
    expect(room.size).toBe(0)
  })

  test("one caller gets a quarter of an instance's places, and others still find some", async () => {
    const { room, wait } = setUp()
    const all = Array.from({ length: maxWaitersPerInstance / 4 }, () => wait("a", { owner: "greedy" }))
    expect(await code(wait("a", { owner: "greedy" }))).toBe("TooManyWaiting")
    const others = Array.from({ length: 100 }, () => wait("a", { owner: "another" }))
    expect(room.size).toBe(350)
    room.close(new Error("over"))
    await Promise.allSettled([...all, ...others])
  })

  test("one caller gets a quarter of the replica's places, over however many instances, and others still find some", async () => {
    const { room, wait } = setUp(1_000)
    const all = Array.from({ length: 250 }, (_, index) => wait(`i${index % 10}`, { owner: "greedy" }))
    expect(await code(wait("i10", { owner: "greedy" }))).toBe("TooManyWaiting")
    expect(room.has("i10")).toBe(false)
    const other = wait("i0", { owner: "another" })
    expect(room.size).toBe(251)
    room.close(new Error("over"))
    await Promise.allSettled([...all, other])
  })

  test("who stops waiting, in whatever way, leaves his place to his next request", async () => {
    const { clock, room, entered, wait } = setUp(8)
    const owner = "alice"
    const left = new AbortController()
    const first = wait("a", { owner, signal: left.signal })
    const second = wait("b", { owner })
    expect(await code(wait("c", { owner }))).toBe("TooManyWaiting")
    left.abort()
    entered[1]?.release()
    await Promise.allSettled([first, second])
    const third = wait("c", { owner })
    const fourth = wait("c", { owner })
    const ended = Promise.allSettled([third, fourth])
    await clock.advance(45_000)
    await ended
    expect(room.size).toBe(0)
    const more = [wait("a", { owner }), wait("b", { owner })]
    expect(room.size).toBe(2)
    room.close(new Error("over"))
    await Promise.allSettled(more)
  })

  test("a replica with room for one request lets one wait", async () => {
    const { entered, wait } = setUp(1)
    const first = wait("a")
    expect(await code(wait("b"))).toBe("TooManyWaiting")
    entered[0]?.release()
    await first
  })
})
