import { expect, test } from "vitest"
import { type Figures, type Level, orderOf } from "../../bench/peers/measure.ts"
import { mergeRows } from "../../bench/peers/results.ts"
import { figureOf, median, type Row, significant, toTable } from "../../bench/peers/table.ts"

const figures = (name: string, connections: Level, cpu: number): Figures => ({
  name,
  connections,
  requests: 1_000,
  cpu,
  p50: cpu / 100,
  p99: cpu / 10,
  perSecond: 1e6 / cpu,
  resident: 100 * 2 ** 20,
})

const row = (name: string, cpu: number, ours: number, more: Partial<Row> = {}): Row => ({
  name,
  version: "1.0.0",
  licence: "MIT",
  does: "forwards",
  figures: [figures(name, 1, cpu), figures(name, 64, cpu)],
  failures: [],
  ours: [figures("reflow", 64, ours)],
  ...more,
})

test.each([
  [[], Number.NaN],
  [[3], 3],
  [[9, 1, 2], 2],
  [[4, 1, 2, 30], 3],
])("the median of %j is %d", (values, expected) => {
  expect(median(values)).toBe(expected)
})

test.each([
  [0.123_456, "0.123"],
  [3.456, "3.46"],
  [56.78, "56.8"],
  [123.4, "123"],
  [26_049, "26,000"],
  [0, "0"],
  [Number.NaN, "–"],
])("%d is written as %s", (value, text) => {
  expect(significant(value)).toBe(text)
})

test("a figure is the median of its rounds at one number of connections", () => {
  const all = [figures("a", 64, 10), figures("a", 64, 30), figures("a", 64, 20), figures("a", 1, 999)]
  expect(figureOf(all, 64, "cpu")).toBe(20)
  expect(figureOf(all, 16, "cpu")).toBeNaN()
})

test("the cheapest comes first, and what was not measured comes last with its reason", () => {
  const lost = { ...row("lost", 0, 0), figures: [], ours: [], reason: "go failed:\n  a | b\n" }
  const lines = toTable([row("slow", 500, 100), lost, row("fast", 50, 100)]).split("\n")
  expect(lines).toHaveLength(5)
  expect(lines[2]).toBe(
    "| fast | 1.0.0 | forwards | 50.0 µs | 0.500 × | 0.500 ms | 5.00 ms | 5.00 ms | 20,000 | 100 MiB | 0 of 2 |",
  )
  expect(lines[3]).toContain("| slow | 1.0.0 | forwards | 500 µs | 5.00 × |")
  expect(lines[4]).toContain("| lost | 1.0.0 | not measured: go failed: a \\| b | – |")
})

test("runs that failed are counted in the row, and explained below the table", () => {
  const failures = [{ name: "a", connections: 16 as const, reason: "a request was answered with 500" }]
  const text = toTable([row("a", 50, 100, { failures })])
  expect(text).toContain("| 1 of 3 |")
  expect(text).toContain("\n\n- a, 16 connections: a request was answered with 500")
})

test("one table of several runs has the last row of each peer, and all rounds of our own", () => {
  const merged = mergeRows(
    [
      [row("reflow", 10, 10), row("a", 1, 10)],
      [row("reflow", 30, 30), row("a", 2, 30)],
    ],
    ["reflow"],
  )
  expect(merged.map(({ name }) => name)).toEqual(["reflow", "a"])
  expect(merged.map((each) => figureOf(each.figures, 64, "cpu"))).toEqual([20, 2])
  expect(merged[1]?.figures).toHaveLength(2)
})

test("every other round has the reversed order", () => {
  expect([0, 1, 2].map((round) => orderOf(["a", "b", "c"], round).join(""))).toEqual(["abc", "cba", "abc"])
})
