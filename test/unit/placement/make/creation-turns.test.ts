import { expect, test } from "vitest"
import { createCreationTurns } from "../../../../src/placement/make/creation-turns.ts"
import { fakeClock } from "../../../support/fake-clock.ts"

const setUp = (random: () => number = () => 0) => {
  const clock = fakeClock()
  const turns = createCreationTurns({ clock, random })
  const begun: string[] = []
  const ends = new Map<string, PromiseWithResolvers<void>>()
  const closing = new AbortController()
  const enter = (owner: string, name = owner, signal: AbortSignal = closing.signal) =>
    turns(
      owner,
      async (waited) => {
        begun.push(name)
        const end = Promise.withResolvers<void>()
        ends.set(name, end)
        await end.promise
        return waited
      },
      signal,
    )
  return {
    clock,
    closing,
    begun,
    enter,
    end: async (name: string) => {
      ends.get(name)?.resolve()
      await clock.advance(0)
    },
    fail: async (name: string) => {
      ends.get(name)?.reject(new Error("refused"))
      await clock.advance(0)
    },
  }
}

/** Enters four creations, which take all turns. */
const fill = (enter: (owner: string) => Promise<boolean>) => ["a", "b", "c", "d"].map((owner) => enter(owner))

test("four creations run at once, and hear that they did not wait; the next one hears that it did", async () => {
  const { begun, enter, end } = setUp()
  const four = fill(enter)
  const fifth = enter("e")
  expect(begun).toEqual(["a", "b", "c", "d"])
  await end("b")
  expect(begun).toEqual(["a", "b", "c", "d", "e"])
  expect(await four[1]).toBe(false)
  await end("e")
  expect(await fifth).toBe(true)
})

test("a creation that fails passes its turn on, and rejects with its own error", async () => {
  const { begun, enter, fail } = setUp()
  const [first] = fill(enter)
  void enter("e")
  const failed = expect(first).rejects.toThrow("refused")
  await fail("a")
  await failed
  expect(begun).toContain("e")
})

test("all turns are free again after a crowd", async () => {
  const { begun, enter, end } = setUp()
  const crowd = Array.from({ length: 30 }, (_, index) => enter(`user-${index}`))
  while (begun.length < 30) for (const name of [...begun]) await end(name)
  for (const name of begun) await end(name)
  await Promise.all(crowd)
  fill(enter)
  expect(begun.slice(30)).toEqual(["a", "b", "c", "d"])
})

test("two gateways take the same crowd in different orders", async () => {
  const orderOf = async (random: () => number): Promise<readonly string[]> => {
    const { begun, enter, end } = setUp(random)
    fill(enter)
    for (const owner of ["e", "f", "g", "h"]) void enter(owner)
    for (let at = 0; at < 4; at++) await end(begun[at] ?? "")
    return begun.slice(4)
  }
  expect(await orderOf(() => 0)).not.toEqual(await orderOf(() => 0.99))
  expect([...(await orderOf(() => 0.99))].sort()).toEqual(["e", "f", "g", "h"])
})

test("an owner with many creations has one chance like everybody, and has them made in their order", async () => {
  const chances = [0.5, 0.5, 0, 0]
  const { begun, enter, end } = setUp(() => chances.shift() ?? 0)
  fill(enter)
  for (const name of ["big-1", "big-2", "big-3"]) void enter("big", name)
  void enter("small")
  void enter("late")
  for (const name of ["a", "b", "c", "d"]) await end(name)
  expect(begun.slice(4)).toEqual(["small", "late", "big-1", "big-2"])
})

test("a creation that takes longer than half a second goes on beside the next one, and passes its turn once", async () => {
  const { clock, begun, enter, end } = setUp()
  fill(enter)
  for (const owner of ["e", "f", "g", "h", "i"]) void enter(owner)
  await clock.advance(499)
  expect(begun).toHaveLength(4)
  await clock.advance(1)
  expect(begun).toHaveLength(8)
  for (const name of ["a", "b", "c", "d"]) await end(name)
  expect(begun).toHaveLength(8)
  await end("e")
  expect(begun).toHaveLength(9)
})

test("creations whose turn does not come in 30 s are told so, and leave no timer", async () => {
  const { clock, begun, enter } = setUp()
  const refusals: unknown[] = []
  // each half a second four more begin, and none ends
  for (let index = 0; index < 260; index++) void enter(`user-${index}`).catch((error) => refusals.push(error))
  await clock.advance(29_999)
  expect([begun.length, refusals.length]).toEqual([240, 0])
  await clock.advance(1)
  expect([begun.length, refusals.length]).toEqual([240, 20])
  expect(refusals[0]).toMatchObject({ code: "InstanceStarting", retryAfterSeconds: 2 })
  await clock.advance(500)
  expect(clock.pending).toBe(0)
})

test("a creation that waits ends when placement closes", async () => {
  const { clock, closing, enter } = setUp()
  fill(enter)
  const left = expect(enter("e")).rejects.toThrow("closing")
  closing.abort(new Error("closing"))
  await left
  await expect(enter("f")).rejects.toThrow("closing")
  await clock.advance(500)
  expect(clock.pending).toBe(0)
})
