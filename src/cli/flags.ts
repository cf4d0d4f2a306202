import { parseArgs } from "node:util"
import { parseDuration } from "../api/duration.ts"
import { suggestion } from "../api/nearest.ts"
import type { Assignment } from "../config/layer.ts"
import type { Settings } from "../config/load.ts"
import { type Role, roles } from "../config/schema.ts"
import { type Caller, callerOf, type Values, wrong } from "./caller.ts"
import {
  type CheckedRole,
  type CommandName,
  commandNames,
  flags,
  operandsOf,
  type Purpose,
  type Shell,
  shells,
} from "./commands.ts"
import { type TargetCommand, targetCommand } from "./target.ts"

/** A value of --reference: the environment variable that the secret becomes, and `scheme:reference`. */
type Reference = { readonly name: string; readonly from: string }

/** The parsed command line. */
export type Command =
  | { readonly kind: "help" }
  | { readonly kind: "version" }
  | {
      readonly kind: "run"
      readonly role: Role
      readonly settings: Settings
      /** True: the role dev deletes the targets and credentials kept from earlier runs. */
      readonly fresh: boolean
    }
  | {
      readonly kind: "config"
      readonly role: Role | undefined
      readonly schema: boolean
      readonly settings: Settings
    }
  | {
      readonly kind: "check"
      readonly role: CheckedRole
      readonly settings: Settings
      /** URL at which a gateway must answer; undefined = no gateway is asked. */
      readonly reach: string | undefined
    }
  | {
      readonly kind: "plugin"
      /** Files of plugins to check. */
      readonly paths: readonly string[]
      /** Their configuration. */
      readonly settings: unknown
      /** The configuration that a target gives their hooks. */
      readonly hookSettings: unknown
      /** The caller that the hooks get. */
      readonly caller: Caller
      /** References that the secret resolvers are called with. */
      readonly references: readonly Reference[]
      /** True: also print subject keys, names of secrets and Pods. */
      readonly print: boolean
    }
  | TargetCommand
  | { readonly kind: "completion"; readonly shell: Shell }
  | (Caller & {
      readonly kind: "token"
      readonly subject: string
      readonly purposes: readonly Purpose[]
      /** Lifetime of the token, in milliseconds. */
      readonly ttlMs: number
      readonly settings: Settings
    })

/** The flags that were given, in order, and the command. */
type Given = {
  readonly name: CommandName
  readonly values: readonly { readonly flag: string; readonly value: string }[]
  /** The words after the command's name, without flags and their values. */
  readonly operands: readonly string[]
}

const parserOptions = Object.fromEntries(
  Object.entries(flags).map(([name, flag]) => [
    name,
    { type: flag.value === undefined ? "boolean" : "string" } as const,
  ]),
)

const commandNamed = (text: string): CommandName => {
  const found = commandNames.find((name) => name === text)
  if (found !== undefined) return found
  throw wrong(`Unknown command '${text}'${suggestion(text, commandNames)}`)
}

const readFlag = (name: string, rawName: string, value: string | undefined, inline: boolean): string => {
  const flag = Object.hasOwn(flags, name) ? flags[name] : undefined
  if (flag === undefined)
    throw wrong(
      `Unknown flag ${rawName}${suggestion(
        rawName,
        Object.keys(flags).map((each) => `--${each}`),
      )}`,
    )
  if (flag.value === undefined) {
    if (inline) throw wrong(`--${name} takes no value`)
    return ""
  }
  if (value === undefined || (!inline && value.startsWith("-")))
    throw wrong(`--${name} needs a value: --${name} ${flag.value}`)
  return value
}

const scan = (argv: readonly string[]): Given => {
  const args = argv.map((arg) => (arg === "-h" ? "--help" : arg))
  const { tokens } = parseArgs({ args, options: parserOptions, strict: false, allowPositionals: true, tokens: true })
  let name: CommandName | undefined
  const values: { flag: string; value: string }[] = []
  const operands: string[] = []
  for (const token of tokens) {
    if (token.kind === "option") {
      const value = readFlag(token.name, token.rawName, token.value, token.inlineValue === true)
      values.push({ flag: token.name, value })
    } else if (token.kind === "positional") {
      if (name === undefined) name = commandNamed(token.value)
      else if (operandsOf(name).length > 0) operands.push(token.value)
      else throw wrong(`Unexpected argument '${token.value}'`)
    }
  }
  return { name: name ?? "run", values, operands }
}

const checkFlags = ({ name, values }: Given): void => {
  const seen = new Set<string>()
  for (const { flag } of values) {
    const row = flags[flag]
    const command = name === "run" ? "reflow --role" : `reflow ${name}`
    if (row?.of.includes(name) !== true) throw wrong(`--${flag} cannot be used with '${command}'`)
    if (row.repeatable !== true && row.value !== undefined && seen.has(flag)) throw wrong(`--${flag} is given twice`)
    seen.add(flag)
  }
}

const toAssignment = (text: string): Assignment => {
  const [, key, value] = /^([^=\s]+)=([\s\S]*)$/.exec(text) ?? []
  if (key === undefined || value === undefined) throw wrong("--set needs KEY=VALUE, e.g. --set kubernetes.idle_ttl=10m")
  return { path: key.split("."), text: value, source: `--set ${key}` }
}

const roleNamed = (text: string | undefined): Role | undefined => {
  if (text === undefined) return undefined
  const found = roles.find((role) => role === text)
  if (found !== undefined) return found
  throw wrong(`--role must be one of ${roles.join(", ")}, not '${text}'${suggestion(text, roles)}`)
}

const purposesOf = (text: string): readonly Purpose[] => {
  const found = new Set<Purpose>()
  for (const part of text.split(",")) {
    if (part !== "mcp" && part !== "api") throw wrong("--for must be mcp, api, or mcp,api")
    found.add(part)
  }
  return [...found]
}

const durationOf = (text: string): number => {
  const ms = parseDuration(text)
  if (ms === undefined || ms < 1000) throw wrong("--ttl must be a duration of at least 1s, such as 12h")
  return ms
}

const settingsOf = (all: Values): Settings => {
  const targets = all("targets")
  const loaded: readonly Assignment[] =
    targets.length === 0 ? [] : [{ path: ["dev", "targets"], text: JSON.stringify(targets), source: "--targets" }]
  return { file: all("config")[0], assignments: [...all("set").map(toAssignment), ...loaded] }
}

const tokenCommand = (all: Values): Command => {
  const subject = all("subject")[0]
  if (subject === undefined || subject === "") throw wrong("Say whose token it is: reflow token --subject NAME")
  return {
    kind: "token",
    ...callerOf(all),
    subject,
    purposes: purposesOf(all("for")[0] ?? "mcp,api"),
    ttlMs: durationOf(all("ttl")[0] ?? "720h"),
    settings: settingsOf(all),
  }
}

const runCommand = (all: Values, role: Role | undefined): Command => {
  if (role === undefined)
    throw wrong(`Missing: --role ${roles.join("|")}, or one of the commands ${commandNames.join(", ")}`)
  if (role !== "dev" && all("targets").length > 0)
    throw wrong("--targets can be used with --role dev only: use kubectl apply")
  const fresh = all("fresh").length > 0
  if (role !== "dev" && fresh)
    throw wrong("--fresh can be used with --role dev only: other roles keep no state of their own")
  return { kind: "run", role, settings: settingsOf(all), fresh }
}

const checkCommand = (all: Values, role: Role = "all"): Command => {
  if (role === "dev") throw wrong("--role dev has nothing to check: its cluster is embedded")
  const [reach] = all("reach")
  if (reach !== undefined && !(/^https?:\/\//.test(reach) && URL.canParse(reach)))
    throw wrong("--reach needs an http(s) URL, e.g. http://reflow-gateway.reflow-system")
  return { kind: "check", role, settings: settingsOf(all), reach }
}

const jsonOf = (flag: "settings" | "hook-settings", all: Values): unknown => {
  try {
    return JSON.parse(all(flag)[0] ?? "{}")
  } catch {
    throw wrong(`--${flag} must be JSON, e.g. --${flag} '{"claim":"tenant"}'`)
  }
}

/** Name of the environment variable if --reference gives none. */
const someName = "VALUE"

const referenceOf = (text: string): Reference => {
  const [, name = someName, from] = /^(?:([A-Za-z_]\w*)=)?([a-z][a-z0-9+.-]*:.+)$/s.exec(text) ?? []
  if (from !== undefined) return { name, from }
  throw wrong("--reference needs a value as in secrets[].from of a target, e.g. --reference vault:team/github#token")
}

const pluginCommand = ({ operands: [action, ...paths] }: Given, all: Values): Command => {
  if (action !== "check" || paths.length === 0) throw wrong("Say which file: reflow plugin check FILE")
  return {
    kind: "plugin",
    paths,
    settings: jsonOf("settings", all),
    hookSettings: jsonOf("hook-settings", all),
    caller: callerOf(all),
    references: all("reference").map(referenceOf),
    print: all("print").length > 0,
  }
}

const completionCommand = ({ operands: [text = "", ...more] }: Given): Command => {
  const shell = shells.find((each) => each === text)
  if (shell === undefined || more.length > 0) throw wrong(`Say which shell: reflow completion ${shells.join("|")}`)
  return { kind: "completion", shell }
}

/** Parses the arguments (without the program's name). Throws `UsageInvalid`. Pure: reads no file, prints nothing. */
export const parseCommand = (argv: readonly string[]): Command => {
  const given = scan(argv)
  const all: Values = (flag) => given.values.filter((each) => each.flag === flag).map((each) => each.value)
  if (all("help").length > 0) return { kind: "help" }
  if (all("version").length > 0) return { kind: "version" }
  checkFlags(given)
  if (given.name === "token") return tokenCommand(all)
  if (given.name === "plugin") return pluginCommand(given, all)
  if (given.name === "target") return targetCommand(given.operands, all)
  if (given.name === "completion") return completionCommand(given)
  const role = roleNamed(all("role")[0])
  if (given.name === "run") return runCommand(all, role)
  if (given.name === "check") return checkCommand(all, role)
  return { kind: "config", role, schema: all("schema").length > 0, settings: settingsOf(all) }
}
