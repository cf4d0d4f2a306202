/** The table of a comparison, in Markdown. */
import type { Failure, Figures, Level } from "./measure.ts"

/** A row: what takes part, and what was measured of it, or why nothing was. */
export type Row = {
  readonly name: string
  readonly version: string
  readonly licence: string
  readonly does: string
  readonly figures: readonly Figures[]
  readonly failures: readonly Failure[]
  /** Figures of our gateway from the same minutes, in the order of this row's; of our gateway itself: its own. */
  readonly ours: readonly Figures[]
  /** Why there are no figures: it could not be installed or started, or its answers were not the server's. */
  readonly reason?: string
}

/** Median; NaN of nothing. */
export const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const [low = Number.NaN, high = Number.NaN] = [sorted[middle - 1], sorted[middle]]
  return sorted.length % 2 === 1 ? high : (low + high) / 2
}

type Column = "cpu" | "p50" | "p99" | "perSecond" | "resident"

/** Median of one figure over the rounds at a number of connections; NaN if there is none. */
export const figureOf = (figures: readonly Figures[], connections: Level, column: Column): number =>
  median(figures.filter((each) => each.connections === connections).map((each) => each[column]))

/** Three significant digits, and never an exponent; a dash for NaN. */
export const significant = (value: number): string => {
  if (Number.isNaN(value)) return "–"
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))
  const scale = 10 ** (3 - String(Math.trunc(Math.abs(value))).length)
  const rounded = scale < 1 ? Math.round(value * scale) / scale : value
  return rounded.toLocaleString("en-US", { maximumFractionDigits: digits, minimumFractionDigits: digits })
}

const heads = [
  "name",
  "version",
  "what it does for a call",
  "CPU per call at 64",
  "… of ours",
  "p50 at 1",
  "p99 at 1",
  "p99 at 64",
  "calls/s at 64",
  "memory",
  "failed runs",
]

const maxReason = 300

/** A text of several lines as the content of a cell. */
const inCell = (text: string): string =>
  text.split(/\s/).filter(Boolean).join(" ").slice(0, maxReason).replaceAll("|", "\\|")

const withUnit = (value: number, unit: string): string => {
  const text = significant(value)
  return text === "–" ? text : `${text} ${unit}`
}

const cellsOf = ({ name, version, does, figures, failures, ours, reason }: Row): readonly string[] => {
  if (reason !== undefined) return [name, version, `not measured: ${inCell(reason)}`, ...heads.slice(3).map(() => "–")]
  const cpu = figureOf(figures, 64, "cpu")
  const most = Math.max(...figures.map(({ resident }) => resident), Number.NEGATIVE_INFINITY)
  return [
    name,
    version,
    does,
    withUnit(cpu, "µs"),
    withUnit(cpu / figureOf(ours, 64, "cpu"), "×"),
    withUnit(figureOf(figures, 1, "p50"), "ms"),
    withUnit(figureOf(figures, 1, "p99"), "ms"),
    withUnit(figureOf(figures, 64, "p99"), "ms"),
    significant(figureOf(figures, 64, "perSecond")),
    withUnit(Number.isFinite(most) ? most / 2 ** 20 : Number.NaN, "MiB"),
    `${failures.length} of ${figures.length + failures.length}`,
  ]
}

/** The table of all rows, cheapest first; rows without figures come last. Below it, why runs failed. */
export const toTable = (rows: readonly Row[]): string => {
  const key = ({ figures }: Row) => {
    const cpu = figureOf(figures, 64, "cpu")
    return Number.isNaN(cpu) ? Number.POSITIVE_INFINITY : cpu
  }
  const lines = [heads, heads.map(() => "---"), ...rows.toSorted((a, b) => key(a) - key(b)).map(cellsOf)]
  const table = lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n")
  const reasons = rows.flatMap(({ failures }) =>
    failures.map(({ name, connections, reason }) => `- ${name}, ${connections} connections: ${reason}`),
  )
  return [table, ...(reasons.length === 0 ? [] : [[...new Set(reasons)].join("\n")])].join("\n\n")
}
