import fc from "fast-check"
import { expect, it } from "vitest"
import { mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { beginDay, type DayStep } from "../support/operator-day.ts"

/** REFLOW_SOAK plays so many days, others each time; without it a few, always the same. */
const asked = Number(process.env.REFLOW_SOAK ?? 0)
const runs = asked > 0 ? asked : 2
const seed = asked > 0 ? Math.floor(Math.random() * 2 ** 31) : 20260101
if (asked > 0) console.info(`${asked} simulated days by seed ${seed}`)

const daySeconds = 24 * 3_600
const settings = {
  max_instances: 4,
  idle_ttl: 10 * 60_000,
  max_lifetime: 3 * 3_600_000,
  drain_timeout: 60_000,
}

const name = fc.constantFrom("a", "b", "c", "d", "e", "f", "g")
const version = fc.integer({ min: 2, max: 4 })
/** Bursts, quarters of an hour, and quiet hours. */
const after = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 3 }) },
  { weight: 6, arbitrary: fc.integer({ min: 4, max: 900 }) },
  { weight: 1, arbitrary: fc.integer({ min: 900, max: 7_200 }) },
)
const happening = <T extends DayStep["do"]>(what: T) => ({ after, do: fc.constant(what) })
const step: fc.Arbitrary<DayStep> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ ...happening("call"), name, seconds: fc.integer({ min: 1, max: 900 }) }) },
  { weight: 2, arbitrary: fc.record({ ...happening("restart"), name }) },
  { weight: 1, arbitrary: fc.record({ ...happening("secret"), name }) },
  { weight: 2, arbitrary: fc.record({ ...happening("edit"), name, version }) },
  { weight: 1, arbitrary: fc.record({ ...happening("target"), version }) },
  { weight: 1, arbitrary: fc.record({ ...happening("delete"), name }) },
  { weight: 2, arbitrary: fc.record({ ...happening("crash"), name }) },
  { weight: 1, arbitrary: fc.record({ ...happening("killPod"), name }) },
  { weight: 1, arbitrary: fc.record({ ...happening("evictPod"), name }) },
  { weight: 1, arbitrary: fc.record({ ...happening("node"), works: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ ...happening("away"), seconds: fc.integer({ min: 1, max: 60 }) }) },
  { weight: 2, arbitrary: fc.record({ ...happening("lag"), seconds: fc.constantFrom(0, 0, 2, 15) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      ...happening("leader"),
      ends: fc.constantFrom("orderly", "killed", "late"),
      down: fc.integer({ min: 0, max: 120 }),
    }),
  },
)
// more than a day has room for: it ends when its hours are over
const steps = fc.array(step, { minLength: 400, maxLength: 500, size: "max" })

const playDay = async (plan: readonly DayStep[]): Promise<void> => {
  const day = await beginDay(settings)
  const { clock, cluster } = day.world
  const evening = clock.now() + daySeconds * 1000
  try {
    for (const each of plan) if (clock.now() < evening) await day.play(each)
    await day.rest()
    await day.pass(30 * 60)
    const { items } = await cluster.list(mcpInstanceKind, { namespace: "reflow" })
    expect(items, "in the end everything unused is gone").toEqual([])
    expect([...(await day.world.pods()), ...(await day.world.services())]).toEqual([])
    const unsettled = day.world.lines.filter(({ fields }) => JSON.stringify(fields).includes("does not settle"))
    expect(unsettled).toEqual([])
    await day.call("a", 60)
    await day.pass(10)
    expect(await day.world.status("a"), "and whoever comes then is served").toMatchObject({ phase: "Ready" })
  } finally {
    await day.close()
  }
}

it(`a day of arrivals, changed credentials, crashes and changes of leader breaks no promise (seed ${seed})`, async () => {
  // a day is long to shrink: its seed and path tell how to play it again
  await fc.assert(fc.asyncProperty(steps, playDay), { seed, numRuns: runs, endOnFailure: true })
}, 600_000)
