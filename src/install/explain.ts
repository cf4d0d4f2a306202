import { formatDuration } from "../api/duration.ts"
import { type Order, requirementOf } from "./order.ts"

/** What an explanation needs to know of an order. */
export type Asked = Pick<Order, "type" | "name" | "version" | "before" | "registry" | "allowScripts" | "timeoutMs">

type Row = {
  /** Stands in the output, whose lines are joined by blanks. */
  readonly pattern: RegExp
  readonly problem: (asked: Asked) => string
}

const registryOf = ({ registry }: Asked): string => (registry === undefined ? "the registry" : new URL(registry).host)

const noVersion = (asked: Asked): string =>
  `${asked.name} has no version ${asked.version} in ${registryOf(asked)}. Correct the version.`
const unknown = (asked: Asked): string =>
  `${asked.name}, or a package that it needs, is not in ${registryOf(asked)}. Correct its name, or the registry.`
const tooEarly = (asked: Asked): string =>
  `${requirementOf(asked)}, or a version that it needs, is not from ${asked.before} or earlier. Set before to a later day.`
const unauthorized = (asked: Asked): string =>
  `${registryOf(asked)} refuses the credentials for ${asked.name}, or got none. Correct the registry's Secret (token, or username and password).`
const forbidden = (asked: Asked): string =>
  `${registryOf(asked)} forbids the package ${asked.name}, or one that it needs. Let the registry's Secret name an account that may read it.`
const unreachable = (asked: Asked): string =>
  `${registryOf(asked)} cannot be reached, or breaks off. Correct its URL, start it, or allow connections to it (NetworkPolicies, firewalls).`
const untrusted = (asked: Asked): string =>
  `The certificate of ${registryOf(asked)} is not trusted here. Use an image that trusts it, or set SSL_CERT_FILE and NODE_EXTRA_CA_CERTS in it.`
const changed = (asked: Asked): string =>
  `A package has another checksum than ${registryOf(asked)} says: it was changed on its way, or in the registry. Nothing of it is used.`
const fullDisk = (): string =>
  "The disk is full: the package and its dependencies do not fit. Use a larger volume, or free space on the node."
const broken = (asked: Asked): string =>
  `${registryOf(asked)} fails or answers what cannot be read. Its log says more; try again later.`
const conflict = (asked: Asked): string =>
  `The packages that ${requirementOf(asked)} needs do not fit together. Try another version${asked.before === undefined ? ", or set before to the day of its release" : ", or another day for before"}.`
const tooLittleMemory = (): string =>
  "There is not enough memory to install the package. Give the target's resources a higher memory limit."

const npmRows: readonly Row[] = [
  { pattern: /\bcode (ENOSPC|EDQUOT)\b|ENOSPC:|no space left on device/, problem: fullDisk },
  { pattern: /\bcode E401\b|\bcode ENEEDAUTH\b/, problem: unauthorized },
  { pattern: /\bcode E403\b/, problem: forbidden },
  { pattern: /\bcode (ETARGET|ENOVERSIONS)\b.{1,500} with a date before /, problem: tooEarly },
  {
    pattern: /\bcode ETARGET\b/,
    problem: (asked) =>
      `${requirementOf(asked)}, or a version that it needs, is not in ${registryOf(asked)}. Correct the version.`,
  },
  { pattern: /\bcode (E404|ENOVERSIONS)\b/, problem: unknown },
  { pattern: /\bcode (EINTEGRITY|EALLOWREMOTE|TAR_BAD_ARCHIVE|Z_DATA_ERROR|Z_BUF_ERROR)\b/, problem: changed },
  {
    pattern: /\bcode EBADPLATFORM\b/,
    problem: (asked) =>
      `${requirementOf(asked)}, or a package that it needs, is not for this platform (${process.platform}, ${process.arch}). Use another version, or nodes of another kind.`,
  },
  {
    pattern: /\bcode EBADENGINE\b/,
    problem: (asked) =>
      `${requirementOf(asked)} is not for the Node of this image. Use an image with a newer one (kubernetes.packages.npm.image).`,
  },
  { pattern: /\bcode ERESOLVE\b/, problem: conflict },
  {
    pattern: /\bcode (EACCES|EPERM|EROFS)\b/,
    problem: () => "npm may not write into a folder. Let the container's user write to the volume, e.g. by fsGroup.",
  },
  {
    pattern:
      /\bcode (SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_[A-Z_]{1,40}|CERT_[A-Z_]{1,40}|ERR_TLS_[A-Z_]{1,40})\b/,
    problem: untrusted,
  },
  {
    pattern:
      /\bcode (E[A-Z]{0,12}(REFUSED|RESET|TIMEOUT|TIMEDOUT|NOTFOUND|UNREACH)|EAI_AGAIN|EPIPE|ERR_SOCKET_TIMEOUT|FETCH_ERROR|ERR_STREAM_PREMATURE_CLOSE)\b/,
    problem: unreachable,
  },
  { pattern: /\bcode (E5[0-9]{2}|E429|EJSONPARSE)\b|Invalid response body/, problem: broken },
  {
    pattern: /\berror path \S{1,500} .{0,50}\berror command (failed|sh|\/)/,
    problem: (asked) =>
      `An install script of ${requirementOf(asked)}, or of a package that it needs, failed. Its last lines say why.`,
  },
]

const uvRows: readonly Row[] = [
  { pattern: /No space left on device|os error 28\b/, problem: fullDisk },
  { pattern: /401 Unauthorized|\(401\)|lack of valid authentication/, problem: unauthorized },
  { pattern: /403 Forbidden/, problem: forbidden },
  {
    pattern: /Hash mismatch|hash digest mismatch|invalid (Zip|gzip)|Failed to (extract|unzip)|bad (CRC|checksum)/i,
    problem: changed,
  },
  {
    pattern: /missing an upload date/,
    problem: (asked) =>
      `${registryOf(asked)} does not say when its packages were published, so before cannot be obeyed. Remove before, or use an index with upload times.`,
  },
  {
    pattern: /has no usable wheels|no wheels with a matching|building from source is disabled|only-binary|no-build/i,
    problem: (asked) =>
      `${requirementOf(asked)}, or a package that it needs, has no wheel for this platform and Python, only sources. Set allowScripts: true to build them, or use another version or image.`,
  },
  {
    pattern: /(does not satisfy|requires|depends on) Python ?[<>=!~]/i,
    problem: (asked) =>
      `${requirementOf(asked)}, or a package that it needs, is not for the Python of this image. Use an image with another one (kubernetes.packages.pypi.image).`,
  },
  { pattern: /exclude-newer|published after/, problem: tooEarly },
  {
    pattern: /was not found in the package registry|not found in the provided package locations|404 Not Found/,
    problem: unknown,
  },
  { pattern: /there is no version of/i, problem: noVersion },
  { pattern: /No solution found|requirements are unsatisfiable/, problem: conflict },
  { pattern: /invalid peer certificate|UnknownIssuer|certificate/i, problem: untrusted },
  {
    pattern:
      /error sending request|tcp connect error|operation timed out|dns error|Connection (refused|reset)|connection closed|error decoding response body|end of file before message/i,
    problem: unreachable,
  },
  { pattern: /HTTP status (server|client) error|\b5[0-9]{2} [A-Z]/, problem: broken },
  {
    pattern: /Permission denied|Read-only file system/,
    problem: () => "uv may not write into a folder. Let the container's user write to the volume, e.g. by fsGroup.",
  },
  {
    pattern: /Failed to build|build backend/i,
    problem: (asked) =>
      `${requirementOf(asked)}, or a package that it needs, cannot be built here. Its last lines say why.`,
  },
]

/** Lines of npm that help nobody who reads a report. */
const noise = /^npm (notice|error A complete log|error Log files were not written|error $)/

/** The lines of an output that a report should have. */
export const tellingLines = (lines: readonly string[]): readonly string[] => lines.filter((line) => !noise.test(line))

/** The lines as one text: uv breaks its sentences at the width of a terminal, and draws a tree beside them. */
const joined = (lines: readonly string[]): string =>
  lines
    .join(" ")
    .replaceAll(/[─│╰├▶×]+/g, " ")
    .replaceAll(/\s+/g, " ")

/** Exit codes with which shells and containers tell of SIGKILL: mostly the kernel's, for lack of memory. */
const killed = 137

/** What is wrong, by what a package manager wrote, and what to do. `code`: its exit code, null if a signal ended it. */
export const explain = (asked: Asked, lines: readonly string[], code: number | null): string => {
  if (code === null || code === killed) return tooLittleMemory()
  const text = joined(lines)
  const row = (asked.type === "npm" ? npmRows : uvRows).find(({ pattern }) => pattern.test(text))
  const manager = asked.type === "npm" ? "npm" : "uv"
  return (
    row?.problem(asked) ??
    `${manager} failed with exit code ${code} for ${requirementOf(asked)}. Its last lines say why.`
  )
}

/** What is wrong if the time is up. */
export const explainLate = (asked: Asked): string =>
  `${requirementOf(asked)} was not installed within ${formatDuration(asked.timeoutMs)}. The registry is slow, or the package is large: try again, use a registry that is nearer, or a cache claim.`
