import fc from "fast-check"
import type { MCPTarget } from "../../src/api/kinds/mcp-target.ts"
import { instanceName } from "../../src/api/names.ts"
import { subjectKeyFor } from "../../src/identity/subject-key.ts"
import type { ClockPort } from "../../src/ports/clock.ts"
import type { ClusterPort } from "../../src/ports/cluster.ts"
import type { Around, PortWrite } from "./around-port.ts"
import { identity } from "./build/who.ts"
import { type GatewayHalf, type Visit, visit } from "./visits.ts"

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
type RaceTrack = {
  /** Lets the request have its lead. */
  readonly lead: (turns: number) => Promise<void>
  readonly later: (ms: number, task: () => void) => void
  /** Sends the request. Called once for each race. */
  readonly fire: (instance: string, race: Race) => void
}

/** True for the write that begins a drain. */
export const beginsDrain = ({ verb, kind, patch }: PortWrite): boolean => {
  if (verb !== "patchStatus" || kind !== "MCPInstance") return false
  const { conditions } = (patch?.status ?? {}) as { conditions?: readonly { type: string; status: string }[] }
  return conditions?.some(({ type, status }) => type === "Draining" && status === "True") === true
}

/** Stands around the operator's writes and lets the request of an instance's next race come at that race's moment. */
const raceAround = (raceOf: (instance: string) => Race | undefined, track: RaceTrack): Around => {
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
    // whatever the moment was to be, a collection does not end without its request
    if ((drains && is("when it is written and not answered yet")) || (deletes && !is("while it goes on")))
      await fire(write.name, race)
    return answer
  }
}

/** Somebody whose instance becomes idle again and again, and whose next request comes while it is being collected. */
export type Racer = {
  readonly subject: string
  /** Races that are to come, and the one that runs. */
  readonly races: Race[]
  readonly outcomes: { readonly race: Race; readonly visit: Visit }[]
}

/** Where races are run. */
export type RaceGround = {
  readonly target: MCPTarget
  readonly races: readonly Race[]
  /** How many people share the races. */
  readonly racers: number
  readonly prompt: GatewayHalf
  readonly late: GatewayHalf
  readonly truth: ClusterPort
  readonly clock: ClockPort
  /** Lets a request have its lead. */
  readonly lead: RaceTrack["lead"]
}

/** Prepares races: `around` goes around the operator's writes; `begin` makes each racer's first request. */
export const prepareRaces = (ground: RaceGround) => {
  const { target, races, prompt, late, truth, clock, lead } = ground
  const racers = Array.from({ length: ground.racers }, (_, index): Racer => {
    const own = races.filter((_race, each) => each % ground.racers === index)
    return { subject: `user-${index}`, races: [...own], outcomes: [] }
  })
  const nameOf = ({ subject }: Racer): string => {
    const key = subjectKeyFor(target, identity({ subject }), { issuers: ["corp"] })
    return instanceName(target.metadata.name, target.metadata.uid ?? "", String(key))
  }
  const byName = new Map(racers.map((racer) => [nameOf(racer), racer]))
  const send = ({ subject }: Racer, race: Race, callMs: number): Visit =>
    visit(race.late ? late : prompt, { target, subject, callMs, truth, clock })
  const around = raceAround((name) => byName.get(name)?.races[0], {
    lead,
    later: (ms, task) => void clock.timer(ms, task),
    fire: (name, race) => {
      const racer = byName.get(name)
      if (racer === undefined) return
      const sent = send(racer, race, race.callMs)
      racer.outcomes.push({ race, visit: sent })
      void sent.over.then(() => racer.races.shift())
    },
  })
  return {
    racers,
    around,
    begin: () => racers.map((racer) => send(racer, racer.races[0] as Race, 0)),
    isOver: () => racers.every((racer) => racer.races.length === 0),
  }
}

/** What went wrong in races, and how many ended with a new instance. */
export const resultOf = (racers: readonly Racer[]) => {
  const outcomes = racers.flatMap((racer) => racer.outcomes)
  const wrong = outcomes.filter(({ visit: { placed, lost } }) => placed === undefined || lost !== undefined)
  const lives = racers.map((racer) => new Set(racer.outcomes.map(({ visit: { placed } }) => placed?.instanceUID)).size)
  return {
    count: outcomes.length,
    wrong: wrong.map(({ race, visit: { lost, error } }) => ({ ...race, lost, error })),
    replaced: lives.reduce((sum, each) => sum + each - 1, 0),
  }
}
