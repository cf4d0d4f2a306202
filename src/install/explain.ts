import { formatDuration } from "../api/duration.ts"
import { requirementOf } from "./order.ts"
import { type Asked, problems, type Row } from "./problems.ts"

/**
 * What npm writes: the code of its error (npm, «Errors», and those of Node). The first row that fits counts. Names are
 * those in npm's sentences, which may come from a registry.
 */
const npmRows: readonly Row[] = [
  { pattern: /\bcode EALLOW(?:GIT|FILE|DIRECTORY)\b|\bspawn \/dev\/null\b/, problem: problems.outside },
  { pattern: /\bcode (?:ENOSPC|EDQUOT)\b|\b(?:ENOSPC|EDQUOT): /, problem: problems.fullDisk },
  { pattern: /\bcode (?:E401|ENEEDAUTH|EOTP)\b/, problem: problems.unauthorized },
  { pattern: /\bcode E403\b/, problem: problems.forbidden },
  {
    pattern: /\bNo (?:matching|versions)[a-z ]{1,40} for ([^\s]{1,300}) with a date before /,
    problem: problems.tooEarly,
  },
  { pattern: /\bNo matching version found for ([^\s]{1,300})\. /, problem: problems.noVersion },
  { pattern: /\bcode (?:ETARGET|ENOVERSIONS)\b/, problem: problems.noVersion },
  { pattern: /\bThe requested resource '([^\s']{1,300})' could not be found/, problem: problems.unknown },
  { pattern: /\bcode E404\b/, problem: problems.unknown },
  { pattern: /\bcode (?:EINTEGRITY|TAR_BAD_ARCHIVE|Z_DATA_ERROR|Z_BUF_ERROR)\b/, problem: problems.changed },
  { pattern: /\bcode EBADPLATFORM\b/, problem: problems.wrongPlatform },
  { pattern: /\bcode EBADENGINE\b/, problem: problems.wrongInterpreter },
  { pattern: /\bcode ERESOLVE\b/, problem: problems.conflict },
  { pattern: /\bcode (?:EACCES|EPERM|EROFS)\b|\bTAR_ENTRY_ERROR E/, problem: problems.notWritable },
  { pattern: /\bcode [A-Z_]{0,30}(?:CERT|VERIFY|TLS)[A-Z_]{0,40}\b/, problem: problems.untrusted },
  {
    pattern:
      /\bcode (?:ECONN[A-Z]{1,10}|E?(?:TIMEDOUT|NOTFOUND)|E[A-Z]{1,12}TIMEOUT|E(?:HOST|NET)UNREACH|EAI_AGAIN|EPIPE|ERR_S[A-Z_]{1,40})\b/,
    problem: problems.unreachable,
  },
  { pattern: /\bcode (?:E5[0-9]{2}|E429|EJSONPARSE|FETCH_ERROR)\b|Invalid response body/, problem: problems.broken },
  { pattern: /\bnpm error command failed\b/, problem: problems.script },
]

/** What uv writes: it has no codes, so its sentences are what there is. */
const uvRows: readonly Row[] = [
  { pattern: /No space left on device|\bos error 28\b/, problem: problems.fullDisk },
  { pattern: /\b401 Unauthorized\b/, problem: problems.unauthorized },
  { pattern: /\b403 Forbidden\b/, problem: problems.forbidden },
  {
    pattern: /\bHash mismatch|Failed to (?:extract|unzip)|\binvalid (?:Zip|gzip)|\bBad CRC/i,
    problem: problems.changed,
  },
  { pattern: /is missing an upload date/, problem: problems.noDates },
  { pattern: /Because ([^\s]{1,300}) has no (?:usable )?wheels/, problem: problems.onlySources },
  { pattern: /building from source is disabled/, problem: problems.onlySources },
  { pattern: /Because ([^\s]{1,300}) (?:requires|depends on) Python ?[<>=!~]/, problem: problems.wrongInterpreter },
  { pattern: /does not satisfy Python ?[<>=!~]/, problem: problems.wrongInterpreter },
  { pattern: /was filtered by `exclude-newer`/, problem: problems.tooEarly },
  { pattern: /Because ([^\s]{1,300}) was not found in the package registry/, problem: problems.unknown },
  { pattern: /Because there is no version of ([^\s,]{1,300})/, problem: problems.noVersion },
  { pattern: /No solution found|requirements are unsatisfiable/, problem: problems.conflict },
  { pattern: /invalid peer certificate|UnknownIssuer/, problem: problems.untrusted },
  { pattern: /Failed to build `([^\s`]{1,300})`|build backend/, problem: problems.notBuilt },
  {
    pattern:
      /error sending request|tcp connect error|timed out|dns error|Connection (?:refused|reset)|connection closed|decoding response body|end of file before|IncompleteBody/i,
    problem: problems.unreachable,
  },
  { pattern: /HTTP status (?:server|client) error|Failed to (?:fetch|download)/, problem: problems.broken },
  { pattern: /Permission denied|Read-only file system/, problem: problems.notWritable },
]

/**
 * True if npm left out files that it could not write, e.g. on a full disk: it warns of them, and ends with code 0 all the
 * same.
 */
export const isIncomplete = (lines: readonly string[]): boolean =>
  lines.some((line) => /^npm warn tar TAR_ENTRY_ERROR E[A-Z]/.test(line))

/** Lines of npm that help nobody who reads a report. */
const noise = /^npm (?:notice|error A complete log|error Log files were not written|error (?:404|network)?$)/

/** The lines of an output that a report should have. */
export const tellingLines = (lines: readonly string[]): readonly string[] => lines.filter((line) => !noise.test(line))

/** Exit code with which shells tell of SIGKILL: mostly the kernel's, for lack of memory. */
const killed = 137

/** What is wrong, by what a package manager wrote, and what to do. `code`: its exit code, null if a signal ended it. */
export const explain = (asked: Asked, lines: readonly string[], code: number | null): string => {
  const manager = asked.type === "npm" ? "npm" : "uv"
  if (code === null || code === killed)
    return `${manager} was killed, mostly for lack of memory. Give the target's resources a higher memory limit.`
  const text = `${lines.map((line) => line.trim()).join(" ")} `
  for (const { pattern, problem } of asked.type === "npm" ? npmRows : uvRows) {
    const found = pattern.exec(text)
    if (found !== null) return problem(asked, found[1])
  }
  return `${manager} failed with exit code ${code} for ${requirementOf(asked)}. Its last lines say why.`
}

/** What is wrong if the time is up. */
export const explainLate = (asked: Omit<Asked, "hasCredentials">): string =>
  `${requirementOf(asked)} was not installed within ${formatDuration(asked.timeoutMs)}. The registry is slow, or the package is large: try again, use a registry that is nearer, or a cache claim.`
