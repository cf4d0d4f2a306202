/** What a load leaves in the old generation of the built program's heap. */
import { afterAll, beforeAll, expect, test } from "vitest"
import { echoed, openSession, sessionCall } from "../../bench/calls.ts"
import { type LoadGenerator, startGenerator } from "../../bench/load.ts"
import { type Reflow, startReflow } from "../../bench/reflow.ts"

let reflow: Reflow
let generator: LoadGenerator

beforeAll(async () => {
  reflow = await startReflow()
  generator = startGenerator()
}, 60_000)
afterAll(async () => {
  await generator?.close()
  await reflow?.stop()
})

/** How often the program has collected its whole heap. */
const fullCollections = async (): Promise<number> => {
  const metrics = await (await fetch(reflow.metrics)).text()
  return Number(/^nodejs_gc_duration_seconds_count\{.*kind="major".*\} (\d+)$/m.exec(metrics)?.[1] ?? Number.NaN)
}

/** What a call may leave, seen from the whole heap: one full collection in so many calls. */
const callsPerCollection = 5_000

test("calls on many connections at once leave little that only a full collection finds", {
  timeout: 60_000,
}, async () => {
  const call = sessionCall(reflow.narrow, await openSession(reflow.narrow))
  const run = () => generator.run({ ...call, connections: 64, seconds: 3, contains: echoed })
  await run()
  const before = await fullCollections()
  const { requests } = await run()
  expect((await fullCollections()) - before).toBeLessThanOrEqual(requests / callsPerCollection)
})
