import type { TelemetryPort } from "../ports/telemetry.ts"
import { createLogger, type LogOptions } from "./log.ts"
import { createMetrics } from "./metrics.ts"

/** What telemetry needs to know. */
export type TelemetryOptions = LogOptions & {
  /** Also measure the process itself; only worth it where /metrics is served. */
  readonly processMetrics: boolean
}

/** Logs and metrics of this process. */
export const createTelemetry = (options: TelemetryOptions): TelemetryPort => ({
  log: createLogger(options),
  ...createMetrics(options.processMetrics),
})
