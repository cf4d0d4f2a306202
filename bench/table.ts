/** Shows the results of a benchmark. */
import { judge, type Series, type Unit } from "./verdict.ts"

/** Three digits that count, so that small and large figures are both readable. */
const toNumber = (value: number): string => {
  const size = Math.abs(value)
  if (size >= 100) return value.toFixed(0)
  if (size >= 10) return value.toFixed(1)
  return value.toFixed(size >= 1 || size === 0 ? 2 : 3)
}

const toFigure = (value: number, unit: Unit): string => `${toNumber(value)} ${unit}`

const budgetOf = ({ budget, unit }: Series): string => {
  if (budget === undefined) return ""
  return "most" in budget ? `≤ ${toFigure(budget.most, unit)}` : `≤ ${budget.times.toFixed(2)} ×`
}

const rowOf = (series: Series): string => {
  const { what, unit, budget, against = "" } = series
  const { figure, reference, ratio, noise, outcome } = judge(series)
  const isAbsolute = budget === undefined ? ratio === undefined : "most" in budget
  const cells = [
    what,
    budgetOf(series),
    toFigure(figure, unit),
    reference === undefined ? "" : `${toFigure(reference, unit)} (${against})`,
    ratio === undefined ? "" : `${ratio.toFixed(2)} ×`,
    isAbsolute ? toFigure(noise, unit) : noise.toFixed(2),
    outcome,
  ]
  return `| ${cells.join(" | ")} |`
}

/** The verdicts of all series as a Markdown table. */
export const toTable = (all: readonly Series[]): string =>
  ["| what | budget | figure | reference | ratio | noise | |", "|---|---|---|---|---|---|---|", ...all.map(rowOf)].join(
    "\n",
  )

/** Where and when the benchmark ran. */
export type Circumstances = {
  readonly date: string
  readonly node: string
  readonly processors: string
  /** Load average of 1, 5 and 15 minutes, before and after. */
  readonly before: readonly number[]
  readonly after: readonly number[]
}

const toLoad = (averages: readonly number[]): string => averages.map((each) => each.toFixed(1)).join(" ")

/** The circumstances in one sentence. */
export const toSentence = ({ date, node, processors, before, after }: Circumstances): string =>
  `${date}, ${processors}, Node ${node}. Load average (1, 5, 15 min) ${toLoad(before)} before and ${toLoad(after)} after.`

/** All results for programs: series with their rounds and verdicts. */
export const toJson = (all: readonly Series[], circumstances: Circumstances): string =>
  JSON.stringify({ ...circumstances, rows: all.map((series) => ({ ...series, ...judge(series) })) }, undefined, 2)
