/** The figures of a measurement as Markdown. */
import { spreadOf } from "../cold-start/phases.ts"
import type { Memory } from "../stdio-usage.ts"
import type { FirstAnswer } from "./first-answer.ts"
import type { PodMemory } from "./usage.ts"

/** Pods of one delivery that were created at once. */
export type Row = {
  /** Seconds from create to Ready, one for each Pod. */
  readonly ready: readonly number[]
  readonly memory: readonly PodMemory[]
}

/** What one round has measured of a delivery. */
export type Round = {
  readonly delivery: string
  readonly first: FirstAnswer
  /** Bytes on disk of one Pod's volumes. */
  readonly disk: number
  readonly rows: readonly Row[]
}

const mebibyte = 2 ** 20

const seconds = (value: number): string => `${value.toFixed(value < 10 ? 2 : 1)} s`

const mebibytes = (bytes: number): string => {
  const value = bytes / mebibyte
  return `${value.toFixed(value < 10 ? 1 : 0)} MiB`
}

const meanOf = (values: readonly number[]): number =>
  values.reduce((sum, each) => sum + each, 0) / Math.max(1, values.length)

/** Pss and Rss of one part of a Pod, each the mean of all Pods; blank for a part that these Pods do not have. */
const memoryCells = (all: readonly (Memory | undefined)[]): readonly string[] => {
  const found = all.filter((each) => each !== undefined)
  if (found.length === 0) return ["", ""]
  return [mebibytes(meanOf(found.map(({ pss }) => pss))), mebibytes(meanOf(found.map(({ rss }) => rss)))]
}

const toMarkdown = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n")

/** The rows of all rounds with so many Pods, as one row of the table. */
const crowdCells = (delivery: string, pods: number, rows: readonly Row[]): readonly string[] => {
  const ready = rows.flatMap((row) => row.ready)
  const { median, p95 } = spreadOf(ready)
  const memory = rows.flatMap((row) => row.memory)
  return [
    delivery,
    String(pods),
    ...[median, p95, Math.max(...ready)].map(seconds),
    ...memoryCells(memory.map(({ bridge }) => bridge)),
    ...memoryCells(memory.map(({ server }) => server)),
  ]
}

const crowdHead = [
  "bridge by",
  "Pods at once",
  "create to Ready: p50",
  "p95",
  "longest",
  "bridge: Pss a Pod",
  "Rss",
  "server: Pss a Pod",
  "Rss",
]

/** Deliveries in the order `names`, each with its rounds. */
const byDelivery = (rounds: readonly Round[], names: readonly string[]): readonly (readonly [string, Round[]])[] =>
  names.map((name) => [name, rounds.filter(({ delivery }) => delivery === name)])

/** The table of all numbers of Pods: the times of all rounds together, and the mean memory of a Pod. */
export const crowdTable = (rounds: readonly Round[], names: readonly string[]): string => {
  const rows = byDelivery(rounds, names).flatMap(([name, its]) => {
    const counts = Map.groupBy(
      its.flatMap((round) => round.rows),
      (row) => row.ready.length,
    )
    return [...counts].map(([pods, same]) => crowdCells(name, pods, same))
  })
  return toMarkdown(crowdHead, rows)
}

/** The table of one user's first answer, and of the disk that one Pod takes. */
export const singleTable = (rounds: readonly Round[], names: readonly string[]): string =>
  toMarkdown(
    ["bridge by", "initialize answered: median", "first tool answer: median", "longest", "disk of a Pod's volumes"],
    byDelivery(rounds, names).map(([name, its]) => {
      const opened = its.map(({ first }) => first.opened)
      const called = its.map(({ first }) => first.called)
      const disk = Math.max(...its.map((round) => round.disk))
      const medians = [opened, called].map((each) => seconds(spreadOf(each).median))
      return [name, ...medians, seconds(Math.max(...called)), mebibytes(disk)]
    }),
  )
