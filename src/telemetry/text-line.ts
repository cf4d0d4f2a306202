import { misleading } from "../api/foreign-text.ts"
import { type Fields, isFields } from "../api/patch.ts"
import { errorTable } from "../errors.ts"

/** A text that needs no escapes: printable ASCII. */
const plain = /^[ -~]*$/
const escapeUnit = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`

/**
 * The text with all characters that control or mislead a terminal as JSON escapes, so that a logged name cannot write
 * its own lines or colours. A JSON text keeps its value.
 */
export const visible = (text: string): string =>
  plain.test(text)
    ? text
    : text.replace(misleading, (each) => (each === "\n" ? "\\n" : each.split("").map(escapeUnit).join("")))

const errorText = (error: Fields): string => {
  const one = (each: Fields) => [each.code, each.message].filter((part) => part !== undefined && part !== "").join(": ")
  const causes = Array.isArray(error.causes) ? error.causes.filter(isFields) : []
  return [error, ...causes].map(one).join("; caused by ")
}

const fieldText = (name: string, value: unknown): string => {
  if (isFields(value) && typeof value.message === "string") return `${name}=${JSON.stringify(errorText(value))}`
  if (typeof value === "string" && /^[^\s"=]+$/.test(value)) return `${name}=${value}`
  return `${name}=${JSON.stringify(value)}`
}

/** Where an unexpected error was thrown: the first stack line outside Node and the libraries. */
const placeOf = (error: unknown): readonly string[] => {
  if (!isFields(error) || typeof error.stack !== "string") return []
  const expected = typeof error.code === "string" && error.code !== "Internal" && Object.hasOwn(errorTable, error.code)
  const place = error.stack.split("\n").find((line) => !line.includes("node:") && !line.includes("node_modules"))
  return expected || place === undefined ? [] : [`(${place})`]
}

/** Most lines of a plugin's stack that are shown. */
const mostFrames = 5

/**
 * The stack of an error that a plugin threw, for the plugin's author. Nothing for failures that the host itself found.
 */
const framesOf = (error: unknown): readonly string[] => {
  if (!isFields(error) || error.code !== "PluginFailed" || typeof error.stack !== "string") return []
  if (!Array.isArray(error.causes) || error.causes.length === 0) return []
  const frames = error.stack.split("\n").filter((line) => !line.includes("node:"))
  return frames.slice(0, mostFrames).map((frame) => `\n    ${visible(frame)}`)
}

/**
 * A JSON line as readable text: `12:00:00.000 INFO  message  key=value`. Only the failure of a plugin has more, its
 * stack, each line of it indented.
 */
export const formatText = (json: string): string => {
  const line: unknown = JSON.parse(json)
  if (!isFields(line)) return json
  const { time, level, message, ...fields } = line
  const clock = String(time).slice(11, 23)
  const facts = Object.entries(fields).map(([name, value]) => fieldText(name, value))
  const tail = [...facts, ...placeOf(line.error)].join(" ")
  const head = `${clock} ${String(level).toUpperCase().padEnd(5)} ${String(message ?? "")}`
  return `${visible(tail === "" ? head : `${head}  ${tail}`)}${framesOf(line.error).join("")}\n`
}
