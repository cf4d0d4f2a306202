import { setImmediate as turn } from "node:timers/promises"
import { expect, test } from "vitest"
import { createTurns } from "../../../src/intake/turns.ts"

const { signal } = new AbortController()

/** Turns by a clock that only work advances. */
const start = () => {
  let now = 0
  const turns = createTurns(() => now)
  const work = (ms: number) =>
    turns.measure(() => {
      now += ms
    })
  return { turns, work }
}

test("a turn is spent once work has taken 50 ms of it, and the next one is not", async () => {
  const { turns, work } = start()
  work(20)
  expect(turns.isSpent()).toBe(false)
  work(30)
  expect(turns.isSpent()).toBe(true)
  await turn()
  expect(turns.isSpent()).toBe(false)
})

test("work that fails counts too", () => {
  const { turns, work } = start()
  expect(() =>
    turns.measure(() => {
      work(60)
      throw new Error("no JSON")
    }),
  ).toThrow("no JSON")
  expect(turns.isSpent()).toBe(true)
})

test("those who wait get a turn each, whoever came first before the others, and newcomers wait behind them", async () => {
  const { turns, work } = start()
  work(50)
  const order: number[] = []
  const waits = [1, 2, 3].map(async (each) => {
    await turns.next(signal)
    order.push(each)
    work(50)
  })
  const seen: number[] = []
  for (let round = 0; round < 3; round++) {
    await turn()
    seen.push(order.length)
    expect(turns.isSpent()).toBe(true)
  }
  await Promise.all(waits)
  expect([order, seen]).toEqual([
    [1, 2, 3],
    [1, 2, 3],
  ])
})

test("who has gone gives the turn to the next", async () => {
  const { turns } = start()
  const leave = new AbortController()
  const gone = turns.next(leave.signal)
  const next = turns.next(signal)
  leave.abort(new Error("gone"))
  await expect(gone).rejects.toThrow("gone")
  await expect(turns.next(leave.signal)).rejects.toThrow("gone")
  await next
})
