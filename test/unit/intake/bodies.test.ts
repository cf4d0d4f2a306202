import fc from "fast-check"
import { expect, test } from "vitest"
import { createBudget } from "../../../src/intake/bodies.ts"

test("a request gives back all it took at once, and only once", () => {
  const budget = createBudget(1_000)
  const [one, two] = [budget.open(), budget.open()]
  one.take("alice", 100)
  one.take("alice", 20)
  two.take("alice", 7)
  expect(budget.held).toBe(127)
  one.end()
  one.end()
  expect(budget.held).toBe(7)
  two.end()
  expect(budget.held).toBe(0)
})

test("a request that is over takes nothing any more, so that a late byte is not counted for ever", () => {
  const budget = createBudget(1_000)
  const late = budget.open()
  late.end()
  expect(late.take("alice", 1)).toBe(false)
  expect(budget.held).toBe(0)
})

test("all requests of an owner share one share", () => {
  const budget = createBudget(1_000)
  expect(budget.open().take("alice", 200)).toBe(true)
  expect(budget.open().take("alice", 51)).toBe(false)
  expect(budget.open().take("bob", 180)).toBe(true)
})

test("whatever requests come and end in whatever order, the sum returns to zero", () => {
  const step = fc.record({ request: fc.nat(20), owner: fc.nat(4), bytes: fc.nat(300), ends: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const budget = createBudget(1_000)
      const holdings = Array.from({ length: 21 }, () => budget.open())
      for (const { request, owner, bytes, ends } of steps)
        if (ends) holdings[request]?.end()
        else holdings[request]?.take(`o${owner}`, bytes)
      for (const holding of holdings) holding.end()
      expect(budget.held).toBe(0)
    }),
  )
})

test("a refusal tells whether the owner holds too much or nobody would have got it", () => {
  const told: string[] = []
  const budget = createBudget(1_000, (by) => told.push(by))
  budget.open().take("alice", 250)
  budget.open().take("alice", 10)
  for (const name of ["b", "c", "d", "e", "f"]) budget.open().take(name, 90)
  expect(told).toEqual(["owner"])
  budget.open().take("new", 200)
  expect(told).toEqual(["owner", "replica"])
})
