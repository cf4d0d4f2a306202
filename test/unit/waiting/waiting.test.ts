import { describe, expect, test } from "vitest"
import { backoffMs } from "../../../src/waiting/backoff.ts"
import { createSingleFlight } from "../../../src/waiting/single-flight.ts"
import { unlessAborted, untilAborted } from "../../../src/waiting/until-aborted.ts"

describe("waiting for what may be aborted", () => {
  test("follows the promise to its end", async () => {
    const { signal } = new AbortController()
    expect(await unlessAborted(Promise.resolve(7), signal)).toBe(7)
    expect(await unlessAborted(Promise.resolve(7), undefined)).toBe(7)
    await expect(unlessAborted(Promise.reject(new Error("lost")), signal)).rejects.toThrow("lost")
  })

  test("ends with the reason of the abort, now or later, and what comes of the promise is nobody's business", async () => {
    const stop = new AbortController()
    const late = Promise.withResolvers<number>()
    const waiting = unlessAborted(late.promise, stop.signal)
    stop.abort(new Error("enough"))
    await expect(waiting).rejects.toThrow("enough")
    await expect(unlessAborted(new Promise(() => {}), stop.signal)).rejects.toThrow("enough")
    late.reject(new Error("too late"))
    await new Promise((resolve) => setImmediate(resolve))
  })

  test("until aborted resolves with the abort, at once if it is over", async () => {
    const stop = new AbortController()
    const waiting = untilAborted(stop.signal)
    stop.abort()
    await waiting
    await untilAborted(stop.signal)
  })
})

describe("a single flight", () => {
  test("is shared by those who come while it runs, of the same key alone, and begins anew after it", async () => {
    const fly = createSingleFlight<number>()
    let runs = 0
    const task = async () => ++runs
    const [one, same, other] = [fly("a", task), fly("a", task), fly("b", task)]
    expect(same).toBe(one)
    expect(await Promise.all([one, same, other])).toEqual([1, 1, 2])
    expect(await fly("a", task)).toBe(3)
  })

  test("that fails fails for all who share it, and is forgotten", async () => {
    const fly = createSingleFlight<number>()
    const failing = fly("a", () => Promise.reject(new Error("no")))
    const shared = fly("a", async () => 1)
    await expect(failing).rejects.toThrow("no")
    await expect(shared).rejects.toThrow("no")
    expect(await fly("a", async () => 2)).toBe(2)
  })
})

test("pauses double from the first to the longest, however many attempts failed", () => {
  const pauses = [1, 2, 3, 4, 5, 1_000_000].map((failures) => backoffMs(failures, { firstMs: 250, longestMs: 2_000 }))
  expect(pauses).toEqual([250, 500, 1_000, 2_000, 2_000, 2_000])
})
