import type { TelemetryPort } from "../ports/telemetry.ts"
import type { CallName } from "./call.ts"

/** Counts calls of plugins, and how long they took. */
export type Meter = {
  /** Runs a call and counts it as answered or failed. */
  count<T>(name: CallName, run: () => T): T
}

/** Makes the meter. Labels are names of loaded plugins and their hooks, so there are few. */
export const createMeter = (telemetry: TelemetryPort): Meter => {
  const calls = telemetry.counter({
    name: "reflow_plugin_calls_total",
    help: "Calls of plugins' hooks, by how they ended: answered, failed.",
    labels: ["plugin", "hook", "result"],
  })
  const seconds = telemetry.histogram({
    name: "reflow_plugin_call_seconds",
    help: "How long plugins' hooks took, in seconds.",
    labels: ["plugin", "hook"],
    buckets: [0.001, 0.01, 0.1, 1, 10],
  })
  return {
    count: ({ plugin, hook }, run) => {
      const begun = performance.now()
      const end = (result: string): void => {
        calls.inc({ plugin, hook, result })
        seconds.observe((performance.now() - begun) / 1000, { plugin, hook })
      }
      try {
        const answer = run()
        if (answer instanceof Promise)
          void answer.then(
            () => end("answered"),
            () => end("failed"),
          )
        else end("answered")
        return answer
      } catch (error) {
        end("failed")
        throw error
      }
    },
  }
}
