/** What a comparison prints with --json, and one table of several of them. */
import { arch, cpus, loadavg, release } from "node:os"
import { type Row, toTable } from "./table.ts"

/** The results of a run. */
export type Results = {
  readonly rows: readonly Row[]
  /** Machine, date, load and command, a line each. */
  readonly circumstances: readonly string[]
}

/**
 * The rows of several runs in one list: a peer's row is that of the last run that has it. The rows with one of the names
 * `own` were measured in each run, and get the figures of all runs.
 */
export const mergeRows = (runs: readonly (readonly Row[])[], own: readonly string[]): readonly Row[] =>
  [...Map.groupBy(runs.flat(), ({ name }) => name)].flatMap(([name, rows]) => {
    const last = rows[rows.length - 1]
    if (last === undefined) return []
    if (!own.includes(name)) return [last]
    const all = <T>(of: (row: Row) => readonly T[]): readonly T[] => rows.flatMap(of)
    return [
      {
        ...last,
        figures: all((row) => row.figures),
        failures: all((row) => row.failures),
        ours: all((row) => row.ours),
      },
    ]
  })

/** The machine's load averages as text. */
export const loads = (): string =>
  loadavg()
    .map((each) => each.toFixed(1))
    .join(" ")

/** Machine, date, load and command of this run, which began with the load `before`. */
export const describeRun = (before: string, script = "npm run bench:peers"): readonly string[] => {
  const machine = `${cpus().length} cores (${cpus()[0]?.model.trim() ?? "?"}), ${process.platform} ${release()} ${arch()}`
  const given = process.argv.slice(2).map((each) => (/^[\w-]+$/.test(each) ? each : JSON.stringify(each)))
  return [
    `${new Date().toISOString().slice(0, 10)}, ${machine}, Node ${process.versions.node}`,
    `load average (1, 5, 15 min) before: ${before}; after: ${loads()}`,
    `command: ${[script, ...(given.length === 0 ? [] : ["--", ...given])].join(" ")}`,
  ]
}

/** The table, with machine, date, load and command below it. */
export const toText = ({ rows, circumstances }: Results): string => `${toTable(rows)}\n\n${circumstances.join("\n")}`
