import { expect, it } from "vitest"
import type { MCPTarget } from "../../src/api/mcp-target.ts"
import { instanceName } from "../../src/api/names.ts"
import { subjectKeyFor } from "../../src/identity/subject-key.ts"
import { createOperator } from "../../src/operator/controller.ts"
import { aroundWrites } from "../support/around-port.ts"
import { someSettings } from "../support/build/settings.ts"
import { identity } from "../support/build/who.ts"
import { type Race, raceAround, racesOf } from "../support/collection-race.ts"
import { operatorWorld } from "../support/operator-world.ts"
import { quietTelemetry } from "../support/quiet-telemetry.ts"
import { startGatewayHalf, type Visit, visit } from "../support/visits.ts"

const namespace = "reflow"
const seed = 20_260_102
const users = 50

const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
}

const nameOf = (target: MCPTarget, subject: string): string => {
  const key = subjectKeyFor(target, identity({ subject }), { issuers: ["corp"] })
  return instanceName(target.metadata.name, target.metadata.uid ?? "", String(key))
}

/** How a race went. */
type Outcome = { readonly race: Race; readonly visit: Visit }

/** Somebody whose instance becomes idle again and again, and whose next request comes while it is being collected. */
type User = { readonly subject: string; readonly races: Race[]; readonly outcomes: Outcome[] }

/** Lets a request come to each user's instance whenever it is being collected, until all races are run. */
const runRaces = async (all: readonly Race[], operators: number): Promise<readonly User[]> => {
  const world = operatorWorld()
  const { clock, cluster } = world
  const target = await world.makeTarget({ spec: { idleTTL: "40s" } })
  const parts = { cluster, clock, namespace }
  const starting = Promise.all([
    startGatewayHalf({ ...parts, replica: "gw-prompt" }),
    startGatewayHalf({ ...parts, replica: "gw-late", lateMs: 20_000 }),
  ])
  await clock.advance(0)
  const [prompt, late] = await starting
  const made = Array.from({ length: users }, (_, index): User => {
    const own = all.filter((_race, each) => each % users === index)
    return { subject: `user-${index}`, races: [...own], outcomes: [] }
  })
  const byName = new Map(made.map((user) => [nameOf(target, user.subject), user]))
  const begin = ({ subject }: User, race: Race): Visit =>
    visit(race.late ? late : prompt, { target, subject, callMs: race.callMs, truth: cluster, clock })
  const around = raceAround((name) => byName.get(name)?.races[0], {
    lead: turns,
    later: (ms, task) => void clock.timer(ms, task),
    fire: (name, race) => {
      const user = byName.get(name)
      if (user === undefined) return
      const visited = begin(user, race)
      user.outcomes.push({ race, visit: visited })
      void visited.over.then(() => user.races.shift())
    },
  })
  const running = Array.from({ length: operators }, () =>
    createOperator({
      cluster: aroundWrites(cluster.client({ fieldManager: "reflow-operator" }), around),
      clock,
      telemetry: quietTelemetry(),
      options: someSettings({ max_instances: 1_000 }),
    }),
  )
  try {
    await clock.advance(0)
    const first = made.map((user) => begin(user, { ...(user.races[0] as Race), callMs: 0 }))
    await world.pass(30)
    for (const { placed, error } of first) expect(error ?? placed?.incarnation).toEqual(expect.any(String))
    for (let minute = 0; minute < 60 && made.some((user) => user.races.length > 0); minute++) await world.pass(60)
    return made
  } finally {
    const closed = Promise.all([prompt, late, ...running].map((each) => each.close()))
    await clock.advance(5_000)
    await closed
    await world.close()
  }
}

it.each([
  [1_000, 1],
  [300, 2],
])(
  `%i requests in the middle of a collection by %i operators (seed ${seed}): none fails, and nothing is collected under one`,
  async (count, operators) => {
    const run = await runRaces(racesOf(seed, count), operators)
    const outcomes = run.flatMap((user) => user.outcomes)
    expect(outcomes).toHaveLength(count)
    const wrong = outcomes.filter(({ visit: { placed, lost } }) => placed === undefined || lost !== undefined)
    expect(wrong.map(({ race, visit: { lost, error } }) => ({ ...race, lost, error }))).toEqual([])
    // either side may win, and both do
    const lives = run.map((user) => new Set(user.outcomes.map(({ visit: { placed } }) => placed?.instanceUID)).size)
    const replaced = lives.reduce((sum, each) => sum + each - 1, 0)
    expect(replaced).toBeGreaterThan(count / 10)
    expect(replaced).toBeLessThan(count * 0.7)
  },
  120_000,
)
