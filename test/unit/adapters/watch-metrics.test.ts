import { expect, test } from "vitest"
import { createWatchMetrics } from "../../../src/adapters/local-copy.ts"
import { quietTelemetry } from "../../support/quiet-telemetry.ts"

test("of two watches of a kind the more silent one is told, and the other's end hides neither", () => {
  let told = 0
  const telemetry = {
    ...quietTelemetry(),
    gauge: () => ({
      set: (value: number) => {
        told = value
      },
      inc: () => {},
    }),
  }
  const [operator, gateway] = [1, 2].map(() => createWatchMetrics(telemetry, "MCPInstance"))
  operator?.heard(5_000)
  gateway?.heard(9_000)
  expect(told).toBe(5)
  operator?.ended()
  expect(told).toBe(9)
  gateway?.ended()
  expect(told).toBeNaN()
})
