import pino from "pino"
import type { LogFields, Logger } from "../ports/telemetry.ts"
import { redactFields, redactText } from "./redact.ts"
import { formatText } from "./text-format.ts"
import { visible } from "./visible.ts"

/** How and where lines are written. */
export type LogOptions = {
  readonly level: "debug" | "info" | "warn" | "error"
  /** json for machines, text for people. */
  readonly format: "json" | "text"
  /** Takes one line with its newline; must not throw. */
  readonly write: (line: string) => void
}

const wrap = (log: pino.Logger): Logger => {
  const at = (level: LogOptions["level"]) => (message: string, fields?: LogFields) => {
    if (!log.isLevelEnabled(level)) return
    log[level](fields === undefined ? {} : redactFields(fields), redactText(message))
  }
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (fields) => wrap(log.child(redactFields(fields))),
  }
}

/**
 * A logger of single lines. Written synchronously by the caller's `write` and without pino's worker transports: these
 * do not work inside a single executable, and a line must be out before a crash.
 */
export const createLogger = ({ level, format, write }: LogOptions): Logger =>
  wrap(
    pino(
      {
        level,
        base: null,
        messageKey: "message",
        timestamp: pino.stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }) },
      },
      // what ends the line is the only control character that JSON leaves as it is below U+007F
      { write: (line) => write(format === "json" ? `${visible(line.trimEnd())}\n` : formatText(line)) },
    ),
  )
