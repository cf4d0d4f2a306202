import { isAbort, toAppError } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { TelemetryPort } from "../../ports/telemetry.ts"

/** What placement counts. */
export type PlacementMetrics = {
  /** A request that went on without waiting. */
  warm(): void
  /** Runs a placement that may wait, and counts its outcome and duration. */
  timed<T>(task: () => Promise<T>): Promise<T>
}

/** Defines placement's metrics. Outcomes are `warm`, `waited`, `left` (the client went away) and error codes. */
export const createPlacementMetrics = (
  telemetry: TelemetryPort,
  clock: ClockPort,
  room: { readonly size: number; readonly heldBytes: number },
): PlacementMetrics => {
  const outcomes = telemetry.counter({
    name: "reflow_placements_total",
    help: "Requests that were placed, by outcome.",
    labels: ["outcome"],
  })
  const waits = telemetry.histogram({
    name: "reflow_placement_wait_seconds",
    help: "How long requests waited for their instance.",
    labels: ["outcome"],
    buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 45],
  })
  const waiting = telemetry.gauge({ name: "reflow_waiting_requests", help: "Requests that wait for an instance now." })
  const held = telemetry.gauge({
    name: "reflow_waiting_bytes",
    help: "Bytes of request bodies that waiting requests hold.",
  })
  const tell = (): void => {
    waiting.set(room.size)
    held.set(room.heldBytes)
  }
  const count = (outcome: string, since: number): void => {
    outcomes.inc({ outcome })
    waits.observe((clock.now() - since) / 1_000, { outcome })
  }
  return {
    warm: () => outcomes.inc({ outcome: "warm" }),
    timed: async (task) => {
      const since = clock.now()
      try {
        const running = task()
        tell()
        const result = await running
        count("waited", since)
        return result
      } catch (error) {
        count(isAbort(error) ? "left" : toAppError(error).code, since)
        throw error
      } finally {
        tell()
      }
    },
  }
}
