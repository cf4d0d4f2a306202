import { describe, expect, test } from "vitest"
import { createHeldPieces } from "../../../src/intake/held-pieces.ts"

const large = (text: string): Buffer => Buffer.alloc(20_000, text)

describe("held pieces", () => {
  test("come back in their order, once", () => {
    const held = createHeldPieces()
    const pieces = [Buffer.from("a"), large("b"), Buffer.from("c"), Buffer.from("d"), large("e"), Buffer.from("f")]
    for (const piece of pieces) held.add(piece)
    expect(held.length).toBe(40_004)
    expect(held.take().equals(Buffer.concat(pieces))).toBe(true)
    expect(held.length).toBe(0)
    expect(held.take()).toHaveLength(0)
    held.add(Buffer.from("again"))
    expect(held.take().toString()).toBe("again")
    for (const piece of pieces) held.add(piece)
    held.clear()
    expect([held.length, held.take()]).toEqual([0, Buffer.alloc(0)])
  })

  test("are not copied if they are large", () => {
    const held = createHeldPieces()
    const piece = large("x")
    held.add(piece)
    expect(held.take()).toBe(piece)
  })

  test("are copied if they are small, or a small part of the memory that they keep", () => {
    for (const piece of [Buffer.alloc(100, "x"), Buffer.alloc(100_000, "x").subarray(0, 20_000)]) {
      const held = createHeldPieces()
      held.add(piece)
      const { buffer } = held.take()
      expect(buffer).not.toBe(piece.buffer)
      expect(buffer.byteLength).toBeLessThan(2 * Math.max(piece.length, 1_024))
    }
  })
})
