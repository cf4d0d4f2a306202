import { beforeEach, expect, test } from "vitest"
import { collectWhenIdle } from "../../../../src/adapters/system/idle-collection.ts"
import { type FakeClock, fakeClock } from "../../../support/fake-clock.ts"

const MiB = 2 ** 20
let clock: FakeClock
let usage: { heapBytes: number; cpuMs: number }
let collections: number
let end: () => void

beforeEach(() => {
  clock = fakeClock()
  usage = { heapBytes: 60 * MiB, cpuMs: 300 }
  collections = 0
  const collect = () => {
    collections++
    usage = { heapBytes: 100 * MiB, cpuMs: usage.cpuMs + 2_000 }
  }
  end = collectWhenIdle({ clock, usage: () => usage, collect })
})

/** Ten seconds in which the process uses this much CPU time and its heap becomes this large. */
const pass = async (cpuMs: number, heapMiB: number): Promise<void> => {
  usage = { heapBytes: heapMiB * MiB, cpuMs: usage.cpuMs + cpuMs }
  await clock.advance(10_000)
}

test("the garbage of a burst of work is collected once, when the work is done", async () => {
  await pass(9_000, 200)
  await pass(4_000, 240)
  expect(collections).toBe(0)
  await pass(200, 240)
  expect(collections).toBe(1)
  // what the collection itself took counts as no work
  await pass(200, 131)
  await pass(200, 131)
  expect(collections).toBe(1)
  await pass(200, 132)
  expect(collections).toBe(2)
})

test("a heap that has not grown is left alone, and so is one that V8 has collected itself", async () => {
  for (const heap of [60, 91, 91, 40, 71]) await pass(10, heap)
  expect(collections).toBe(0)
  await pass(10, 72)
  expect(collections).toBe(1)
})

test("nothing is left of it when it is ended", async () => {
  end()
  await pass(0, 500)
  expect(collections).toBe(0)
  expect(clock.pending).toBe(0)
})
