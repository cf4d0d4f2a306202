import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { createShares, type Shares } from "../../../src/intake/bodies.ts"

/** Takes one unit after the other until no more is given; answers how many there were. */
const takeAll = (shares: Shares, owner: string): number => {
  let taken = 0
  while (shares.take(owner, 1)) taken++
  return taken
}

const limits = fc.integer({ min: 1, max: 5_000 })

describe("shares of a limit", () => {
  test("an owner alone gets a quarter, rounded up", () => {
    fc.assert(
      fc.property(limits, (limit) => {
        expect(takeAll(createShares(limit), "a")).toBe(Math.ceil(limit / 4))
      }),
    )
  })

  test("a quarter at once is as good as one after the other, and no unit more", () => {
    const shares = createShares(1_000)
    expect(shares.take("a", 251)).toBe(false)
    expect(shares.held).toBe(0)
    expect(shares.take("a", 250)).toBe(true)
    expect(shares.take("a", 1)).toBe(false)
  })

  test("each of many who want all they can get has the same share in the end, and the rest stays free", () => {
    for (const owners of [2, 5, 17]) {
      const shares = createShares(10_000)
      const held = Array.from({ length: owners }, () => 0)
      for (let moved = true; moved; ) {
        moved = false
        for (let index = 0; index < owners; index++)
          if (shares.take(`o${index}`, 1)) {
            held[index] = (held[index] ?? 0) + 1
            moved = true
          }
      }
      for (const each of held) expect(Math.abs(each - 10_000 / (3 + owners))).toBeLessThan(2)
      expect(shares.fits(Math.floor(10_000 / (3 + owners) / 4))).toBe(true)
    }
  })

  test("whoever holds nothing gets one unit as long as one is free, in the smallest limit too", () => {
    fc.assert(
      fc.property(
        limits,
        fc.array(fc.tuple(fc.nat(20), fc.integer({ min: 1, max: 2_000 })), { maxLength: 200 }),
        (limit, takes) => {
          const shares = createShares(limit)
          for (const [owner, amount] of takes) shares.take(`o${owner}`, amount)
          const isFull = shares.held === limit
          expect(shares.take("new", 1)).toBe(!isFull)
        },
      ),
    )
  })

  test("the sum is what was taken and not given back, never over the limit, and zero in the end", () => {
    const step = fc.record({ owner: fc.nat(9), amount: fc.integer({ min: 0, max: 400 }), gives: fc.boolean() })
    fc.assert(
      fc.property(limits, fc.array(step, { maxLength: 300 }), (limit, steps) => {
        const shares = createShares(limit)
        const model = new Map<string, number>()
        const sum = () => [...model.values()].reduce((all, each) => all + each, 0)
        for (const { owner, amount, gives } of steps) {
          const name = `o${owner}`
          const own = model.get(name) ?? 0
          if (gives) {
            shares.give(name, Math.min(amount, own))
            model.set(name, own - Math.min(amount, own))
          } else if (shares.take(name, amount)) model.set(name, own + amount)
          expect(shares.held).toBe(sum())
          expect(shares.held).toBeLessThanOrEqual(limit)
          expect(shares.owners).toBe([...model.values()].filter((each) => each > 0).length)
        }
        for (const [name, own] of model) shares.give(name, own)
        expect([shares.held, shares.owners]).toEqual([0, 0])
      }),
    )
  })

  test("more than was taken is not given back, and nobody else's", () => {
    const shares = createShares(100)
    shares.take("a", 10)
    shares.take("b", 10)
    shares.give("a", 1_000)
    shares.give("c", 5)
    expect([shares.held, shares.owners]).toEqual([10, 1])
  })

  test("what an owner gave back is there for all again", () => {
    const shares = createShares(1_000)
    const first = takeAll(shares, "a")
    shares.give("a", first)
    expect(takeAll(shares, "b")).toBe(first)
  })
})
