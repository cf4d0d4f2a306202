/** Compares the rounds of a measurement with a budget. */

/** A figure and its reference, measured in rounds. */
export type Series = {
  readonly what: string
  readonly unit: "µs" | "ms"
  /** Maximum ratio of figure to reference; undefined = measured for comparison only. */
  readonly budget: number | undefined
  /** Figure and reference of each round, measured one right after the other. */
  readonly rounds: readonly { readonly figure: number; readonly reference: number }[]
}

/** Result of a series; figure and reference are medians of the rounds. */
export type Verdict = {
  readonly figure: number
  readonly reference: number
  /** Median of the rounds' ratios of figure to reference. */
  readonly ratio: number
  /** Interquartile range of the rounds' ratios. */
  readonly noise: number
  /** `over` = above the budget by more than the noise; `unclear` = above it by at most the noise. */
  readonly outcome: "within" | "unclear" | "over" | "no budget"
}

const at = (sorted: readonly number[], share: number): number => {
  const place = (sorted.length - 1) * share
  const [low = 0, high = 0] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]]
  return low + (high - low) * (place - Math.floor(place))
}

const sorted = (values: readonly number[]): readonly number[] => values.toSorted((a, b) => a - b)

const outcomeOf = (budget: number | undefined, ratio: number, noise: number): Verdict["outcome"] => {
  if (budget === undefined) return "no budget"
  if (ratio <= budget) return "within"
  return ratio - budget > noise ? "over" : "unclear"
}

/** The verdict of a series, which must have at least one round. */
export const judge = ({ budget, rounds }: Series): Verdict => {
  const ratios = sorted(rounds.map(({ figure, reference }) => figure / reference))
  const [ratio, noise] = [at(ratios, 0.5), at(ratios, 0.75) - at(ratios, 0.25)]
  return {
    figure: at(sorted(rounds.map(({ figure }) => figure)), 0.5),
    reference: at(sorted(rounds.map(({ reference }) => reference)), 0.5),
    ratio,
    noise,
    outcome: outcomeOf(budget, ratio, noise),
  }
}

const row = (series: Series): string => {
  const { figure, reference, ratio, noise, outcome } = judge(series)
  const number = (value: number) => `${value.toFixed(series.unit === "ms" ? 2 : 1)} ${series.unit}`
  const budget = series.budget === undefined ? "" : `≤ ${series.budget.toFixed(2)} ×`
  const cells = [
    series.what,
    budget,
    number(figure),
    number(reference),
    `${ratio.toFixed(2)} ×`,
    noise.toFixed(2),
    outcome,
  ]
  return `| ${cells.join(" | ")} |`
}

/** The verdicts of all series as a Markdown table. */
export const toTable = (all: readonly Series[]): string =>
  [
    "| what | budget | figure | reference: bare pipe | ratio | noise | |",
    "|---|---|---|---|---|---|---|",
    ...all.map(row),
  ].join("\n")
