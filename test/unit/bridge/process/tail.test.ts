import { describe, expect, test } from "vitest"
import { createTail } from "../../../../src/bridge/process/tail.ts"

const keptBytes = 64 * 1_024

describe("the tail of stderr", () => {
  test("is all of it as long as that is little", () => {
    const tail = createTail()
    expect(tail.read()).toBe("")
    tail.add(Buffer.from("one\ntw"))
    tail.add(Buffer.from("o"))
    expect(tail.read()).toBe("one\ntwo")
    tail.add(Buffer.from("\n"))
    expect(tail.read()).toBe("one\ntwo\n")
  })

  test.for([1, 7, 1_000, 200_000])("is the last 64 KiB of whole lines, in pieces of %i bytes", (size) => {
    const tail = createTail()
    const all = Buffer.from(Array.from({ length: 20_000 }, (_, at) => `line ${at}\n`).join(""))
    for (let at = 0; at < all.length; at += size) tail.add(all.subarray(at, at + size))
    const text = tail.read()
    expect(text.length).toBeLessThanOrEqual(keptBytes)
    expect(text.length).toBeGreaterThan(keptBytes - 20)
    expect(text).toMatch(/^line \d+\n/)
    expect(all.toString().endsWith(text)).toBe(true)
  })

  test("does not keep the block of memory that a piece was read into", () => {
    const tail = createTail()
    const block = Buffer.alloc(100, "x")
    tail.add(block.subarray(0, 3))
    block.fill("y")
    expect(tail.read()).toBe("xxx")
  })

  test("of a line that is longer than all that is kept is nothing", () => {
    const tail = createTail()
    tail.add(Buffer.alloc(3 * keptBytes, "x"))
    expect(tail.read()).toBe("")
    tail.add(Buffer.from("\nlast\n"))
    expect(tail.read()).toBe("last\n")
  })
})
