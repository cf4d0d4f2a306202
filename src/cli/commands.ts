/** What can be said on the command line: one table, of which the parser, the help and the shells' completion are made. */
import { type Role, roles } from "../config/schema.ts"

/** What `reflow check` can look at: a role on a real cluster. */
export type CheckedRole = Exclude<Role, "dev">
const checkedRoles: readonly CheckedRole[] = ["gateway", "operator", "all"]

/** What a token opens: MCP endpoints, the REST API. */
export type Purpose = "mcp" | "api"

/** Shells for which there is a completion. */
export const shells = ["bash", "zsh"] as const
export type Shell = (typeof shells)[number]

/** How a command is used. */
type CommandRow = {
  /** What follows `reflow` in the help. */
  readonly usage: string
  readonly help: string
  /** What can follow the command's name, word by word: one of these, or a file. Absent = nothing. */
  readonly operands?: readonly (readonly string[] | "file")[]
}

/** Every command besides running a role, which has no name. */
export const commands = {
  config: { usage: "config", help: "print the effective configuration and where each value comes from" },
  check: { usage: "check", help: "tell whether a role (default: all) could run here" },
  token: { usage: "token --subject NAME", help: "print a token for --role dev" },
  plugin: {
    usage: "plugin check FILE",
    help: "load a plugin and run its hooks on examples",
    operands: [["check"], "file"],
  },
  completion: {
    usage: `completion ${shells.join("|")}`,
    help: "print what makes a shell complete all this",
    operands: [shells],
  },
} as const satisfies Readonly<Record<string, CommandRow>>

type NamedCommand = keyof typeof commands
/** The commands besides running a role. */
export const commandNames = Object.keys(commands) as readonly NamedCommand[]
/** `run` is what `reflow --role …` does. */
export type CommandName = "run" | NamedCommand

/** What can follow a command's name. */
export const operandsOf = (name: CommandName): readonly (readonly string[] | "file")[] => {
  const row: CommandRow | undefined = name === "run" ? undefined : commands[name]
  return row?.operands ?? []
}

/** A flag, and what a shell can complete of its value. */
export type Flag = {
  /** What stands for the value in the help; absent for switches. */
  readonly value?: string
  readonly repeatable?: boolean
  /** Commands that take it. */
  readonly of: readonly CommandName[]
  readonly help: string
  /** What the value can be: one of these, a file, or KEY=VALUE of the configuration. Absent = whatever its user writes. */
  readonly from?: readonly string[] | "file" | "setting"
}

const configured = ["run", "config", "check", "token"] as const

/** Commands that take the description of a caller. */
const described = ["token", "plugin"] as const

/** Every flag, in the order of the help. */
export const flags: Readonly<Record<string, Flag>> = {
  role: { value: roles.join("|"), of: ["run", "config", "check"], help: "what this process does", from: roles },
  config: {
    value: "FILE",
    of: configured,
    help: "configuration file (default: reflow.yaml if there)",
    from: "file",
  },
  set: {
    value: "KEY=VALUE",
    repeatable: true,
    of: configured,
    help: "set one key of the configuration",
    from: "setting",
  },
  targets: {
    value: "FILE",
    repeatable: true,
    of: ["run", "config"],
    help: "with --role dev: targets to load, a file or folder",
    from: "file",
  },
  fresh: { of: ["run"], help: "with --role dev: forget the targets and values that former runs kept" },
  reach: { value: "URL", of: ["check"], help: "with check: also whether a gateway answers there" },
  schema: { of: ["config"], help: "print the JSON Schema of the file instead" },
  subject: { value: "NAME", of: described, help: "whose token it is, or whom a plugin is tried for" },
  group: { value: "NAME", repeatable: true, of: described, help: "a group of the identity" },
  "grant-role": { value: "NAME", repeatable: true, of: described, help: "a role of the identity, e.g. admin" },
  email: { value: "ADDRESS", of: described, help: "the mail address of the identity" },
  claim: {
    value: "NAME=TEXT",
    repeatable: true,
    of: described,
    help: "another claim, e.g. for a plugin; NAME:=JSON if it is no text",
  },
  for: {
    value: "mcp,api",
    of: ["token"],
    help: "what it opens (default: mcp,api)",
    from: ["mcp", "api", "mcp,api"],
  },
  ttl: { value: "DURATION", of: ["token"], help: "how long it works (default: 720h)" },
  settings: { value: "JSON", of: ["plugin"], help: "the plugin's configuration (default: {})" },
  "hook-settings": {
    value: "JSON",
    of: ["plugin"],
    help: "the configuration that a target gives its hooks (default: {})",
  },
  reference: {
    value: "FROM",
    repeatable: true,
    of: ["plugin"],
    help: "ask a resolver, e.g. vault:team/key; NAME=vault:… names the variable",
  },
  print: { of: ["plugin"], help: "print keys, names of values (never values) and Pods" },
  help: { of: ["run", ...commandNames], help: "print this" },
  version: { of: ["run", ...commandNames], help: "print the version" },
}

/** The flags that a command takes, by name, with what it takes as their values. */
export const flagsOf = (name: CommandName): readonly (readonly [string, Flag])[] =>
  Object.entries(flags)
    .filter(([, { of }]) => of.includes(name))
    .map(([flag, row]) => [flag, flag === "role" && name === "check" ? { ...row, from: checkedRoles } : row])

/** The flags after which a value follows, e.g. `--role`. */
export const valuedFlags: readonly string[] = Object.entries(flags)
  .filter(([, { value }]) => value !== undefined)
  .map(([flag]) => `--${flag}`)

const commandLines = commandNames.map((name) => {
  const { usage, help } = commands[name]
  return `  reflow ${usage.padEnd(34)}${help}`
})

const flagLines = Object.entries(flags).map(([name, flag]) => {
  const value = flag.value === undefined ? "" : ` ${flag.value}`
  const left = name === "help" ? "-h, --help" : `--${name}${value}`
  return `  ${left.padEnd(37)}${flag.help}${flag.repeatable === true ? "; repeatable" : ""}`
})

/** What `reflow --help` prints; made from the table of commands and flags. */
export const helpText = `reflow runs an MCP gateway and the Kubernetes operator behind it.

  reflow --role ${roles.join("|")}   run; dev is both on an embedded cluster
${commandLines.join("\n")}

${flagLines.join("\n")}

Configuration: flags over environment (REFLOW_KUBERNETES__IDLE_TTL=10m) over file over defaults.
Exit codes: 0 done, 1 failed, 2 wrong use or configuration, 3 lost leadership.
`
