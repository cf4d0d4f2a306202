import { expect, test } from "vitest"
import { toJson, toSentence, toTable } from "../../bench/table.ts"
import { type Budget, judge, type Series } from "../../bench/verdict.ts"

const series = (budget: Budget | undefined, ...ratios: number[]): Series => ({
  id: "cpu",
  what: "CPU",
  unit: "µs",
  against: "pipe",
  ...(budget === undefined ? {} : { budget }),
  rounds: ratios.map((ratio) => ({ figure: 40 * ratio, reference: 40 })),
})

const alone = (most: number, ...figures: number[]): Series => ({
  id: "p99",
  what: "p99",
  unit: "ms",
  budget: { most },
  rounds: figures.map((figure) => ({ figure })),
})

test.each([
  ["within the budget", series({ times: 1.25 }, 1.1, 1.2, 1.3), "within"],
  ["past it by more than the rounds differ", series({ times: 1.25 }, 1.49, 1.5, 1.51), "over"],
  ["past it by less than the rounds differ", series({ times: 1.25 }, 1.1, 1.3, 1.9), "unclear"],
  ["measured without a budget", series(undefined, 9), "no budget"],
  ["within a budget of its own unit", alone(10, 8, 9, 12), "within"],
  ["past such a budget", alone(10, 13, 14, 15), "over"],
  ["past such a budget, but so are few rounds", alone(10, 8, 10.5, 12), "unclear"],
])("a figure is judged: %s", (_name, measured, outcome) => {
  expect(judge(measured).outcome).toBe(outcome)
})

test("a budget in the figure's own unit holds whatever the reference is", () => {
  const rounds = [{ figure: 9, reference: 1 }]
  expect(judge({ id: "p99", what: "", unit: "ms", budget: { most: 10 }, rounds })).toMatchObject({
    ratio: 9,
    outcome: "within",
  })
})

test("a budget of times its reference needs a reference in each round", () => {
  const rounds = [{ figure: 9, reference: 1 }, { figure: 9 }]
  expect(() => judge({ id: "p99", what: "", unit: "ms", budget: { times: 1 }, rounds })).toThrow("without a reference")
})

test("a figure's ratio is the median of its rounds' own, so that a slow minute of the machine counts on both sides", () => {
  const rounds = [
    { figure: 50, reference: 40 },
    { figure: 500, reference: 400 },
    { figure: 45, reference: 45 },
  ]
  const verdict = judge({ id: "", what: "", unit: "ms", budget: { times: 1.25 }, rounds })
  expect(verdict).toMatchObject({ ratio: 1.25, outcome: "within" })
})

test.each([
  [series({ times: 1.25 }, 1.2), "| CPU | ≤ 1.25 × | 48.0 µs | 40.0 µs (pipe) | 1.20 × | 0.00 | within |"],
  [series(undefined, 0.1), "| CPU |  | 4.00 µs | 40.0 µs (pipe) | 0.10 × | 0.00 | no budget |"],
  [alone(160, 120.25, 130.5, 140), "| p99 | ≤ 160 ms | 131 ms |  |  | 9.88 ms | within |"],
])("the table tells what a series is, its budget, figure, reference, ratio, noise and outcome: %#", (each, row) => {
  expect(toTable([each]).split("\n").at(-1)).toBe(row)
})

const circumstances = {
  date: "2026-11-29 12:00",
  node: "26.10.0",
  processors: "2 cores (A)",
  before: [0.5, 1, 2],
  after: [1.25, 1, 2],
}

test("the circumstances say where and when it was measured, and how busy the machine was", () => {
  expect(toSentence(circumstances)).toBe(
    "2026-11-29 12:00, 2 cores (A), Node 26.10.0. Load average (1, 5, 15 min) 0.5 1.0 2.0 before and 1.3 1.0 2.0 after.",
  )
})

test("the JSON has the rounds of each row, its verdict, and the circumstances", () => {
  const { rows, node } = JSON.parse(toJson([series({ times: 1.25 }, 1.2)], circumstances))
  expect(node).toBe("26.10.0")
  expect(rows).toMatchObject([{ id: "cpu", outcome: "within", rounds: [{ figure: 48, reference: 40 }] }])
})
