import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { createLineBatch } from "../../../src/telemetry/line-batch.ts"

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const capture = () => {
  const written: string[] = []
  return { written, batch: createLineBatch((bytes) => void written.push(bytes.toString())) }
}

test("lines are written together, in their order, 10 ms after the first one", () => {
  const { written, batch } = capture()
  batch.write("a\n")
  vi.advanceTimersByTime(9)
  batch.write("b\n")
  expect(written).toEqual([])
  vi.advanceTimersByTime(1)
  expect(written).toEqual(["a\nb\n"])
  batch.write("c\n")
  vi.advanceTimersByTime(10)
  expect(written).toEqual(["a\nb\n", "c\n"])
})

test("an urgent line is written at once, after the lines before it", () => {
  const { written, batch } = capture()
  batch.write("a\n")
  batch.write("b\n", true)
  expect(written).toEqual(["a\nb\n"])
  vi.advanceTimersByTime(100)
  expect(written).toEqual(["a\nb\n"])
})

test("no more than 16 KiB are held", () => {
  const { written, batch } = capture()
  const line = `${"x".repeat(1_023)}\n`
  for (let count = 0; count < 15; count++) batch.write(line)
  expect(written).toEqual([])
  batch.write(line)
  expect(written).toEqual([line.repeat(16)])
})

test("a flush writes what is held, and nothing if nothing is", () => {
  const { written, batch } = capture()
  batch.flush()
  batch.write("a\n")
  batch.flush()
  batch.flush()
  expect(written).toEqual(["a\n"])
})

test("a line that would not fit is written after those before it, and a longer one than a batch as it is", () => {
  const { written, batch } = capture()
  const long = `${"é".repeat(10_000)}\n`
  batch.write("a\n")
  batch.write("x".repeat(16_383))
  expect(written).toEqual(["a\n"])
  batch.write(long)
  expect(written).toEqual(["a\n", "x".repeat(16_383), long])
})

test("no character is lost at any length of a line", () => {
  const { written, batch } = capture()
  const lines = Array.from({ length: 200 }, (_, at) => `${"é€😀x".repeat(at)}\n`)
  for (const line of lines) batch.write(line)
  batch.flush()
  expect(written.join("")).toBe(lines.join(""))
})
