/** Resident memory of idle event streams, compared with the bare pipe. */
import { setTimeout as sleep } from "node:timers/promises"
import { type Endpoint, echoed, openSession, sessionCall, streamRequest } from "./calls.ts"
import type { Request } from "./connection.ts"
import { alternate, type Context, type Experiment, pairRounds } from "./experiment.ts"
import { parseOpenFiles, readProc } from "./proc.ts"
import type { MeasuredProcess } from "./process.ts"
import { startReflow } from "./reflow.ts"
import { startProxy, startServer } from "./stage.ts"
import { openStreams } from "./streams.ts"
import type { Series } from "./verdict.ts"
import { warmUp } from "./warm-up.ts"

/** What streams cost a program. */
type Cost = {
  /** KiB per stream, while all are open and when all are closed. */
  readonly open: number
  readonly closed: number
  /** MiB of the process after that, when calls have gone on: an idle Node collects no garbage. */
  readonly later: number
  /** Milliseconds until the head of a stream's answer, when streams are opened one after the other. */
  readonly head: number
}

/** Descriptors that a proxy has besides the two of each stream. */
const otherDescriptors = 200
const streamsPerSession = 100
/** Streams that are opened one after the other, before all of them. */
const fewStreams = 300
/** Rounds take long, and each has processes of its own: more of them say nothing new. */
const mostRounds = 3

/** How long a process rests after its streams were closed, milliseconds: it may give memory back within that time. */
const restMs = 25_000

/** Resident memory when it stands still: five looks at it, a second apart, that differ by half a percent at most. */
const settled = async (measured: MeasuredProcess): Promise<number> => {
  const look = async () => {
    await sleep(1_000)
    return measured.resident()
  }
  const { figures } = await warmUp(look, { last: 5, tolerance: 0.005, most: 40 })
  return figures.at(-1) ?? 0
}

const requireDescriptors = (measured: MeasuredProcess, streams: number): void => {
  const most = parseOpenFiles(readProc(measured.pid, "limits"))
  const needed = 2 * streams + otherDescriptors
  if (most < needed) throw new Error(`${needed} open files are needed, and ${most} allowed: raise 'ulimit -Hn'`)
}

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`

/**
 * Opens all streams on a fresh program, and closes them. Before it are no calls, in whose free memory streams would find
 * room, but a few streams, so that code and pools are there.
 */
const measureCost = async (
  { generator, streams, seconds, note }: Context,
  { measured, small, requests }: { measured: MeasuredProcess; small: Request; requests: readonly Request[] },
): Promise<Cost> => {
  requireDescriptors(measured, streams)
  const few = await openStreams(requests, Math.min(fewStreams, streams), 1)
  few.close()
  const before = await settled(measured)
  const open = await openStreams(requests, streams)
  const during = await settled(measured)
  open.close()
  await sleep(restMs)
  const after = await settled(measured)
  await generator.run({ ...small, connections: 64, seconds: seconds * 2, contains: echoed })
  const later = await settled(measured)
  note(`${streams} idle streams: ${[before, during, after, later].map(mebibytes).join(", then ")}`)
  const each = (bytes: number) => (bytes - before) / streams / 1024
  return { head: few.headMs, open: each(during), closed: each(after), later: later / 2 ** 20 }
}

const sessionsOf = async (endpoint: Endpoint, streams: number): Promise<readonly Request[]> => {
  const requests: Request[] = []
  for (let count = 0; count < streams; count += streamsPerSession)
    requests.push(streamRequest(endpoint, await openSession(endpoint)))
  return requests
}

const measureReflow = async (context: Context): Promise<Cost> => {
  const reflow = await startReflow()
  try {
    const endpoint = reflow.narrow
    const requests = await sessionsOf(endpoint, context.streams)
    const small = sessionCall(endpoint, await openSession(endpoint))
    return await measureCost(context, { measured: reflow.process, small, requests })
  } finally {
    await reflow.stop()
  }
}

const measurePipe = async (context: Context): Promise<Cost> => {
  const server = await startServer()
  try {
    const pipe = await startProxy("pipe.ts", server.origin)
    try {
      const { url } = pipe
      const requests = [streamRequest({ url }, {})]
      return await measureCost(context, { measured: pipe.process, small: sessionCall({ url }, {}), requests })
    } finally {
      await pipe.process.stop()
    }
  } finally {
    await server.process.stop()
  }
}

/** Most KiB per stream while all are open, and of what is left of them afterwards. */
const budgets: Partial<Record<keyof Cost, number>> = { open: 45, closed: 15 }

/** The experiment. */
export const idleStreams: Experiment = {
  ids: ["streams-open", "streams-closed", "streams-later", "streams-head"],
  run: async (context) => {
    const { rounds, streams } = context
    const all: (readonly Cost[])[] = []
    while (all.length < Math.min(rounds, mostRounds))
      all.push(await alternate([measureReflow, measurePipe], all.length, (measure) => measure(context)))
    const row = (id: keyof Cost, what: string, unit: Series["unit"] = "KiB"): Series => ({
      id: `streams-${id}`,
      what,
      unit,
      against: "pipe",
      ...(budgets[id] === undefined ? {} : { budget: { most: budgets[id] } }),
      rounds: pairRounds(
        all.map(([reflow]) => reflow?.[id] ?? Number.NaN),
        all.map(([, pipe]) => pipe?.[id] ?? Number.NaN),
      ),
    })
    return [
      row("open", `resident per idle event stream, ${streams} open`),
      row("closed", `left of it ${restMs / 1_000} s after all ${streams} were closed`),
      row("later", "resident when calls have gone on after that", "MiB"),
      row("head", "p50 of a stream's head, whose body does not begin", "ms"),
    ]
  },
}
