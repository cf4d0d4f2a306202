import type { LogFields, Logger, TelemetryPort } from "../../src/ports/telemetry.ts"

/** A line that a test's telemetry kept. */
export type KeptLine = { readonly level: string; readonly message: string; readonly fields: LogFields }

/** Telemetry that keeps its log lines in `lines` and counts nothing. */
export const quietTelemetry = (): TelemetryPort & { readonly lines: KeptLine[] } => {
  const lines: KeptLine[] = []
  const logger = (base: LogFields): Logger => {
    const keep = (level: string) => (message: string, fields?: LogFields) =>
      void lines.push({ level, message, fields: { ...base, ...fields } })
    return {
      debug: keep("debug"),
      info: keep("info"),
      warn: keep("warn"),
      error: keep("error"),
      child: (fields) => logger({ ...base, ...fields }),
    }
  }
  return {
    lines,
    log: logger({}),
    counter: () => ({ inc: () => {}, of: () => ({ inc: () => {} }) }),
    gauge: () => ({ set: () => {}, inc: () => {} }),
    reading: () => {},
    histogram: () => ({ observe: () => {} }),
    metrics: async () => "",
  }
}
