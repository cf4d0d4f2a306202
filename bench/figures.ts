/** Figures of a measurement, and their budgets. */
import { cpus, loadavg } from "node:os"

/** A figure that can have a budget. */
export type Figure = {
  readonly what: string
  readonly value: number
  /** Follows the value in the table, e.g. `MiB`; empty = a count. */
  readonly unit: string
  /** Digits after the point in the table; default 0. */
  readonly digits?: number
  /** Maximum value; absent = measured for comparison only. */
  readonly budget?: number
}

/** Words instead of a number, e.g. a list of calls. */
export type Remark = { readonly what: string; readonly text: string }

/** A row of a table. */
export type Row = Figure | Remark

const isFigure = (row: Row): row is Figure => "value" in row

const shown = ({ unit, digits = 0 }: Figure, value: number): string =>
  unit === "" ? value.toFixed(digits) : `${value.toFixed(digits)} ${unit}`

/** True if the row has no budget, or a figure within it. NaN is within no budget. */
export const isWithin = (row: Row): boolean => !isFigure(row) || row.budget === undefined || row.value <= row.budget

const cellsOf = (row: Row): readonly string[] => {
  if (!isFigure(row)) return [row.what, "", row.text, ""]
  const budget = row.budget === undefined ? "" : `≤ ${shown({ ...row, digits: 0 }, row.budget)}`
  const exact = row.budget === undefined || Number.isInteger(row.budget) ? budget : `≤ ${row.budget} ${row.unit}`
  return [row.what, exact, shown(row, row.value), row.budget === undefined ? "" : isWithin(row) ? "within" : "over"]
}

/** The rows as a Markdown table. */
export const toTable = (rows: readonly Row[]): string =>
  ["| what | budget | figure | |", "|---|---|---|---|", ...rows.map((row) => `| ${cellsOf(row).join(" | ")} |`)].join(
    "\n",
  )

/** Machine, versions and load, for the head of a table. */
export const machine = (kubernetes: string, loadBefore: readonly number[]): string => {
  const load = (numbers: readonly number[]) => numbers.map((each) => each.toFixed(1)).join(" ")
  return (
    `${cpus().length} cores (${cpus()[0]?.model}), Kubernetes ${kubernetes}, Node ${process.version}, ` +
    `load average (1, 5, 15 min) ${load(loadBefore)} before and ${load(loadavg())} after`
  )
}

/** Where and how a measurement was made. */
export type Setting = {
  readonly title: string
  readonly machine: string
  readonly json: boolean
  readonly check: boolean
}

/** Prints the rows, as a table or as JSON. With `check`, a row over its budget sets the exit code 1. */
export const report = (rows: readonly Row[], { title, machine: where, json, check }: Setting): void => {
  const date = new Date().toISOString().slice(0, 10)
  if (json) console.log(JSON.stringify({ date, title, machine: where, rows }, null, 2))
  else console.log(`${date}, ${title}, ${where}\n\n${toTable(rows)}`)
  if (check && !rows.every(isWithin)) process.exitCode = 1
}
