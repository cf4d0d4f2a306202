import { AppError } from "../errors.ts"
import type { Child, Death } from "./process/child.ts"

/** Most lines of stderr in an error, and most characters of each. */
const mostLines = 20
const longestLine = 500

/** Shortest value of a variable that is masked: shorter ones would make holes into ordinary words. */
const shortestSecret = 6

/** Variables whose values are no secrets and occur in most messages. */
const harmless: ReadonlySet<string> = new Set(["PATH", "HOME"])

/**
 * The characters that a value always has in base64, in both alphabets: as it stands, and behind one or two other bytes
 * of its group of three, as a password behind `user:`. Characters at its edges depend on what is around it.
 */
const base64Of = (value: string): readonly string[] =>
  [0, 1, 2].flatMap((before) => {
    const bytes = Buffer.concat([Buffer.alloc(before), Buffer.from(value)])
    const text = bytes.toString("base64").slice(Math.ceil((before * 4) / 3), Math.floor((bytes.length * 4) / 3))
    return [text, text.replaceAll("+", "-").replaceAll("/", "_")]
  })

/** How a value may be written in a log: as it is, escaped as JSON, in a URL, in base64. */
const writingsOf = (value: string): readonly string[] => [
  value,
  JSON.stringify(value).slice(1, -1),
  encodeURIComponent(value.toWellFormed()),
  ...base64Of(value),
]

/** All beginnings of needles that a text has: most values are in no log, and are not looked for any further. */
const beginningsIn = (text: string): ReadonlySet<string> => {
  const beginnings = new Set<string>()
  for (let at = 0; at + shortestSecret <= text.length; at++) beginnings.add(text.slice(at, at + shortestSecret))
  return beginnings
}

/** Masks the values of environment variables in a text. */
export type Mask = (text: string) => string

/** Creates the mask for an environment: every value of at least six characters, and each line of it. */
export const createMask = (environment: Readonly<Record<string, string | undefined>>): Mask => {
  const values = Object.entries(environment)
    .filter(([name]) => !harmless.has(name))
    .flatMap(([, value = ""]) => [value, ...value.split(/\r?\n/)])
    .map((value) => value.trim())
    .filter((value) => value.length >= shortestSecret)
  // the longest first, since a shorter value may be a part of it
  const needles = [...new Set(values.flatMap(writingsOf))].sort((a, b) => b.length - a.length)
  return (text) => {
    const beginnings = beginningsIn(text)
    return needles
      .filter((needle) => beginnings.has(needle.slice(0, shortestSecret)))
      .reduce((masked, needle) => masked.replaceAll(needle, "***"), text)
  }
}

/** What a death is called in a sentence. */
export const deathText = ({ code, signal, refused }: Death): string => {
  if (refused !== undefined) return `could not be started (${refused})`
  return signal === null ? `ended with exit code ${code ?? "unknown"}` : `was ended by ${signal}`
}

/** The last lines of a child's stderr, masked; undefined `mask` = nobody may see them. */
const lastLines = (child: Pick<Child, "tail">, mask: Mask | undefined): readonly string[] => {
  if (mask === undefined) return []
  const lines = mask(child.tail.read()).split("\n")
  return lines
    .filter((line) => line.trim() !== "")
    .slice(-mostLines)
    .map((line) => line.slice(0, longestLine))
}

/** What is known of a child that failed. */
type Failed = Pick<Child, "tail"> & Partial<Pick<Child, "hint">>

/** An error about a child, with the last lines of its stderr in the message and in `data.log`. */
const about = (detail: string, child: Failed, mask: Mask | undefined, data: object): AppError => {
  const log = lastLines(child, mask)
  const said = log.length === 0 ? "" : ` Its last lines: ${log.slice(-5).join(" | ")}`
  return new AppError("ServerProcessEnded", {
    detail: `${detail}${child.hint ? ` ${child.hint}` : ""}${said}`,
    data: { ...data, ...(log.length === 0 ? {} : { log }) },
  })
}

/** The error of calls whose server has ended: ServerProcessEnded with `exit_code`, `signal` or `refused`. */
export const diedError = (child: Failed, death: Death, mask: Mask | undefined): AppError =>
  about(`The server's process ${deathText(death)}.`, child, mask, {
    ...(death.code === null ? {} : { exit_code: death.code }),
    ...(death.signal === null ? {} : { signal: death.signal }),
    ...(death.refused === undefined ? {} : { refused: death.refused }),
  })

/** The error of a first request that the server did not answer in time. */
export const silentError = (child: Failed, ms: number, mask: Mask | undefined, method = "initialize"): AppError =>
  about(`The server did not answer '${method}' within ${ms / 1000} s, and was ended.`, child, mask, {})

/** The error of a server that spoke the modern era before, and now does not. */
export const changedError = (child: Failed, mask: Mask | undefined): AppError =>
  about("The server refused 'server/discover', which it answered before, and was ended.", child, mask, {})

/** The error of a first request that the server said it cancels, which is only for clients to do. */
export const cancelledError = (child: Failed, mask: Mask | undefined): AppError =>
  about("The server cancelled 'initialize', and was ended.", child, mask, {})
