import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { createGather, declaredLength, type Overflow } from "../../../src/intake/bodies.ts"

/** A gather whose takes are counted. */
const setUp = (options: { limit?: number; declared?: number; room?: number } = {}) => {
  const { limit = 10_000_000, declared, room = Number.POSITIVE_INFINITY } = options
  const taken: number[] = []
  const sum = () => taken.reduce((all, each) => all + each, 0)
  const gather = createGather({
    limit,
    declared,
    take: (bytes) => {
      if (sum() + bytes > room) return false
      taken.push(bytes)
      return true
    },
  })
  return { gather, taken, sum }
}

const addAll = (gather: ReturnType<typeof setUp>["gather"], pieces: readonly Buffer[]): Overflow | undefined => {
  for (const piece of pieces) {
    const overflow = gather.add(piece)
    if (overflow !== undefined) return overflow
  }
  return undefined
}

describe("a body that is gathered", () => {
  test("in one piece is that piece, not a copy, and takes its bytes", () => {
    const { gather, taken } = setUp({ declared: 300 })
    const piece = Buffer.alloc(300, 1)
    gather.add(piece)
    expect(gather.whole()).toBe(piece)
    expect(taken).toEqual([300])
  })

  test("is what came, in order, whatever the pieces and the declared length", () => {
    const pieces = fc.array(fc.uint8Array({ maxLength: 5_000 }), { maxLength: 60 })
    const declared = fc.option(fc.nat(100_000), { nil: undefined })
    fc.assert(
      fc.property(pieces, declared, (all, length) => {
        const { gather, sum } = setUp(length === undefined ? {} : { declared: length })
        const buffers = all.map((each) => Buffer.from(each))
        expect(addAll(gather, buffers)).toBeUndefined()
        const whole = gather.whole()
        expect(whole.equals(Buffer.concat(buffers))).toBe(true)
        // what is counted is what is held
        const isOnePiece = buffers.filter((each) => each.length > 0).length <= 1
        expect(sum()).toBe(isOnePiece ? whole.length : whole.buffer.byteLength)
        expect(sum()).toBeLessThanOrEqual(Math.max(2 * whole.length, 1_024))
      }),
    )
  })

  test("in pieces of one byte is copied less than three times and holds less than twice its size", () => {
    const size = 300_001
    const { gather, taken, sum } = setUp()
    addAll(
      gather,
      Array.from({ length: size }, (_, index) => Buffer.from([index])),
    )
    // each take after the first is a copy of what was there
    let held = 0
    let copied = 0
    for (const bytes of taken) {
      copied += held
      held += bytes
    }
    expect(copied + size).toBeLessThan(3 * size)
    expect(sum()).toBeLessThan(2 * size)
    expect(gather.whole()).toHaveLength(size)
  })

  test("takes no more than is declared, nor than the limit lets in", () => {
    const pieces = Array.from({ length: 9 }, () => Buffer.alloc(1_000))
    const declared = setUp({ declared: 9_000 })
    addAll(declared.gather, pieces)
    expect(declared.sum()).toBe(9_000)
    const limited = setUp({ limit: 9_500 })
    addAll(limited.gather, pieces)
    expect(limited.sum()).toBe(9_500)
  })

  test("takes nothing for what is declared and does not come", () => {
    const { gather, sum } = setUp({ declared: 4_000_000 })
    expect(sum()).toBe(0)
    gather.add(Buffer.alloc(10))
    expect(sum()).toBe(10)
  })

  test("is refused before memory is made for it that its owner may not have", () => {
    const { gather, sum } = setUp({ room: 5_000 })
    expect(
      addAll(
        gather,
        Array.from({ length: 100 }, () => Buffer.alloc(1_000)),
      ),
    ).toBe("share")
    expect(sum()).toBeLessThanOrEqual(5_000)
    expect(setUp({ room: 9 }).gather.add(Buffer.alloc(10))).toBe("share")
  })

  test("is too large with the first byte past the limit, in one piece or in many", () => {
    expect(setUp({ limit: 9 }).gather.add(Buffer.alloc(10))).toBe("limit")
    const { gather } = setUp({ limit: 9 })
    expect(addAll(gather, [Buffer.alloc(5), Buffer.alloc(4)])).toBeUndefined()
    expect(gather.add(Buffer.alloc(1))).toBe("limit")
  })

  test("stays refused, and nothing of it can be had", () => {
    const { gather } = setUp({ limit: 9 })
    gather.add(Buffer.alloc(5))
    gather.add(Buffer.alloc(5))
    expect(gather.add(Buffer.alloc(1))).toBe("limit")
    expect(gather.whole()).toHaveLength(0)
  })

  test("is empty if nothing came", () => {
    const { gather, taken } = setUp({ declared: 0 })
    gather.add(Buffer.alloc(0))
    expect(gather.whole()).toHaveLength(0)
    expect(taken.filter((bytes) => bytes > 0)).toEqual([])
  })
})

test.each<[string | null | undefined, number | undefined]>([
  [undefined, undefined],
  [null, undefined],
  ["0", 0],
  ["4096", 4096],
  ["-1", undefined],
  ["many", undefined],
  ["1e400", undefined],
])("the Content-Length %j declares %j", (header, expected) => {
  expect(declaredLength(header)).toBe(expected)
})
