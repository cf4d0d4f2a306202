/** The figures of a soak: what is judged, and what is written down. */
import type { ProcessUsage } from "../support/process-usage.ts"
import type { Life } from "./operator-lives.ts"
import type { Outcome } from "./user.ts"

/** What was seen at one moment. */
export type Sample = ProcessUsage & {
  /** Since the first sample. */
  readonly seconds: number
  /** Writes of the gateway to the API server so far. */
  readonly gatewayWrites: number
}

/** What a soak has seen. */
export type Soak = {
  readonly outcomes: readonly Outcome[]
  /** Of the gateway. */
  readonly samples: readonly Sample[]
  /** The gateway before its first request, and after its last. */
  readonly gateway: { readonly before: ProcessUsage; readonly after: ProcessUsage }
  readonly lives: readonly Life[]
  /** Instances that were made. */
  readonly made: number
  /** The most Pods at once, terminating ones included. */
  readonly mostPods: number
}

/** The value below which this part (0 to 1) of the numbers is; NaN of none. */
export const quantile = (numbers: readonly number[], part: number): number =>
  numbers.toSorted((a, b) => a - b)[Math.min(numbers.length - 1, Math.floor(numbers.length * part))] ?? Number.NaN

const median = (numbers: readonly number[]): number => quantile(numbers, 0.5)

/** How much more a process holds at the end than it held when it was warm: medians of the last and the second quarter. */
export const growth = (values: readonly number[]): number => {
  const quarter = Math.max(Math.floor(values.length / 4), 1)
  return median(values.slice(-quarter)) - median(values.slice(quarter, 2 * quarter))
}

/** The most writes a second between two samples. */
export const peakRate = (samples: readonly Sample[]): number =>
  Math.max(
    0,
    ...samples.slice(1).map((sample, index) => {
      const before = samples[index]
      if (before === undefined) return 0
      return (sample.gatewayWrites - before.gatewayWrites) / (sample.seconds - before.seconds)
    }),
  )

const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`
const mebibytes = (values: readonly number[]): string =>
  `${Math.min(...values).toFixed(0)} to ${Math.max(...values).toFixed(0)} MiB`
const range = (values: readonly number[]): string => `${Math.min(...values)} to ${Math.max(...values)}`

/** Milliseconds of the requests that were answered well. */
const times = (outcomes: readonly Outcome[], isFirst: boolean): readonly number[] =>
  outcomes.filter((each) => each.kind === "ok" && !each.isLong && each.isFirst === isFirst).map(({ ms }) => ms)

const operatorRows = ({ lives, made }: Soak): readonly (readonly [string, string])[] => [
  ["operators that were killed", String(lives.length)],
  [
    "an operator led after its start in, the first one left out",
    `${range(lives.slice(1).map(({ ledAfter }) => Math.round(ledAfter)))} s`,
  ],
  ["operator: resident memory at the end of its life", mebibytes(lives.map(({ residentMiB }) => residentMiB))],
  ["operator: descriptors at the end of its life", range(lives.map(({ descriptors }) => descriptors))],
  ["operator: writes an instance", (lives.reduce((sum, { writes }) => sum + writes, 0) / made).toFixed(1)],
]

/** The rows of the table in bench/README.md. */
export const rowsOf = (soak: Soak): readonly (readonly [string, string])[] => {
  const { outcomes, samples, gateway, made, mostPods } = soak
  const count = (kind: Outcome["kind"]) => outcomes.filter((each) => each.kind === kind).length
  const [warm, first] = [times(outcomes, false), times(outcomes, true)]
  const resident = samples.map(({ residentMiB }) => residentMiB)
  const writes = (samples.at(-1)?.gatewayWrites ?? 0) - (samples[0]?.gatewayWrites ?? 0)
  return [
    ["requests", String(outcomes.length)],
    ["told that no place is free, with Retry-After", String(count("busy"))],
    ["told to come again at the end of the hold", String(count("held"))],
    ["failed", String(count("failed"))],
    ["warm request: median, 99%", `${seconds(median(warm))}, ${seconds(quantile(warm, 0.99))}`],
    [
      "first request of a visit: median, 99%, most",
      [median(first), quantile(first, 0.99), Math.max(...first)].map(seconds).join(", "),
    ],
    ["instances that were made", String(made)],
    ["Pods at once, terminating ones included", String(mostPods)],
    ["gateway: resident memory, growth when warm", `${mebibytes(resident)}, ${growth(resident).toFixed(0)} MiB`],
    [
      "gateway: descriptors before, at most, after",
      [gateway.before, samples.reduce((a, b) => (a.descriptors > b.descriptors ? a : b)), gateway.after]
        .map(({ descriptors }) => descriptors)
        .join(", "),
    ],
    [
      "gateway: writes a request, most in a second",
      `${(writes / outcomes.length).toFixed(2)}, ${peakRate(samples).toFixed(0)}`,
    ],
    ...operatorRows(soak),
  ]
}

/** Rows as a table in Markdown. */
export const toTable = (rows: readonly (readonly [string, string])[]): string =>
  ["| what | figure |", "|---|---|", ...rows.map(([what, figure]) => `| ${what} | ${figure} |`)].join("\n")
