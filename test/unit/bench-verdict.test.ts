import { expect, test } from "vitest"
import { judge, toTable } from "../../bench/verdict.ts"

const series = (budget: number | undefined, ...ratios: number[]) => ({
  what: "CPU",
  unit: "µs" as const,
  budget,
  rounds: ratios.map((ratio) => ({ figure: 40 * ratio, reference: 40 })),
})

test.each([
  ["within the budget", series(1.25, 1.1, 1.2, 1.3), "within"],
  ["past it by more than the rounds differ", series(1.25, 1.49, 1.5, 1.51), "over"],
  ["past it by less than the rounds differ", series(1.25, 1.1, 1.3, 1.9), "unclear"],
  ["measured without a budget", series(undefined, 9), "no budget"],
])("a figure is judged: %s", (_name, measured, outcome) => {
  expect(judge(measured).outcome).toBe(outcome)
})

test("a figure's ratio is the median of its rounds' own, so that a slow minute of the machine counts on both sides", () => {
  const rounds = [
    { figure: 50, reference: 40 },
    { figure: 500, reference: 400 },
    { figure: 45, reference: 45 },
  ]
  expect(judge({ what: "", unit: "ms", budget: 1.25, rounds })).toMatchObject({ ratio: 1.25, outcome: "within" })
})

test("the table tells of each series what it is, its budget, figure, reference, ratio, noise and outcome", () => {
  expect(
    toTable([series(1.25, 1.2)])
      .split("\n")
      .at(-1),
  ).toBe("| CPU | ≤ 1.25 × | 48.0 µs | 40.0 µs | 1.20 × | 0.00 | within |")
})
