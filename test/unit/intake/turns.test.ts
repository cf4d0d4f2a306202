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
    await turns.next("alice", signal)
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
  const gone = turns.next("alice", leave.signal)
  const next = turns.next("alice", signal)
  leave.abort(new Error("gone"))
  await expect(gone).rejects.toThrow("gone")
  await expect(turns.next("alice", leave.signal)).rejects.toThrow("gone")
  await next
})

test("owners go on by turns, so that one who waits for much keeps nobody waiting for long", async () => {
  const { turns } = start()
  const order: string[] = []
  const wait = async (owner: string): Promise<void> => {
    await turns.next(owner, signal)
    order.push(owner)
  }
  const all = [...Array.from({ length: 100 }, () => wait("alice")), wait("bob"), wait("bob"), wait("carol")]
  for (let round = 0; round < 6; round++) await turn()
  expect(order).toEqual(["alice", "bob", "carol", "alice", "bob", "alice"])
  await Promise.all(all)
  expect(order.slice(6)).toEqual(Array(97).fill("alice"))
})
