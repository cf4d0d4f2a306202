/** The tables and the verdicts of the comparison of bridges. */
import { pairRounds } from "./experiment.ts"
import type { Entrant } from "./stdio-entrants.ts"
import { type Calls, type Failure, type Held, levels, sessionCounts } from "./stdio-measure.ts"
import { median, type Series } from "./verdict.ts"

/** All that was measured. */
export type Measured = {
  readonly calls: readonly Calls[]
  readonly held: readonly Held[]
  readonly failures: readonly Failure[]
}

/** Which memory is meant: of the program alone, by what it holds and by what is resident, and with its servers. */
type MemoryKind = "anonymous" | "rss" | "all"

const bytesOf = ({ own, all }: Held, kind: MemoryKind): number => (kind === "all" ? all.pss : own[kind])

/** Between these numbers of sessions the growth is taken: the first sessions also warm the program's own code. */
const [from, to] = [sessionCounts[1], sessionCounts[2]]

/** Memory with this many sessions, a figure for each round. */
const memoryOf = (held: readonly Held[], name: string, sessions: number, kind: MemoryKind): readonly number[] =>
  held.filter((each) => each.name === name && each.sessions === sessions).map((each) => bytesOf(each, kind))

/** By how many bytes memory grows with each further session, a figure for each round. */
export const growthOf = (held: readonly Held[], name: string, kind: MemoryKind): readonly number[] => {
  const before = memoryOf(held, name, from, kind)
  return memoryOf(held, name, to, kind).map((bytes, round) => (bytes - (before[round] ?? 0)) / (to - from))
}

const callsOf = (calls: readonly Calls[], name: string, connections: number, figure: "cpu" | "p50" | "perSecond") =>
  calls.filter((each) => each.name === name && each.connections === connections).map((each) => each[figure])

/** Three digits that count. */
const digits = (value: number): string => {
  const size = Math.abs(value)
  return size >= 100 ? value.toFixed(0) : value.toPrecision(3)
}

/** The median and the range of figures; a dash if there are none. */
export const shown = (figures: readonly number[], unit: string, scale = 1): string => {
  if (figures.length === 0) return "–"
  const scaled = figures.map((each) => each / scale)
  return `${digits(median(scaled))} ${unit} (${digits(Math.min(...scaled))}–${digits(Math.max(...scaled))})`.replace(
    "  ",
    " ",
  )
}

const markdown = (heads: readonly string[], rows: readonly (readonly string[])[]): string =>
  [heads, heads.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n")

const callTable = (entrants: readonly Entrant[], { calls }: Measured): string => {
  const [lone, busiest] = [levels[0], levels[levels.length - 1] ?? 0]
  const heads = ["program", "server processes", `CPU a call at ${busiest}`, `CPU a call at ${lone}`, `p50 at ${lone}`]
  const rows = entrants.map(({ name, servers }) => [
    name,
    servers,
    shown(callsOf(calls, name, busiest, "cpu"), "µs"),
    shown(callsOf(calls, name, lone, "cpu"), "µs"),
    shown(callsOf(calls, name, lone, "p50"), "ms"),
    shown(callsOf(calls, name, busiest, "perSecond"), ""),
  ])
  return markdown([...heads, `calls/s at ${busiest}`], rows)
}

const memoryTable = (entrants: readonly Entrant[], { held }: Measured): string => {
  const [kibi, mebi] = [2 ** 10, 2 ** 20]
  const cells = (name: string, kind: MemoryKind) => [
    ...sessionCounts.map((count) => shown(memoryOf(held, name, count, kind), "MiB", mebi)),
    shown(growthOf(held, name, kind), "KiB", kibi),
  ]
  const heads = ["program", "memory", ...sessionCounts.map((count) => `${count} open`), "growth a session"]
  const kinds = { anonymous: "own, anonymous", rss: "own, resident", all: "with its servers, PSS" } as const
  const rows = entrants
    .filter(({ holdsSessions }) => holdsSessions)
    .flatMap(({ name }) =>
      Object.entries(kinds).map(([kind, what]) => [name, what, ...cells(name, kind as MemoryKind)]),
    )
  return markdown(heads, rows)
}

/** The tables, and below them what failed. */
export const toTables = (entrants: readonly Entrant[], measured: Measured): string =>
  [
    callTable(entrants, measured),
    memoryTable(entrants, measured),
    ...measured.failures.map(({ name, what, reason }) => `- ${name}, ${what}: ${reason}`),
  ].join("\n\n")

/** A figure by which programs are compared: its values of each round, by the program's name. */
type Judged = {
  readonly what: string
  readonly unit: Series["unit"]
  readonly of: (name: string) => readonly number[]
  /** True if only programs can be compared that run as many servers. */
  readonly withServers?: true
}

const judgedFigures = ({ calls, held }: Measured): readonly Judged[] => {
  const growth = (kind: MemoryKind) => (name: string) => growthOf(held, name, kind).map((each) => each / 2 ** 10)
  return [
    ...levels.map((level): Judged => {
      return { what: `CPU a call at ${level}`, unit: "µs", of: (name) => callsOf(calls, name, level, "cpu") }
    }),
    { what: "own memory a session", unit: "KiB", of: growth("anonymous") },
    { what: "memory a session with servers", unit: "KiB", of: growth("all"), withServers: true },
  ]
}

/** What must hold: each judged program is cheaper than each peer that logs as it does. Figures that were not measured are left out. */
export const judgedSeries = (entrants: readonly Entrant[], measured: Measured): readonly Series[] => {
  const peers = entrants.filter(({ isPeer }) => isPeer)
  return entrants
    .filter(({ isJudged }) => isJudged)
    .flatMap((own) => peers.map((peer) => ({ own, peer })))
    .filter(({ own, peer }) => peer.log === undefined || own.log === peer.log)
    .flatMap(({ own, peer }) =>
      judgedFigures(measured)
        .filter(({ withServers }) => withServers !== true || own.servers === peer.servers)
        .map(({ what, unit, of }): Series => {
          const id = `${own.name}: ${what}`
          const rounds = pairRounds(of(own.name), of(peer.name)).filter(({ reference }) => reference !== undefined)
          return { id, what: id, unit, against: peer.name, budget: { times: 1 }, rounds }
        }),
    )
    .filter(({ rounds }) => rounds.length > 0)
}
