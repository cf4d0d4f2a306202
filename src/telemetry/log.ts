import pino from "pino"
import { errorTable } from "../errors.ts"
import type { LogFields, Logger } from "../ports/telemetry.ts"
import { redactFields, redactText } from "./redact.ts"

/** All that a line needs: printable ASCII. */
const plain = /^[ -~]*$/
/** Control and format characters and line separators: of them consist commands to terminals, colours, writing turned around. */
const misleading = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

const escapeUnit = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`

/**
 * A text with all that controls or misleads a screen written as JSON escapes it, so that a logged name cannot write lines or
 * colours of its own; of a JSON text the same value.
 */
const visible = (text: string): string =>
  plain.test(text)
    ? text
    : text.replace(misleading, (each) => (each === "\n" ? "\\n" : each.split("").map(escapeUnit).join("")))

/** A log line as pino makes it. */
type Line = Readonly<Record<string, unknown>>

const isRecord = (value: unknown): value is Line => typeof value === "object" && value !== null && !Array.isArray(value)

const errorText = (error: Line): string => {
  const one = (each: Line) => [each.code, each.message].filter((part) => part !== undefined && part !== "").join(": ")
  const causes = Array.isArray(error.causes) ? error.causes.filter(isRecord) : []
  return [error, ...causes].map(one).join("; caused by ")
}

const fieldText = (name: string, value: unknown): string => {
  if (isRecord(value) && typeof value.message === "string") return `${name}=${JSON.stringify(errorText(value))}`
  if (typeof value === "string" && /^[^\s"=]+$/.test(value)) return `${name}=${value}`
  return `${name}=${JSON.stringify(value)}`
}

/** Where an error that nobody foresaw was made: the first stack line outside Node and the libraries. */
const placeOf = (error: unknown): readonly string[] => {
  if (!isRecord(error) || typeof error.stack !== "string") return []
  const foreseen = typeof error.code === "string" && error.code !== "Internal" && Object.hasOwn(errorTable, error.code)
  const place = error.stack.split("\n").find((line) => !line.includes("node:") && !line.includes("node_modules"))
  return foreseen || place === undefined ? [] : [`(${place})`]
}

/** Most lines of a plugin's stack that are shown. */
const mostFrames = 5

/** Where a plugin threw: whoever writes it reads this log. Nothing for failures that the host itself found. */
const framesOf = (error: unknown): readonly string[] => {
  if (!isRecord(error) || error.code !== "PluginFailed" || typeof error.stack !== "string") return []
  if (!Array.isArray(error.causes) || error.causes.length === 0) return []
  const frames = error.stack.split("\n").filter((line) => !line.includes("node:"))
  return frames.slice(0, mostFrames).map((frame) => `\n    ${visible(frame)}`)
}

/**
 * A line of JSON as a line for people: `12:00:00.000 INFO  message  key=value`. Only the failure of a plugin has more, its
 * stack, each line of it indented.
 */
const formatText = (json: string): string => {
  const line: unknown = JSON.parse(json)
  if (!isRecord(line)) return json
  const { time, level, message, ...fields } = line
  const clock = String(time).slice(11, 23)
  const facts = Object.entries(fields).map(([name, value]) => fieldText(name, value))
  const tail = [...facts, ...placeOf(line.error)].join(" ")
  const head = `${clock} ${String(level).toUpperCase().padEnd(5)} ${String(message ?? "")}`
  return `${visible(tail === "" ? head : `${head}  ${tail}`)}${framesOf(line.error).join("")}\n`
}

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
