/** Answers of 1 MB on one connection: time, throughput and CPU time, compared with the bare pipe. */
import { alternate, type Context, type Experiment, pairRounds } from "./experiment.ts"
import type { LoadResult } from "./load.ts"
import { bigBytes } from "./mcp-answers.ts"
import type { Side, SideName } from "./stage.ts"
import type { Series } from "./verdict.ts"

/** Sides with the part of the rows' ids that names them; the budget is for the gateway's own. */
const compared: readonly {
  readonly name: SideName
  readonly id: string
  readonly what: string
  readonly isBudgeted: boolean
}[] = [
  { name: "session", id: "session", what: "session, policy", isBudgeted: true },
  { name: "all tools", id: "all-tools", what: "session, all tools", isBudgeted: true },
  { name: "nginx", id: "nginx", what: "nginx", isBudgeted: false },
  { name: "h3", id: "h3", what: "h3's proxyRequest", isBudgeted: false },
]

type Figure = "time" | "rate" | "cpu"

const about: Readonly<
  Record<Figure, { readonly what: string; readonly unit: Series["unit"]; of(result: LoadResult): number }>
> = {
  time: { what: "p50 of its time", unit: "ms", of: ({ p50 }) => p50 },
  rate: { what: "throughput", unit: "MB/s", of: ({ bytes, seconds }) => bytes / seconds / 1e6 },
  cpu: { what: "CPU per answer", unit: "µs", of: ({ cpu }) => cpu },
}
const figures: readonly Figure[] = ["time", "rate", "cpu"]

const idOf = (figure: Figure, id: string): string => `large-${figure}-${id}`

const checked = (result: LoadResult): LoadResult => {
  if (result.bytes < result.requests * bigBytes) throw new Error("an answer has less than 1 MB")
  return result
}

/** The results of each side, round by round. */
const measure = async (context: Context): Promise<ReadonlyMap<SideName, readonly LoadResult[]>> => {
  const { generator, rounds, seconds, note } = context
  const { sides } = await context.stage()
  const names = [...compared.map(({ name }) => name), "pipe" as const].filter((name) => sides.has(name))
  const results = new Map<SideName, LoadResult[]>(names.map((name) => [name, []]))
  const run = async (name: SideName): Promise<LoadResult> => {
    const { large, process } = sides.get(name) as Side
    return checked(await generator.run({ ...large, connections: 1, seconds, process }))
  }
  note("1 MB answers: warm-up")
  await alternate(names, 1, run)
  for (let round = 0; round < rounds; round++) {
    note(`1 MB answers: round ${round + 1} of ${rounds}`)
    const all = await alternate(names, round, run)
    for (const [index, name] of names.entries()) results.get(name)?.push(all[index] as LoadResult)
  }
  return results
}

/** The experiment. */
export const largeAnswers: Experiment = {
  ids: compared.flatMap(({ id }) => figures.map((figure) => idOf(figure, id))),
  run: async (context) => {
    const results = await measure(context)
    const pipe = results.get("pipe") ?? []
    return compared.flatMap(({ name, id, what, isBudgeted }) => {
      const own = results.get(name)
      if (own === undefined) return []
      return figures.map((figure): Series => {
        const { of, unit, what: measured } = about[figure]
        return {
          id: idOf(figure, id),
          what: `1 MB answer, ${measured}: ${what}`,
          unit,
          against: "pipe",
          ...(figure === "time" && isBudgeted ? { budget: { times: 1.1 } } : {}),
          rounds: pairRounds(own.map(of), pipe.map(of)),
        }
      })
    })
  },
}
