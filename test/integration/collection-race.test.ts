import { expect, it } from "vitest"
import { createOperator } from "../../src/operator/controller.ts"
import type { ClockPort } from "../../src/ports/clock.ts"
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

type Circumstances = {
  readonly operators: number
  readonly idleTTL: string
  /** How far apart the clocks of the gateways are, milliseconds. */
  readonly apartMs: number
}

/** A clock that is set wrong. */
const wrong = (clock: ClockPort, ms: number): ClockPort => ({ ...clock, now: () => clock.now() + ms })

/** Lets a request come to each racer's instance whenever it is being collected, until all races are run. */
const runRaces = async (
  races: readonly Race[],
  { operators, idleTTL, apartMs }: Circumstances,
): Promise<readonly Racer[]> => {
  const world = operatorWorld()
  const { clock, cluster } = world
  const target = await world.makeTarget({ spec: { idleTTL } })
  const parts = { cluster, namespace }
  const starting = Promise.all([
    startGatewayHalf({ ...parts, clock: wrong(clock, apartMs / 2), replica: "gw-prompt" }),
    startGatewayHalf({ ...parts, clock: wrong(clock, -apartMs / 2), replica: "gw-late", lateMs: 20_000 }),
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
    for (let minute = 0; minute < 150 && !isOver(); minute++) await world.pass(60)
    return racers
  } finally {
    const closed = Promise.all([prompt, late, ...running].map((each) => each.close()))
    await clock.advance(5_000)
    await closed
    await world.close()
  }
}

const usual: Circumstances = { operators: 1, idleTTL: "40s", apartMs: 0 }

it.each<[number, string, Partial<Circumstances>]>([
  [1_000, "a prompt and a late gateway", {}],
  [300, "two operators that act at once", { operators: 2 }],
  // as long as a collection takes from the last use: the one gateway takes what the other wrote for news
  [200, "gateways whose clocks are five minutes apart", { apartMs: 5 * 60_000, idleTTL: "4m" }],
])(
  `of %i requests in the middle of a collection, with %s, none fails and nothing is collected under one (seed ${seed})`,
  async (count, _what, more) => {
    const result = resultOf(await runRaces(racesOf(seed, count), { ...usual, ...more }))
    expect(result.wrong).toEqual([])
    expect(result.count).toBe(count)
    // either side may win, and both do
    expect(result.replaced).toBeGreaterThan(count / 10)
    expect(result.replaced).toBeLessThan(count * 0.7)
  },
  120_000,
)
