/** Answers of 1 MB on one connection: time, throughput and CPU time, compared with the bare pipe. */
import { alternate, type Experiment, pairRounds } from "./experiment.ts"
import type { LoadResult } from "./load.ts"
import { bigBytes } from "./mcp-answers.ts"
import type { SideName } from "./stage.ts"
import type { Series } from "./verdict.ts"

const names: readonly SideName[] = ["session", "pipe", "nginx", "h3"]

const checked = (result: LoadResult): LoadResult => {
  if (result.bytes < result.requests * bigBytes) throw new Error("an answer has less than 1 MB")
  return result
}

const toRows = (what: string, id: string, own: readonly LoadResult[], pipe: readonly LoadResult[]): Series[] => {
  const row = (figure: string, measured: string, unit: Series["unit"], of: (result: LoadResult) => number): Series => ({
    id: `large-${figure}-${id}`,
    what: `1 MB answer, ${measured}: ${what}`,
    unit,
    against: "pipe",
    ...(figure === "time" && id === "session" ? { budget: { times: 1.1 } } : {}),
    rounds: pairRounds(own.map(of), pipe.map(of)),
  })
  return [
    row("time", "p50 of its time", "ms", ({ p50 }) => p50),
    row("rate", "throughput", "MB/s", ({ bytes, seconds }) => bytes / seconds / 1e6),
    row("cpu", "CPU per answer", "µs", ({ cpu }) => cpu),
  ]
}

/** The experiment. */
export const largeAnswers: Experiment = {
  ids: ["session", "nginx", "h3"].flatMap((id) => ["time", "rate", "cpu"].map((figure) => `large-${figure}-${id}`)),
  run: async ({ stage, generator, rounds, seconds, note }) => {
    const { sides } = await stage()
    const present = names.flatMap((name) => {
      const side = sides.get(name)
      return side === undefined ? [] : [{ name, ...side }]
    })
    const results = new Map<SideName, LoadResult[]>(present.map(({ name }) => [name, []]))
    // the first round only warms the code for large bodies
    for (let round = -1; round < rounds; round++) {
      note(round < 0 ? "1 MB answers: warm-up" : `1 MB answers: round ${round + 1} of ${rounds}`)
      const all = await alternate(present, Math.abs(round), ({ large, process }) =>
        generator.run({ ...large, connections: 1, seconds, process }),
      )
      if (round >= 0)
        for (const [index, { name }] of present.entries()) results.get(name)?.push(checked(all[index] as LoadResult))
    }
    const pipe = results.get("pipe") ?? []
    const rowsOf = (name: SideName, what: string) => toRows(what, name, results.get(name) ?? [], pipe)
    return [
      ...rowsOf("session", "session, policy"),
      ...(results.has("nginx") ? rowsOf("nginx", "nginx") : []),
      ...rowsOf("h3", "h3's proxyRequest"),
    ]
  },
}
