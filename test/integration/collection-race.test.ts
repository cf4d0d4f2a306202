import { expect, it } from "vitest"
import { createOperator } from "../../src/operator/controller.ts"
import { aroundWrites } from "../support/around-port.ts"
import { someSettings } from "../support/build/settings.ts"
import { prepareRaces, type Race, type Racer, racesOf, resultOf } from "../support/collection-race.ts"
import { operatorWorld } from "../support/operator-world.ts"
import { quietTelemetry } from "../support/quiet-telemetry.ts"
import { startGatewayHalf } from "../support/visits.ts"

const namespace = "reflow"
const seed = 20_260_102

const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
}

/** Lets a request come to each racer's instance whenever it is being collected, until all races are run. */
const runRaces = async (races: readonly Race[], operators: number): Promise<readonly Racer[]> => {
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
  const { racers, around, begin, isOver } = prepareRaces({
    target,
    races,
    racers: 50,
    prompt,
    late,
    truth: cluster,
    clock,
    lead: turns,
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
    const first = begin()
    await world.pass(30)
    for (const { placed, error } of first) expect(error ?? placed?.incarnation).toEqual(expect.any(String))
    for (let minute = 0; minute < 60 && !isOver(); minute++) await world.pass(60)
    return racers
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
  `%i requests in the middle of a collection, with %i operator(s) (seed ${seed}): none fails, nothing is collected under one`,
  async (count, operators) => {
    const result = resultOf(await runRaces(racesOf(seed, count), operators))
    expect(result.wrong).toEqual([])
    expect(result.count).toBe(count)
    // either side may win, and both do
    expect(result.replaced).toBeGreaterThan(count / 10)
    expect(result.replaced).toBeLessThan(count * 0.7)
  },
  120_000,
)
