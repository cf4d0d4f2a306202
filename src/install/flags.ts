import { isAbsolute } from "node:path"
import { parseArgs } from "node:util"
import { parseDuration } from "../api/duration.ts"
import type { PackageType } from "../api/kinds/package.ts"
import { AppError } from "../errors.ts"
import type { Order } from "./order.ts"

/** What the arguments of the role install ask for. */
export type InstallCommand = { readonly kind: "help" } | { readonly kind: "run"; readonly order: Order }

/** The text of `reflow --role install --help`. */
export const installHelp = `Usage: reflow --role install FLAG…

Installs a published package by npm or uv, and makes a link to its program. Needs node and npm, or python3 and uv.

  --type TYPE            npm or pypi
  --name NAME            name of the package
  --version VERSION      one exact version
  --before YYYY-MM-DD    install all packages as they were at the end of this day, UTC
  --registry URL         npm registry, or simple index of Python packages; default: that of npm or uv
  --registry-secret-folder FOLDER   files token, or username and password, for --registry
  --bin NAME             the package's program; default: the one named like the package, or its only one
  --allow-scripts        run install scripts (npm), build sources (pypi); default: neither
  --folder FOLDER        where the package is installed, in a folder for each platform and interpreter
  --seen-as FOLDER       the path of --folder where the program is going to run; default: the same
  --link PATH            the link to make: 'node PATH' or 'python3 PATH' runs the program
  --scratch FOLDER       for caches and temporary files, deleted at the end; npm and uv then get no variables of this
                         process except PATH and those of proxies and certificates
  --timeout DURATION     how long all of it may take; default 5m
  --message-file FILE    where the report is written; default /dev/termination-log, where that exists

Exit codes: 0 installed, 1 not installed, 2 wrong flags; 128 + N ended by signal N.
`

const wrong = (detail: string): AppError => new AppError("UsageInvalid", { detail: `${detail}.` })

const flags = {
  role: { type: "string", multiple: true },
  type: { type: "string" },
  name: { type: "string" },
  version: { type: "string" },
  before: { type: "string" },
  registry: { type: "string" },
  "registry-secret-folder": { type: "string" },
  bin: { type: "string" },
  "allow-scripts": { type: "boolean" },
  folder: { type: "string" },
  "seen-as": { type: "string" },
  link: { type: "string" },
  scratch: { type: "string" },
  timeout: { type: "string" },
  "message-file": { type: "string" },
  help: { type: "boolean", short: "h" },
} as const

/**
 * What values may be. They are those of src/api/kinds/package.ts, which needs a library that this bundle must not have;
 * a test holds them together. Whoever starts the installer has checked them too: it trusts nobody.
 */
export const patterns = {
  npm: {
    name: /^(@[a-z0-9][a-z0-9._-]{0,212}\/)?[a-z0-9][a-z0-9._-]{0,212}$/,
    version: /^[0-9]{1,16}\.[0-9]{1,16}\.[0-9]{1,16}(-[0-9A-Za-z-]{1,32}(\.[0-9A-Za-z-]{1,32}){0,8})?$/,
  },
  pypi: {
    name: /^[A-Za-z0-9]([A-Za-z0-9._-]{0,212}[A-Za-z0-9])?$/,
    version:
      /^([0-9]{1,8}!)?[0-9]{1,16}(\.[0-9]{1,16}){0,8}((a|b|rc)[0-9]{1,16})?(\.post[0-9]{1,16})?(\.dev[0-9]{1,16})?(\+[a-z0-9]{1,32}(\.[a-z0-9]{1,32}){0,8})?$/,
  },
  before: /^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$/,
  registry: /^https?:\/\/[A-Za-z0-9.-]+(:[0-9]{1,5})?(\/[A-Za-z0-9._~/-]*)?$/,
  bin: /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/,
} as const

/** Most characters of a value. */
const longestValue = 1_024

const parse = (args: readonly string[]) => {
  try {
    return parseArgs({ args: [...args], options: flags, allowPositionals: false }).values
  } catch (cause) {
    throw wrong(cause instanceof Error ? cause.message.replace(/\.$/, "") : "The flags cannot be read")
  }
}

type Flag = Exclude<keyof typeof flags, "role" | "allow-scripts" | "help">
type Values = Readonly<Partial<Record<Flag, string>>>

const needed = (values: Values, flag: Flag): string => {
  const value = values[flag]
  if (value === undefined) throw wrong(`--${flag} is missing`)
  return value
}

const matching = (flag: Flag, value: string, pattern: RegExp): string => {
  if (value.length <= longestValue && pattern.test(value)) return value
  throw wrong(`--${flag} cannot be ${JSON.stringify(value.slice(0, 256))}`)
}

const optional = (values: Values, flag: Flag, pattern: RegExp): string | undefined => {
  const value = values[flag]
  return value === undefined ? undefined : matching(flag, value, pattern)
}

const path = (values: Values, flag: Flag): string | undefined => {
  const value = values[flag]
  if (value === undefined) return undefined
  if (isAbsolute(value) && !value.includes("\0") && value.length <= longestValue) return value
  throw wrong(`--${flag} needs an absolute path, not ${JSON.stringify(value.slice(0, 256))}`)
}

const neededPath = (values: Values, flag: Flag): string => path(values, flag) ?? needed(values, flag)

const typeOf = (text: string): PackageType => {
  if (text === "npm" || text === "pypi") return text
  throw wrong(`--type must be npm or pypi, not ${JSON.stringify(text.slice(0, 256))}`)
}

const dayOf = (values: Values): string | undefined => {
  const day = optional(values, "before", patterns.before)
  // 31 February is none, though it looks like one
  if (day === undefined || new Date(`${day}T00:00:00Z`).toISOString().startsWith(day)) return day
  throw wrong(`--before cannot be '${day}': there is no such day`)
}

const registryOf = (values: Values): string | undefined => {
  const registry = optional(values, "registry", patterns.registry)
  if (registry === undefined || URL.canParse(registry)) return registry
  throw wrong(`--registry cannot be '${registry}'`)
}

const timeoutOf = (text: string): number => {
  const ms = parseDuration(text)
  // Node's timers count milliseconds in 31 bits
  if (ms !== undefined && ms > 0 && ms < 2 ** 31) return ms
  throw wrong(`--timeout needs a duration such as 30s or 5m, not ${JSON.stringify(text.slice(0, 64))}`)
}

/** True if these arguments (without the program's name) ask for the role install. */
export const isInstall = (argv: readonly string[]): boolean => {
  const own = argv.slice(0, argv.includes("--") ? argv.indexOf("--") : argv.length)
  return own.some((flag, at) => flag === "--role=install" || (flag === "install" && own[at - 1] === "--role"))
}

/** Parses the arguments of the role install. Throws UsageInvalid. */
export const parseInstall = (argv: readonly string[]): InstallCommand => {
  const { role = ["install"], help, "allow-scripts": allowScripts = false, ...values } = parse(argv)
  if (help === true) return { kind: "help" }
  if (role.length > 1 || role[0] !== "install")
    throw wrong(`--role can be given once, not as '${role.join("' and '")}'`)
  const type = typeOf(needed(values, "type"))
  const folder = neededPath(values, "folder")
  const order = {
    type,
    name: matching("name", needed(values, "name"), patterns[type].name),
    version: matching("version", needed(values, "version"), patterns[type].version),
    before: dayOf(values),
    registry: registryOf(values),
    secretFolder: path(values, "registry-secret-folder"),
    bin: optional(values, "bin", patterns.bin),
    allowScripts,
    folder,
    seenAs: path(values, "seen-as") ?? folder,
    link: neededPath(values, "link"),
    scratch: path(values, "scratch"),
    timeoutMs: timeoutOf(values.timeout ?? "5m"),
    messageFile: path(values, "message-file"),
  }
  return { kind: "run", order }
}
