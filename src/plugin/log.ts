import type { ClockPort } from "../ports/clock.ts"
import type { LogFields, Logger } from "../ports/telemetry.ts"

/** Lines that a plugin may write in a minute; the rest is counted. */
const linesAMinute = 100
const minuteMs = 60_000
/** Longest message, and longest fields as JSON, in characters. */
const longest = 2_000

/** Fields that a line can take; too many of them, or what is no JSON, leave a word that they were there. */
const bounded = (fields: LogFields | undefined): LogFields | undefined => {
  if (fields === undefined) return undefined
  try {
    if (JSON.stringify(fields).length <= longest) return fields
  } catch {
    // circular, or a getter that throws
  }
  return { fields: "left out: too large, or no JSON" }
}

/** A log for a plugin: its lines are bounded in number and length, so that it cannot drown everybody else's. */
export const pluginLog = (log: Logger, clock: Pick<ClockPort, "now">): Logger => {
  let since = clock.now()
  let lines = 0
  let dropped = 0
  const admit = (): boolean => {
    const now = clock.now()
    if (now - since >= minuteMs || now < since) {
      if (dropped > 0) log.warn("lines of the plugin were dropped: it writes too many", { dropped })
      since = now
      lines = 0
      dropped = 0
    }
    if (lines < linesAMinute) {
      lines++
      return true
    }
    dropped++
    return false
  }
  const bound = (to: Logger): Logger => {
    const at = (level: "debug" | "info" | "warn" | "error") => (message: string, fields?: LogFields) => {
      if (admit()) to[level](String(message).slice(0, longest), bounded(fields))
    }
    return {
      debug: at("debug"),
      info: at("info"),
      warn: at("warn"),
      error: at("error"),
      child: (fields) => bound(to.child(bounded(fields) ?? {})),
    }
  }
  return bound(log)
}
