import { errorTable } from "../errors.ts"
import { visible } from "./visible.ts"

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
export const formatText = (json: string): string => {
  const line: unknown = JSON.parse(json)
  if (!isRecord(line)) return json
  const { time, level, message, ...fields } = line
  const clock = String(time).slice(11, 23)
  const facts = Object.entries(fields).map(([name, value]) => fieldText(name, value))
  const tail = [...facts, ...placeOf(line.error)].join(" ")
  const head = `${clock} ${String(level).toUpperCase().padEnd(5)} ${String(message ?? "")}`
  return `${visible(tail === "" ? head : `${head}  ${tail}`)}${framesOf(line.error).join("")}\n`
}
