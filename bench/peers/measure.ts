/** Measures entrants in turns, so that each sees the same state of the machine. */
import type { LoadGenerator } from "../load.ts"
import { type WarmUp, warmUp } from "../warm-up.ts"
import type { Entrant } from "./entrant.ts"

/** Numbers of connections at which each entrant is measured; the busiest is the last. */
export const levels = [1, 16, 64] as const
export type Level = (typeof levels)[number]

/** Figures of one run. */
export type Figures = {
  readonly name: string
  readonly connections: Level
  readonly requests: number
  /** CPU time of the entrant's processes per call, microseconds. */
  readonly cpu: number
  /** Median and 99th percentile of the time until an answer is complete, milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly perSecond: number
  /** Resident memory of the entrant's processes right after the run, in bytes. */
  readonly resident: number
}

/** A run that broke off: an answer was not the echo, or did not come, or a connection broke. */
export type Failure = { readonly name: string; readonly connections: Level; readonly reason: string }

/** What was measured. */
export type Measured = { readonly figures: readonly Figures[]; readonly failures: readonly Failure[] }

/** How long a run lasts, and how many rounds there are. */
export type Effort = { readonly seconds: number; readonly rounds: number }

const busiest = levels[levels.length - 1] ?? 64
const warmUpSeconds = 1
/** At most so many runs: a slow peer takes several seconds for each, since its last answers are waited for. */
const steadiness = { last: 3, tolerance: 0.05, most: 8 }

const runOnce = async (
  generator: LoadGenerator,
  { name, url, call, process }: Entrant,
  connections: Level,
  seconds: number,
): Promise<Figures> => {
  const { requests, cpu, p50, p99, perSecond } = await generator.run({ url, ...call, connections, seconds, process })
  return { name, connections, requests, cpu, p50, p99, perSecond, resident: process.resident() }
}

/** Sends the busiest load until the CPU time per call stands still. Throws if a call fails. */
export const warmEntrant = (generator: LoadGenerator, entrant: Entrant, signal: AbortSignal): Promise<WarmUp> =>
  warmUp(async () => {
    signal.throwIfAborted()
    return (await runOnce(generator, entrant, busiest, warmUpSeconds)).cpu
  }, steadiness)

/** Entrants in the order of a round: it is reversed in every other one, so that nobody is always last. */
export const orderOf = <T>(entrants: readonly T[], round: number): readonly T[] =>
  round % 2 === 0 ? entrants : entrants.toReversed()

/** Measures all entrants at all levels, in alternating rounds. A run that fails is a {@link Failure}. */
export const measure = async (
  generator: LoadGenerator,
  entrants: readonly Entrant[],
  { seconds, rounds }: Effort,
  signal: AbortSignal,
): Promise<Measured> => {
  const figures: Figures[] = []
  const failures: Failure[] = []
  for (let round = 0; round < rounds; round++) {
    for (const connections of levels) {
      for (const entrant of orderOf(entrants, round)) {
        signal.throwIfAborted()
        try {
          figures.push(await runOnce(generator, entrant, connections, seconds))
        } catch (error) {
          failures.push({ name: entrant.name, connections, reason: error instanceof Error ? error.message : "?" })
        }
      }
    }
  }
  return { figures, failures }
}
