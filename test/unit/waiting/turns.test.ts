import { expect, test } from "vitest"
import { createTurns } from "../../../src/waiting/turns.ts"

/** Tasks that note their beginning and end when told. */
const setUp = (most: number) => {
  const turns = createTurns(most)
  const begun: number[] = []
  const ends = new Map<number, PromiseWithResolvers<void>>()
  const add = (rank: number): Promise<number> => {
    const end = Promise.withResolvers<void>()
    ends.set(rank, end)
    return turns(rank, async () => {
      begun.push(rank)
      await end.promise
      return rank
    })
  }
  const settle = () => new Promise((resolve) => setImmediate(resolve))
  return { add, begun, ends, settle }
}

test("no more tasks run at a time than may, and those of the lowest ranks come first", async () => {
  const { add, begun, ends, settle } = setUp(2)
  const all = [9, 8, 5, 7, 1, 6].map(add)
  expect(begun).toEqual([9, 8])
  for (const rank of [8, 1, 9, 5, 6]) {
    ends.get(rank)?.resolve()
    await settle()
  }
  expect(begun).toEqual([9, 8, 1, 5, 6, 7])
  ends.get(7)?.resolve()
  expect(await Promise.all(all)).toEqual([9, 8, 5, 7, 1, 6])
})

test("a task that fails passes its turn on, and a newcomer does not come in between", async () => {
  const { add, begun, ends, settle } = setUp(1)
  const failing = add(3)
  const next = add(2)
  ends.get(3)?.reject(new Error("broken"))
  await expect(failing).rejects.toThrow("broken")
  add(1)
  await settle()
  expect(begun).toEqual([3, 2])
  ends.get(2)?.resolve()
  expect(await next).toBe(2)
  await settle()
  expect(begun).toEqual([3, 2, 1])
})

test("when all have ended, the next ones run at once", async () => {
  const { add, ends, begun } = setUp(1)
  for (const rank of [1, 2]) {
    const ran = add(rank)
    ends.get(rank)?.resolve()
    await ran
  }
  expect(begun).toEqual([1, 2])
})
