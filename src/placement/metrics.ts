import type { MCPInstance, Phase } from "../api/kinds/mcp-instance.ts"
import { isAbort, toAppError } from "../errors.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { TelemetryPort } from "../ports/telemetry.ts"

/** What an instance's status says when a request comes; `None` = there is no instance, or nothing is said of it yet. */
type FoundPhase = Phase | "None"

/** The phase that a request finds. */
export const phaseOf = (instance: MCPInstance | undefined): FoundPhase => instance?.status?.phase ?? "None"

/** What placement counts. */
type PlacementMetrics = {
  /** A request that went on without waiting. */
  warm(phase: FoundPhase): void
  /** A request that was refused before anybody looked for its instance. */
  refused(error: unknown): void
  /** Runs a placement that may wait, and counts its outcome and duration; `phase` is the instance's as it came. */
  timed<T>(phase: FoundPhase, task: () => Promise<T>): Promise<T>
}

/** Defines placement's metrics. Outcomes are `warm`, `waited`, `left` (the client went away) and error codes. */
export const createPlacementMetrics = (
  telemetry: TelemetryPort,
  clock: ClockPort,
  room: { readonly size: number },
): PlacementMetrics => {
  const outcomes = telemetry.counter({
    name: "reflow_placements_total",
    help: "Requests that were placed, by outcome and by the phase in which they found their instance.",
    labels: ["outcome", "phase"],
  })
  const waits = telemetry.histogram({
    name: "reflow_placement_wait_seconds",
    help: "How long requests waited for their instance.",
    labels: ["outcome"],
    buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 45],
  })
  const waiting = telemetry.gauge({ name: "reflow_waiting_requests", help: "Requests that wait for an instance now." })
  const tell = (): void => waiting.set(room.size)
  const outcomeOf = (error: unknown): string => (isAbort(error) ? "left" : toAppError(error).code)
  const count = (outcome: string, phase: FoundPhase, since: number): void => {
    outcomes.inc({ outcome, phase })
    waits.observe((clock.now() - since) / 1_000, { outcome })
  }
  return {
    warm: (phase) => outcomes.inc({ outcome: "warm", phase }),
    refused: (error) => outcomes.inc({ outcome: outcomeOf(error), phase: "None" }),
    timed: async (phase, task) => {
      const since = clock.now()
      try {
        const running = task()
        tell()
        const result = await running
        count("waited", phase, since)
        return result
      } catch (error) {
        count(outcomeOf(error), phase, since)
        throw error
      } finally {
        tell()
      }
    },
  }
}
