/**
 * What the installer of a package says at its end, as the termination message of its init container. The operator reads
 * it: both must agree on it.
 */
import { readable } from "./foreign-text.ts"

/** How an installation ended. */
export type InstallReport =
  | {
      readonly kind: "installed"
      /** True if it was there already, and nothing was fetched. */
      readonly cached: boolean
      /** Packages whose install scripts were not run, at most {@link mostNames}. */
      readonly skippedScripts: readonly string[]
    }
  | {
      readonly kind: "failed"
      /** One or two sentences: what is wrong, and what to do. */
      readonly problem: string
      /** The last lines of the package manager's output, without credentials, oldest first; at most {@link mostLines}. */
      readonly lines: readonly string[]
    }

/** Most bytes of a report: the kubelet keeps 4,096 of a termination message. */
export const mostReportBytes = 4_000
/** Most packages that a report names. */
export const mostNames = 10
/** Most lines of output in a report. */
export const mostLines = 10
/** Most characters of one text in a report. */
export const mostCharacters = 300

const textsOf = (value: unknown, most: number): readonly string[] =>
  Array.isArray(value)
    ? value
        .filter((each) => typeof each === "string")
        .slice(0, most)
        .map((each) => readable(each, mostCharacters))
    : []

const clipped = (texts: readonly string[], most: number): readonly string[] =>
  texts.slice(-most).map((text) => readable(text, mostCharacters))

/** What somebody should know whose server fails: the sentence for the names in a report; empty if there are none. */
export const scriptsHint = (skippedScripts: readonly string[]): string =>
  skippedScripts.length === 0
    ? ""
    : `Install scripts were not run (${skippedScripts.join(", ")}): if the server needs them, set package.allowScripts.`

/** The file beside the link to a package's program that has this sentence, if there is one. */
export const hintFileOf = (link: string): string => `${link}.hint`

/** The report as the text of a termination message, of at most {@link mostReportBytes}. */
export const writeReport = (report: InstallReport): string => {
  if (report.kind === "installed") {
    const skippedScripts = report.skippedScripts.slice(0, mostNames).map((name) => readable(name, mostCharacters))
    return JSON.stringify({ kind: report.kind, cached: report.cached, skippedScripts })
  }
  const problem = readable(report.problem, 2 * mostCharacters)
  let lines = clipped(report.lines, mostLines)
  const write = () => JSON.stringify({ kind: report.kind, problem, lines })
  while (lines.length > 0 && Buffer.byteLength(write()) > mostReportBytes) lines = lines.slice(1)
  return write()
}

/** Reads a termination message. Undefined if it is no report: the installer was killed, or an install script wrote it. */
export const readReport = (message: string): InstallReport | undefined => {
  if (message.length > 2 * mostReportBytes) return undefined
  try {
    const found: unknown = JSON.parse(message)
    if (typeof found !== "object" || found === null || Array.isArray(found)) return undefined
    const { kind, cached, skippedScripts, problem, lines } = found as Readonly<Record<string, unknown>>
    if (kind === "installed" && typeof cached === "boolean")
      return { kind, cached, skippedScripts: textsOf(skippedScripts, mostNames) }
    if (kind === "failed" && typeof problem === "string")
      return { kind, problem: readable(problem, 2 * mostCharacters), lines: textsOf(lines, mostLines) }
  } catch {
    // a text that somebody else wrote
  }
  return undefined
}
