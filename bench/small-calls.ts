/** Small calls: CPU time, latency and throughput at several numbers of connections, compared with the bare pipe. */
import { echoed } from "./calls.ts"
import { alternate, type Context, type Experiment, pairRounds } from "./experiment.ts"
import type { LoadResult } from "./load.ts"
import type { SideName } from "./stage.ts"
import type { Budget, Series } from "./verdict.ts"

/** Sides with the part of the rows' ids that names them, what they are, and the side that they are compared with. */
const compared: readonly {
  readonly name: SideName
  readonly id: string
  readonly what: string
  readonly pipe: SideName
  /** What the side is compared with; default the pipe. */
  readonly against?: string
  /** Of all its figures that are not calls per second, or of those of {@link shownAt}; absent: none. */
  readonly budget?: Budget | "own"
}[] = [
  { name: "session", id: "session", what: "session, policy", pipe: "pipe", budget: "own" },
  { name: "modern", id: "modern", what: "modern, policy", pipe: "modern pipe", budget: "own" },
  { name: "all tools", id: "all-tools", what: "session, all tools", pipe: "pipe" },
  {
    ...{ name: "remote", id: "remote", what: "session, policy, somebody else's server" },
    ...{ pipe: "session", against: "a server that it has started", budget: { times: 1.1 } },
  },
  {
    ...{ name: "modern remote", id: "modern-remote", what: "modern, policy, somebody else's server" },
    ...{ pipe: "modern", against: "a server that it has started", budget: { times: 1.1 } },
  },
  { name: "nginx", id: "nginx", what: "nginx", pipe: "pipe" },
  { name: "h3", id: "h3", what: "h3's proxyRequest", pipe: "pipe" },
]

type Figure = "cpu" | "p50" | "p99" | "rate"

/** Which figures are shown at a number of connections, with the budget of the gateway's own rows. */
type Shown = { readonly figure: Figure; readonly budget?: Budget }

const shownAt: ReadonlyMap<number, readonly Shown[]> = new Map([
  [
    1,
    [
      { figure: "cpu" },
      { figure: "p50", budget: { times: 1.3 } },
      { figure: "p99", budget: { times: 1.2 } },
    ] satisfies Shown[],
  ],
  [16, [{ figure: "cpu" }] satisfies Shown[]],
  [64, [{ figure: "cpu", budget: { times: 1.5 } }, { figure: "p99" }, { figure: "rate" }] satisfies Shown[]],
])

const about: Readonly<
  Record<Figure, { readonly what: string; readonly unit: Series["unit"]; of(result: LoadResult): number }>
> = {
  cpu: { what: "CPU per call", unit: "µs", of: ({ cpu }) => cpu },
  p50: { what: "p50", unit: "ms", of: ({ p50 }) => p50 },
  p99: { what: "p99", unit: "ms", of: ({ p99 }) => p99 },
  rate: { what: "calls per second", unit: "/s", of: ({ perSecond }) => perSecond },
}

/** The budget of a side for all its costs; those at the tail are too noisy on two cores to be compared with one. */
const budgetOf = (figure: Figure, budget: Budget | undefined): Budget | undefined =>
  figure === "cpu" || figure === "p50" ? budget : undefined

const idOf = (figure: Figure, connections: number, side: string): string => `${figure}-${connections}-${side}`

const run = async (context: Context, connections: number): Promise<readonly Series[]> => {
  const { generator, rounds, seconds, note } = context
  const { sides } = await context.stage()
  const names = [...sides.keys()]
  const results = new Map<SideName, LoadResult[]>(names.map((name) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    note(`small calls at ${connections}: round ${round + 1} of ${rounds}`)
    const all = await alternate([...sides], round, ([, { small, process }]) =>
      generator.run({ ...small, connections, seconds, contains: echoed, process }),
    )
    for (const [index, name] of names.entries()) results.get(name)?.push(all[index] as LoadResult)
  }
  return compared.flatMap(({ name, id, what, pipe, against = "pipe", budget: given }) => {
    const mine = results.get(name)
    if (mine === undefined) return []
    return (shownAt.get(connections) ?? []).map(({ figure, budget }): Series => {
      const { of, unit, what: measured } = about[figure]
      const own = given === "own" ? budget : budgetOf(figure, given)
      return {
        id: idOf(figure, connections, id),
        what: `${measured}, ${connections} connection${connections === 1 ? "" : "s"}: ${what}`,
        unit,
        against,
        ...(own === undefined ? {} : { budget: own }),
        rounds: pairRounds(mine.map(of), (results.get(pipe) ?? []).map(of)),
      }
    })
  })
}

/** One experiment for each number of connections. */
export const smallCalls: readonly Experiment[] = [...shownAt].map(([connections, shown]) => ({
  ids: compared.flatMap(({ id }) => shown.map(({ figure }) => idOf(figure, connections, id))),
  run: (context) => run(context, connections),
}))
