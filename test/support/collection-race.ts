import fc from "fast-check"
import type { Around, PortWrite } from "./around-port.ts"

/** When a request comes, seen from the operator that collects. */
export const moments = [
  "before the drain is written",
  "when it is written and not answered yet",
  "while it goes on",
  "before the delete",
  "when that is made and not answered yet",
] as const

/** One race between a request and a collection. */
export type Race = {
  readonly moment: (typeof moments)[number]
  /** How long the request has before the operator's write, or its answer, goes on; in the unit of `lead`. */
  readonly lead: number
  /** While it drains: milliseconds after the drain was written. */
  readonly afterMs: number
  /** True: by the gateway whose watch is late. */
  readonly late: boolean
  readonly callMs: number
}

/** Races by a seed: equal seeds make equal races. */
export const racesOf = (seed: number, count: number): readonly Race[] =>
  fc.sample(
    fc.record({
      moment: fc.constantFrom(...moments),
      lead: fc.nat({ max: 40 }),
      afterMs: fc.oneof(fc.nat({ max: 2_000 }), fc.integer({ min: 1_990, max: 2_010 })),
      late: fc.boolean(),
      callMs: fc.constantFrom(0, 1, 300, 1_900, 2_100, 4_000),
    }),
    { seed, numRuns: count },
  )

/** What a race needs of the world that it runs in. */
export type RaceTrack = {
  /** Lets the request have its lead. */
  readonly lead: (turns: number) => Promise<void>
  readonly later: (ms: number, task: () => void) => void
  /** Sends the request. Called once for each race. */
  readonly fire: (instance: string, race: Race) => void
}

const beginsDrain = ({ verb, kind, patch }: PortWrite): boolean => {
  if (verb !== "patchStatus" || kind !== "MCPInstance") return false
  const { conditions } = (patch?.status ?? {}) as { conditions?: readonly { type: string; status: string }[] }
  return conditions?.some(({ type, status }) => type === "Draining" && status === "True") === true
}

/** Stands around the operator's writes and lets the request of an instance's next race come at that race's moment. */
export const raceAround = (raceOf: (instance: string) => Race | undefined, track: RaceTrack): Around => {
  const fired = new Set<Race>()
  const fire = async (name: string, race: Race): Promise<void> => {
    if (fired.has(race)) return
    fired.add(race)
    track.fire(name, race)
    await track.lead(race.lead)
  }
  return async (write, run) => {
    const race = raceOf(write.name)
    const drains = beginsDrain(write)
    const deletes = write.verb === "delete" && write.kind === "MCPInstance"
    if (race === undefined || fired.has(race) || (!drains && !deletes)) return run()
    const is = (moment: Race["moment"]): boolean => race.moment === moment
    if ((drains && is("before the drain is written")) || (deletes && is("before the delete")))
      await fire(write.name, race)
    const answer = await run()
    if (drains && is("while it goes on")) track.later(race.afterMs, () => void fire(write.name, race))
    if (
      (drains && is("when it is written and not answered yet")) ||
      (deletes && is("when that is made and not answered yet"))
    )
      await fire(write.name, race)
    return answer
  }
}
