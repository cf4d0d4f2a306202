import type { LogFields, Logger } from "../ports/telemetry.ts"
import {
  isSecretName,
  maxItems,
  maxText,
  redactFields,
  redactInto,
  redactText,
  rememberedNames,
  suspicious,
} from "./redact.ts"
import { formatText, visible } from "./text-line.ts"

/** How and where lines are written. */
export type LogOptions = {
  readonly level: "debug" | "info" | "warn" | "error"
  /** `json` for programs, `text` for reading in a terminal. */
  readonly format: "json" | "text"
  /** Takes one line with its newline; must not throw. `urgent`: of level warn or error, to be written at once. */
  readonly write: (line: string, urgent: boolean) => void
}

/** The time of a line. Kept for its millisecond: a busy gateway writes dozens of lines in one. */
const createTime = (): (() => string) => {
  let at = 0
  let text = ""
  return () => {
    const now = Date.now()
    if (now !== at) text = new Date(now).toISOString()
    at = now
    return text
  }
}

/** JSON of printable ASCII, without escapes: nothing in its texts is spelled otherwise than it is written. */
const harmless = /^[ -[\]-~]*$/

/**
 * Makes the function that returns fields as JSON, without braces, if they can be written as they are: short, plain, and
 * without anything that a redaction could remove. Undefined if one of them must be read value by value
 * ({@link redactInto}), or has one of the names that the line has already. Nearly every line can be written so: building
 * it again without secrets took 1 µs of each request.
 */
const createPlainFields = (taken: readonly string[]) => {
  const special = new Set(["__proto__", "level", "time", "message", ...taken])
  /** Names that are harmless; our own lines have few. */
  const known = new Set<string>()
  const isHarmless = (name: string): boolean => {
    if (known.has(name)) return true
    if (special.has(name) || isSecretName(name)) return false
    if (known.size < rememberedNames && name.length <= 64) known.add(name)
    return true
  }
  return (fields: LogFields): string | undefined => {
    let left = maxItems
    for (const name in fields) {
      const value = fields[name]
      if (value === undefined) continue
      if (left-- === 0 || !isHarmless(name)) return undefined
      if (typeof value === "string" ? value.length > maxText : typeof value !== "number" && typeof value !== "boolean")
        return undefined
    }
    const json = JSON.stringify(fields)
    return harmless.test(json) && !suspicious.test(json) ? json.slice(1, -1) : undefined
  }
}

/** Makes the function that writes a message as JSON. Kept for the next line: a logger mostly repeats one message. */
const createQuoted = () => {
  let message = ""
  let text = '""'
  return (next: string): string => {
    if (next !== message) text = visible(JSON.stringify(redactText(next)))
    message = next
    return text
  }
}

type Level = LogOptions["level"]
const levels: readonly Level[] = ["debug", "info", "warn", "error"]

/** What the lines of a logger have in common. */
type Common = {
  readonly options: LogOptions
  readonly time: () => string
  /** Fields of every line, without secrets. */
  readonly fields: Readonly<Record<string, unknown>>
}

const createChild = ({ options, time, fields: common }: Common): Logger => {
  const { format, write } = options
  const least = levels.indexOf(options.level)
  const plainFields = createPlainFields(Object.keys(common))
  const before = Object.keys(common).length === 0 ? "" : `,${visible(JSON.stringify(common).slice(1, -1))}`
  const at = (level: Level) => {
    const isWritten = levels.indexOf(level) >= least
    const urgent = level === "warn" || level === "error"
    const quoted = createQuoted()
    const whole = (message: string, fields: LogFields): string => {
      const line: Record<string, unknown> = { level, time: time(), ...common }
      redactInto(line, fields, 0)
      line.message = redactText(message)
      const json = JSON.stringify(line)
      return format === "json" ? `${visible(json)}\n` : formatText(json)
    }
    return (message: string, fields: LogFields = {}): void => {
      if (!isWritten) return
      const own = format === "json" ? plainFields(fields) : undefined
      if (own === undefined) return void write(whole(message, fields), urgent)
      const between = own === "" ? "" : ","
      const line = `{"level":"${level}","time":"${time()}"${before}${between}${own},"message":${quoted(message)}}\n`
      write(line, urgent)
    }
  }
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (fields) => createChild({ options, time, fields: { ...common, ...redactFields(fields) } }),
  }
}

/**
 * A logger of single lines. Its own, because the line without secrets is a plain object that JSON.stringify writes: a
 * logging library behind it copied the line once more, for 2 µs and 2.4 KB of each request.
 */
export const createLogger = (options: LogOptions): Logger => createChild({ options, time: createTime(), fields: {} })
