/** Measures bridges in turns: what calls cost, and what sessions hold in memory. */
import { setTimeout as sleep } from "node:timers/promises"
import type { LoadGenerator } from "./load.ts"
import { orderOf } from "./peers/measure.ts"
import { type EchoCall, openSession } from "./peers/session.ts"
import type { Entrant, Running } from "./stdio-entrants.ts"
import type { Memory } from "./stdio-usage.ts"
import { warmUp } from "./warm-up.ts"

/** Numbers of connections at which calls are measured. */
export const levels = [1, 64] as const

/** Numbers of open sessions at which memory is measured. */
export const sessionCounts = [1, 20, 50] as const

/** What one run of calls cost. */
export type Calls = {
  readonly name: string
  readonly connections: (typeof levels)[number]
  /** CPU time of the program's own processes per call, microseconds. */
  readonly cpu: number
  /** Median of the time until an answer is complete, milliseconds. */
  readonly p50: number
  readonly perSecond: number
}

/** Memory with so many open sessions. */
export type Held = {
  readonly name: string
  readonly sessions: number
  readonly own: Memory
  readonly all: Memory
  /** How many processes of the server ran. */
  readonly servers: number
}

/** What failed, and why. */
export type Failure = { readonly name: string; readonly what: string; readonly reason: string }

/** How much is measured. */
export type Effort = { readonly rounds: number; readonly seconds: number; readonly restMs: number }

/** What a comparison works with. */
export type Context = {
  readonly generator: LoadGenerator
  readonly effort: Effort
  readonly signal: AbortSignal
  readonly failures: Failure[]
  note(text: string): void
}

type Ready = { readonly entrant: Entrant; readonly running: Running; readonly call: EchoCall }

/** Runs a step; what it throws becomes a failure, and the step has no result. */
const attempt = async <T>({ failures, signal, note }: Context, name: string, what: string, run: () => Promise<T>) => {
  signal.throwIfAborted()
  try {
    return await run()
  } catch (error) {
    signal.throwIfAborted()
    const reason = error instanceof Error ? error.message : String(error)
    failures.push({ name, what, reason })
    note(`${name}, ${what}: ${reason}`)
    return undefined
  }
}

const runCalls = async (
  { generator, effort }: Context,
  { entrant: { name }, running, call }: Ready,
  connections: Calls["connections"],
  seconds = effort.seconds,
): Promise<Calls> => {
  const { url, usage } = running
  const { cpu, p50, perSecond } = await generator.run({ url, ...call, connections, seconds, process: usage })
  return { name, connections, cpu, p50, perSecond }
}

/** Starts an entrant, opens a session, and repeats calls until their CPU time stands still. */
const prepare = async (context: Context, entrant: Entrant, stack: AsyncDisposableStack): Promise<Ready> => {
  const running = await entrant.start(context.signal)
  stack.defer(() => running.stop())
  const ready = { entrant, running, call: await openSession({ ...running, signal: context.signal }) }
  const { figures } = await warmUp(async () => (await runCalls(context, ready, 64, 1)).cpu, {
    ...{ last: 3, tolerance: 0.05, most: 8 },
  })
  context.note(`warm-up of ${entrant.name}: ${figures.map((each) => each.toFixed(0)).join(" ")} µs a call`)
  return ready
}

/** Measures the calls of all entrants, which all run meanwhile; one of them is called at a time. */
export const measureCalls = async (context: Context, entrants: readonly Entrant[]): Promise<readonly Calls[]> => {
  await using stack = new AsyncDisposableStack()
  const ready: Ready[] = []
  for (const entrant of entrants) {
    const each = await attempt(context, entrant.name, "warm-up", () => prepare(context, entrant, stack))
    if (each !== undefined) ready.push(each)
  }
  const calls: Calls[] = []
  for (let round = 0; round < context.effort.rounds; round++)
    for (const connections of levels)
      for (const each of orderOf(ready, round)) {
        const what = `${connections} connections`
        const run = await attempt(context, each.entrant.name, what, () => runCalls(context, each, connections))
        if (run !== undefined) calls.push(run)
      }
  return calls
}

/** Opens sessions of an entrant that has just started, each with a call, and measures its memory at each number. */
const holdSessions = async ({ effort, signal }: Context, { name, start }: Entrant): Promise<readonly Held[]> => {
  const running = await start(signal)
  try {
    const held: Held[] = []
    for (const [index, sessions] of sessionCounts.entries()) {
      const more = sessions - (sessionCounts[index - 1] ?? 0)
      for (let opened = 0; opened < more; opened++) await openSession({ ...running, signal })
      await sleep(effort.restMs, undefined, { signal })
      held.push({ name, sessions, ...running.usage.memory(), servers: running.usage.servers() })
    }
    return held
  } finally {
    await running.stop()
  }
}

/** Measures the memory of all entrants, one after the other in each round. */
export const measureMemory = async (context: Context, entrants: readonly Entrant[]): Promise<readonly Held[]> => {
  const held: Held[] = []
  const measured = entrants.filter(({ holdsSessions }) => holdsSessions)
  for (let round = 0; round < context.effort.rounds; round++)
    for (const entrant of orderOf(measured, round)) {
      const each = await attempt(context, entrant.name, "sessions", () => holdSessions(context, entrant))
      held.push(...(each ?? []))
      context.note(`memory of ${entrant.name}: round ${round + 1} of ${context.effort.rounds}`)
    }
  return held
}
