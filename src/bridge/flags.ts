import { parseArgs } from "node:util"
import { parseDuration } from "../api/duration.ts"
import { AppError } from "../errors.ts"
import type { BridgeOptions } from "./bridge.ts"

/** What the arguments of the role bridge ask for. */
export type BridgeCommand =
  | { readonly kind: "help" }
  /** Copies the bridge with its loader and libraries into a folder. */
  | { readonly kind: "install"; readonly folder: string }
  | { readonly kind: "run"; readonly options: Omit<BridgeOptions, "environment" | "write"> }

/** The text of `reflow --role bridge --help`. */
export const bridgeHelp = `Usage: reflow --role bridge [FLAG…] -- COMMAND [ARG…]

Runs a command that speaks MCP over stdin and stdout, and serves it as Streamable HTTP.

  --listen HOST:PORT     where to listen; default 127.0.0.1:8080; host * = all addresses
  --path PATH            path of the MCP endpoint; default /mcp
  --processes KIND       per_session (default): each session has a process of its own; shared: all use one
  --max-processes N      most processes at once; default 8
  --idle-ttl DURATION    end the process of a session that nobody has used for this time; default 30m
  --start-timeout DURATION   how long the server may take to answer initialize; default 2m
  --single-user          all clients are one user: errors show the last lines of the server's stderr
  --install FOLDER       copy the executable with its loader and libraries into this folder, and end
  --hint-file FILE       errors about a server that ended add the sentence in this file, if it is there
  --guard                end the server even if this process is killed; needs /bin/sh
`

const wrong = (detail: string): AppError => new AppError("UsageInvalid", { detail })

const flags = {
  role: { type: "string", multiple: true },
  listen: { type: "string" },
  path: { type: "string" },
  processes: { type: "string" },
  "max-processes": { type: "string" },
  "idle-ttl": { type: "string" },
  "start-timeout": { type: "string" },
  "single-user": { type: "boolean" },
  "hint-file": { type: "string" },
  guard: { type: "boolean" },
  install: { type: "string" },
  help: { type: "boolean", short: "h" },
} as const

const parse = (args: readonly string[]) => {
  try {
    return parseArgs({ args: [...args], options: flags, allowPositionals: false }).values
  } catch (cause) {
    throw wrong(cause instanceof Error ? cause.message : "The flags cannot be read.")
  }
}

/** Host and port of `HOST:PORT`; the host may be IPv6 in brackets. */
const addressOf = (text: string): { readonly host: string | undefined; readonly port: number } => {
  const [, host, port] = /^(\*|\[[0-9a-fA-F:.]+\]|[^:[\]*]+):(\d{1,5})$/.exec(text) ?? []
  if (host === undefined || Number(port) > 65_535) throw wrong(`--listen needs HOST:PORT, not '${text}'`)
  return { host: host === "*" ? undefined : host.replaceAll(/[[\]]/g, ""), port: Number(port) }
}

const durationOf = (flag: string, text: string): number => {
  const ms = parseDuration(text)
  if (ms === undefined || ms === 0) throw wrong(`--${flag} needs a duration such as 30s or 10m, not '${text}'`)
  return ms
}

const countOf = (text: string): number => {
  if (/^\d{1,6}$/.test(text) && Number(text) > 0) return Number(text)
  throw wrong(`--max-processes needs a number from 1 on, not '${text}'`)
}

const processesOf = (text: string): BridgeOptions["processes"] => {
  if (text === "per_session" || text === "shared") return text
  throw wrong(`--processes must be per_session or shared, not '${text}'`)
}

const pathOf = (text: string): string => {
  if (/^\/[^?#\s]*$/.test(text)) return text
  throw wrong(`--path must begin with '/', not '${text}'`)
}

/** True if these arguments (without the program's name) ask for the role bridge. */
export const isBridge = (argv: readonly string[]): boolean => {
  const own = argv.slice(0, argv.includes("--") ? argv.indexOf("--") : argv.length)
  return own.some((flag, at) => flag === "--role=bridge" || (flag === "bridge" && own[at - 1] === "--role"))
}

/** Parses the arguments of the role bridge. Throws UsageInvalid. */
export const parseBridge = (argv: readonly string[]): BridgeCommand => {
  const end = argv.indexOf("--")
  const values = parse(end === -1 ? argv : argv.slice(0, end))
  if (values.help === true) return { kind: "help" }
  const { role = ["bridge"] } = values
  if (role.length > 1 || role[0] !== "bridge") throw wrong(`--role can be given once, not as '${role.join("' and '")}'`)
  if (values.install !== undefined) return { kind: "install", folder: values.install }
  const command = end === -1 ? [] : argv.slice(end + 1)
  if (command.length === 0) throw wrong("Say which command: reflow --role bridge -- COMMAND [ARG…]")
  const options = {
    command,
    ...addressOf(values.listen ?? "127.0.0.1:8080"),
    path: pathOf(values.path ?? "/mcp"),
    processes: processesOf(values.processes ?? "per_session"),
    maxProcesses: countOf(values["max-processes"] ?? "8"),
    idleMs: durationOf("idle-ttl", values["idle-ttl"] ?? "30m"),
    startMs: durationOf("start-timeout", values["start-timeout"] ?? "2m"),
    singleUser: values["single-user"] === true,
    hintFile: values["hint-file"],
    guarded: values.guard === true,
  }
  return { kind: "run", options }
}
