import { expect, test } from "vitest"
import { bodyProperties } from "./bodies.ts"
import { doorProperties } from "./doors.ts"
import { expansionProperties } from "./expansion.ts"
import { headProperties } from "./heads.ts"
import { listProperties } from "./lists.ts"
import { planFrom, tryProperty } from "./property.ts"
import { serverJsonProperties } from "./server-json.ts"
import { textProperties } from "./texts.ts"

const properties = [
  ...bodyProperties,
  ...listProperties,
  ...doorProperties,
  ...expansionProperties,
  ...headProperties,
  ...serverJsonProperties,
  ...textProperties,
]
const plan = planFrom(process.env, properties.length)
const patienceMs = 30_000 + (plan.seconds ?? 0) * 2_000

for (const each of properties)
  test(each.name, { timeout: patienceMs }, async () => {
    const runs = await tryProperty(each, plan)
    if (plan.seconds !== undefined) console.log(`${each.name}: ${runs} runs`)
    expect(runs).toBeGreaterThan(0)
  })
