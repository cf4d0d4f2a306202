/** A fresh gateway: time until it is ready, and its resident memory after a load, compared with the bare pipe. */
import { setTimeout as sleep } from "node:timers/promises"
import { echoed, openSession, sessionCall } from "./calls.ts"
import type { Request } from "./connection.ts"
import { alternate, type Context, type Experiment, pairRounds } from "./experiment.ts"
import type { MeasuredProcess } from "./process.ts"
import { startReflow } from "./reflow.ts"
import { startProxy, startServer } from "./stage.ts"
import type { Series } from "./verdict.ts"

type Fresh = { readonly startMs: number; readonly resident: number }

const connections = 64
/** The load is some runs long, so that the heap has taken its size. */
const runs = 3
/** Between the load and the look at the memory, milliseconds. */
const restMs = 2_000

const loadAndLook = async (
  { generator, seconds }: Context,
  measured: MeasuredProcess,
  small: Request,
): Promise<Fresh> => {
  await generator.run({ ...small, connections, seconds: seconds * runs, contains: echoed })
  await sleep(restMs)
  return { startMs: measured.startMs, resident: measured.resident() }
}

const measureReflow = async (context: Context): Promise<Fresh> => {
  const reflow = await startReflow()
  try {
    const session = await openSession(reflow.narrow)
    return await loadAndLook(context, reflow.process, sessionCall(reflow.narrow, session))
  } finally {
    await reflow.stop()
  }
}

const measurePipe = async (context: Context): Promise<Fresh> => {
  const server = await startServer()
  try {
    const { process, url } = await startProxy("pipe.ts", server.origin)
    try {
      return await loadAndLook(context, process, sessionCall({ url }, {}))
    } finally {
      await process.stop()
    }
  } finally {
    await server.process.stop()
  }
}

/** The experiment. */
export const freshStart: Experiment = {
  ids: ["resident", "start"],
  run: async (context) => {
    const all: (readonly Fresh[])[] = []
    while (all.length < context.rounds) {
      context.note(`fresh processes: round ${all.length + 1} of ${context.rounds}`)
      all.push(await alternate([measureReflow, measurePipe], all.length, (measure) => measure(context)))
    }
    const row = (about: Omit<Series, "rounds" | "against">, of: (fresh: Fresh) => number): Series => ({
      ...about,
      against: "pipe",
      rounds: pairRounds(
        all.flatMap(([reflow]) => (reflow === undefined ? [] : [of(reflow)])),
        all.flatMap(([, pipe]) => (pipe === undefined ? [] : [of(pipe)])),
      ),
    })
    return [
      row(
        { id: "resident", what: "resident after a load on 64 connections", unit: "MiB", budget: { most: 160 } },
        ({ resident }) => resident / 2 ** 20,
      ),
      row(
        { id: "start", what: "start of the process until it is ready", unit: "ms", budget: { most: 1_000 } },
        ({ startMs }) => startMs,
      ),
    ]
  },
}
