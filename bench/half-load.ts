/** CPU time and latency at half of the load that the gateway can take, compared with the bare pipe at the same load. */
import { echoed } from "./calls.ts"
import { alternate, type Context, type Experiment } from "./experiment.ts"
import type { LoadResult } from "./load.ts"
import type { Side, SideName } from "./stage.ts"
import type { Series } from "./verdict.ts"

const connections = 64

type HalfRound = { readonly gateway: LoadResult; readonly pipe: LoadResult }

/** One round: the most that the gateway takes now, then both at half of it. */
const runRound = async (
  { generator, seconds, note }: Context,
  sides: { readonly gateway: Side; readonly pipe: Side },
  round: number,
): Promise<HalfRound> => {
  const load = ({ small, process }: Side) => ({ ...small, connections, seconds, contains: echoed, process })
  const most = await generator.run(load(sides.gateway))
  const perSecond = most.perSecond / 2
  const [gateway, pipe] = await alternate([sides.gateway, sides.pipe], round, (side) =>
    generator.run({ ...load(side), perSecond }),
  )
  if (gateway === undefined || pipe === undefined) throw new Error("a run is missing")
  const late = [gateway, pipe].map(({ late99 }) => late99.toFixed(1)).join(" and ")
  note(`half load: ${perSecond.toFixed(0)} calls per second; calls were sent up to ${late} ms late (p99)`)
  return { gateway, pipe }
}

const eras: readonly { readonly id: string; readonly gateway: SideName; readonly pipe: SideName }[] = [
  { id: "session", gateway: "session", pipe: "pipe" },
  { id: "modern", gateway: "modern", pipe: "modern pipe" },
]

/** The experiment, for one era of MCP each. */
export const halfLoads: readonly Experiment[] = eras.map(({ id, ...names }) => ({
  ids: [`cpu-half-${id}`, `p50-half-${id}`, `p99-half-${id}`],
  run: async (context) => {
    const { sides } = await context.stage()
    const [gateway, pipe] = [sides.get(names.gateway), sides.get(names.pipe)]
    if (gateway === undefined || pipe === undefined) return []
    const rounds: HalfRound[] = []
    while (rounds.length < context.rounds) rounds.push(await runRound(context, { gateway, pipe }, rounds.length))
    const row = (figure: "cpu" | "p50" | "p99"): Series => ({
      id: `${figure}-half-${id}`,
      what: `${figure === "cpu" ? "CPU per call" : figure} at half load, ${connections} connections: ${id}, policy`,
      unit: figure === "cpu" ? "µs" : "ms",
      against: "pipe at the same rate",
      ...(figure === "p99" ? { budget: { most: 10 } } : {}),
      rounds: rounds.map((each) => ({ figure: each.gateway[figure], reference: each.pipe[figure] })),
    })
    return [row("cpu"), row("p50"), row("p99")]
  },
}))
