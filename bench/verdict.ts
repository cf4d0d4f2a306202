/** Compares the rounds of a measurement with a budget. */

/** Units of figures; a ratio has none. */
export type Unit = "µs" | "ms" | "KiB" | "MiB" | "MB/s" | "/s"

/** The most that a figure may be: that many times its reference, or so much in its own unit. */
export type Budget = { readonly times: number } | { readonly most: number }

/** A figure of one round, and what it is compared with, measured right before or after it. */
export type Round = { readonly figure: number; readonly reference?: number }

/** A figure, measured in rounds. */
export type Series = {
  /** Name for `--only`: words in lower case, from the general to the particular. */
  readonly id: string
  readonly what: string
  readonly unit: Unit
  /** Undefined = measured for comparison only. */
  readonly budget?: Budget
  /** What the reference is; undefined = there is none. */
  readonly against?: string
  readonly rounds: readonly Round[]
}

/** Result of a series. */
export type Verdict = {
  /** Median of the rounds. */
  readonly figure: number
  /** Median of the rounds; undefined if there is no reference. */
  readonly reference: number | undefined
  /** Median of the rounds' ratios of figure to reference; undefined if there is no reference. */
  readonly ratio: number | undefined
  /** Interquartile range of what is compared with the budget: the ratios, or the figures if the budget is in their unit. */
  readonly noise: number
  /** `over` = above the budget by more than the noise; `unclear` = above it by at most the noise. */
  readonly outcome: "within" | "unclear" | "over" | "no budget"
}

/** The value at a share of the sorted values, interpolated; 0.5 = the median. */
const at = (sorted: readonly number[], share: number): number => {
  const place = (sorted.length - 1) * share
  const [low = 0, high = 0] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]]
  return low + (high - low) * (place - Math.floor(place))
}

const sorted = (values: readonly number[]): readonly number[] => values.toSorted((a, b) => a - b)

/** The median of values, of which there must be one at least. */
export const median = (values: readonly number[]): number => at(sorted(values), 0.5)

const spread = (values: readonly number[]): number => at(sorted(values), 0.75) - at(sorted(values), 0.25)

const outcomeOf = (limit: number | undefined, value: number, noise: number): Verdict["outcome"] => {
  if (limit === undefined) return "no budget"
  if (value <= limit) return "within"
  return value - limit > noise ? "over" : "unclear"
}

/**
 * The verdict of a series, which must have at least one round. Throws if the budget is a ratio and a round has no
 * reference.
 */
export const judge = ({ id, budget, rounds }: Series): Verdict => {
  const figures = rounds.map(({ figure }) => figure)
  const references = rounds.flatMap(({ reference }) => (reference === undefined ? [] : [reference]))
  const ratios = rounds.flatMap(({ figure, reference }) => (reference === undefined ? [] : [figure / reference]))
  const isPaired = ratios.length === rounds.length
  if (budget !== undefined && "times" in budget && !isPaired) throw new Error(`${id} has rounds without a reference`)
  const isAbsolute = budget === undefined ? !isPaired : "most" in budget
  const compared = isAbsolute ? figures : ratios
  const limit = budget === undefined ? undefined : "most" in budget ? budget.most : budget.times
  const noise = spread(compared)
  return {
    figure: median(figures),
    reference: isPaired ? median(references) : undefined,
    ratio: isPaired ? median(ratios) : undefined,
    noise,
    outcome: outcomeOf(limit, median(compared), noise),
  }
}
