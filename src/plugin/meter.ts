import { hasCode } from "../errors.ts"
import type { TelemetryPort } from "../ports/telemetry.ts"
import type { CallName } from "./call.ts"

/** What a call is for, in the log. */
export type CallFor = {
  /** Name of the target that chose the hook. */
  readonly target: string
  /** Id of the request that began it, as that request's own line has it; absent where none did. */
  readonly requestId?: string | undefined
  /** Name of the instance, where one is made already. */
  readonly instance?: string
}

/** Counts calls of plugins, and how long they took; says in the log why one failed. */
export type Meter = {
  /** Runs a call and counts how it ended. */
  count<T>(name: CallName, about: CallFor, run: () => T): T
}

/** Makes the meter. Labels are names of loaded plugins and their hooks, so there are few. */
export const createMeter = (telemetry: TelemetryPort): Meter => {
  const calls = telemetry.counter({
    name: "reflow_plugin_calls_total",
    help: "Calls of plugins' hooks, by how they ended: answered, failed, abandoned.",
    labels: ["plugin", "hook", "result"],
  })
  const seconds = telemetry.histogram({
    name: "reflow_plugin_call_seconds",
    help: "How long plugins' hooks took, in seconds.",
    labels: ["plugin", "hook"],
    buckets: [0.001, 0.01, 0.1, 1, 10],
  })
  const { log } = telemetry
  return {
    count: (name, { target, requestId, instance }, run) => {
      const begun = performance.now()
      const end = (result: "answered" | "failed" | "abandoned"): void => {
        calls.inc({ ...name, result })
        seconds.observe((performance.now() - begun) / 1000, name)
      }
      const fail = (error: unknown): void => {
        if (hasCode(error, "PluginFailed")) {
          end("failed")
          // what the plugin threw may hold a secret: it is told here and nowhere else
          log.warn("a plugin's hook failed", { ...name, target, instance, request_id: requestId, error })
        } else end(hasCode(error, "SubjectKeyDenied", "CredentialMissing") ? "answered" : "abandoned")
      }
      try {
        const answer = run()
        if (answer instanceof Promise) void answer.then(() => end("answered"), fail)
        else end("answered")
        return answer
      } catch (error) {
        fail(error)
        throw error
      }
    },
  }
}
