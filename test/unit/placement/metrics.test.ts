import { expect, test } from "vitest"
import { AppError } from "../../../src/errors.ts"
import { createPlacementMetrics, phaseOf } from "../../../src/placement/placement.ts"
import { createMetrics } from "../../../src/telemetry/telemetry.ts"
import { instance, readyStatus } from "../../support/build/placed.ts"
import { fakeClock } from "../../support/fake-clock.ts"
import { quietTelemetry } from "../../support/quiet-telemetry.ts"

const setUp = () => {
  const metrics = createMetrics(false)
  const clock = fakeClock()
  const placements = createPlacementMetrics({ ...quietTelemetry(), ...metrics }, clock, { size: 3 })
  const lines = async () => (await metrics.metrics()).split("\n").filter((line) => line.startsWith("reflow_"))
  return { placements, clock, lines }
}

test("placements are counted by outcome and by the phase in which they found their instance", async () => {
  const { placements, lines } = setUp()
  placements.warm("Ready")
  placements.warm("Ready")
  await placements.timed("None", async () => {})
  const starting = new AppError("InstanceStarting", { detail: "It starts." })
  await expect(placements.timed("Starting", () => Promise.reject(starting))).rejects.toBe(starting)
  const gone = new DOMException("The client left.", "AbortError")
  await expect(placements.timed("Queued", () => Promise.reject(gone))).rejects.toBe(gone)
  await expect(placements.timed("Failed", () => Promise.reject(new Error("canary")))).rejects.toThrow("canary")
  placements.refused(new AppError("TargetPaused", { detail: "It is paused." }))
  expect((await lines()).filter((line) => line.startsWith("reflow_placements_total"))).toEqual([
    'reflow_placements_total{outcome="warm",phase="Ready"} 2',
    'reflow_placements_total{outcome="waited",phase="None"} 1',
    'reflow_placements_total{outcome="InstanceStarting",phase="Starting"} 1',
    'reflow_placements_total{outcome="left",phase="Queued"} 1',
    'reflow_placements_total{outcome="Internal",phase="Failed"} 1',
    'reflow_placements_total{outcome="TargetPaused",phase="None"} 1',
  ])
})

test("waits are measured, and those who wait now", async () => {
  const { placements, clock, lines } = setUp()
  const waited = placements.timed("Pending", () => clock.sleep(1_500))
  expect(await lines()).toContain("reflow_waiting_requests 3")
  await clock.advance(1_500)
  await waited
  const text = await lines()
  expect(text).toContain('reflow_placement_wait_seconds_bucket{le="1",outcome="waited"} 0')
  expect(text).toContain('reflow_placement_wait_seconds_sum{outcome="waited"} 1.5')
})

test("an instance of which nothing is said yet is in no phase, like one that is not there", () => {
  expect(phaseOf(undefined)).toBe("None")
  expect(phaseOf(instance())).toBe("None")
  expect(phaseOf(instance({ status: readyStatus() }))).toBe("Ready")
})
