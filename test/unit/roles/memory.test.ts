import { expect, test } from "vitest"
import { isLittered } from "../../../src/roles/memory.ts"

const mebibytes = (count: number) => count * 2 ** 20
const littered = (used: number, kept: number, busy: number) =>
  isLittered({ used: mebibytes(used), kept: mebibytes(kept), busy })

test("a process at rest collects much garbage", () => {
  expect(littered(160, 30, 0.01)).toBe(true)
  expect(littered(130, 30, 0)).toBe(true)
  // what a role needs at rest on a slow machine
  expect(littered(160, 30, 0.04)).toBe(true)
})

test("a busy process, or one with little garbage, does not stop for it", () => {
  expect(littered(160, 30, 0.1)).toBe(false)
  expect(littered(129, 30, 0)).toBe(false)
  // a large heap takes longer to collect: then more must be won
  expect(littered(599, 400, 0)).toBe(false)
  expect(littered(600, 400, 0)).toBe(true)
})

test("a role that is not ready is not judged", () => {
  expect(isLittered({ used: mebibytes(1_000), kept: Number.POSITIVE_INFINITY, busy: 0 })).toBe(false)
})
