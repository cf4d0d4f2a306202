/** The table of commands and flags. The parser, the help text and the shell completion are all built from it. */
import { preferences } from "../api/server-json/convert.ts"
import { type Role, roles } from "../config/schema.ts"

/** A role that `reflow check` can check: one that needs a real cluster. */
export type CheckedRole = Exclude<Role, "dev">
const checkedRoles: readonly CheckedRole[] = ["gateway", "operator", "all"]

/** What a token gives access to: `mcp` = the MCP endpoints, `api` = the REST API. */
export type Purpose = "mcp" | "api"

/** Shells for which `reflow completion` prints a script. */
export const shells = ["bash", "zsh"] as const
export type Shell = (typeof shells)[number]

/** A row of the table of commands. */
type CommandRow = {
  /** What follows `reflow` in the help. */
  readonly usage: string
  readonly help: string
  /** Allowed operands after the command's name, by position: one of these words, or a file. Absent = no operands. */
  readonly operands?: readonly (readonly string[] | "file")[]
}

/** Every command besides running a role, which has no name. */
export const commands = {
  config: { usage: "config", help: "print the effective configuration and the source of each value" },
  check: { usage: "check", help: "check whether a role (default: all) can run here; changes nothing" },
  token: { usage: "token --subject NAME", help: "print an access token for a gateway of --role dev" },
  plugin: {
    usage: "plugin check FILE",
    help: "load a plugin and run its hooks with example input",
    operands: [["check"], "file"],
  },
  target: {
    usage: "target from FILE",
    help: "print the MCPTarget that a server.json makes (-: stdin)",
    operands: [["from"], "file"],
  },
  completion: {
    usage: `completion ${shells.join("|")}`,
    help: "print a script that completes commands and flags in this shell",
    operands: [shells],
  },
} as const satisfies Readonly<Record<string, CommandRow>>

type NamedCommand = keyof typeof commands
/** Names of all commands except `run`, in the order of the help. */
export const commandNames = Object.keys(commands) as readonly NamedCommand[]
/** `run` stands for `reflow --role …`, which has no command name. */
export type CommandName = "run" | NamedCommand

/** The operands that a command takes, see {@link CommandRow.operands}; empty if it takes none. */
export const operandsOf = (name: CommandName): readonly (readonly string[] | "file")[] => {
  const row: CommandRow | undefined = name === "run" ? undefined : commands[name]
  return row?.operands ?? []
}

/** A row of the table of flags. */
export type Flag = {
  /** Placeholder of the value in the help; absent for switches, which take no value. */
  readonly value?: string
  readonly repeatable?: boolean
  /** Commands that take it. */
  readonly of: readonly CommandName[]
  readonly help: string
  /** For completion: the value is one of these words, a file, or KEY=VALUE of the configuration. Absent = any text. */
  readonly from?: readonly string[] | "file" | "setting"
}

const configured = ["run", "config", "check", "token"] as const

/** Commands that take the flags of a {@link Caller}. */
const described = ["token", "plugin"] as const

/** Every flag, in the order of the help. */
export const flags: Readonly<Record<string, Flag>> = {
  role: {
    value: roles.join("|"),
    of: ["run", "config", "check"],
    help: "the role to run, print or check",
    from: roles,
  },
  config: {
    value: "FILE",
    of: configured,
    help: "configuration file (default: reflow.yaml, if it exists)",
    from: "file",
  },
  set: {
    value: "KEY=VALUE",
    repeatable: true,
    of: configured,
    help: "set one configuration key, e.g. kubernetes.idle_ttl=10m",
    from: "setting",
  },
  targets: {
    value: "FILE",
    repeatable: true,
    of: ["run", "config"],
    help: "with --role dev: load the targets in this file or folder",
    from: "file",
  },
  fresh: { of: ["run"], help: "with --role dev: delete the targets and credentials kept from earlier runs" },
  reach: { value: "URL", of: ["check"], help: "with check: also check that a gateway answers at this URL" },
  schema: { of: ["config"], help: "with config: print the JSON Schema of the configuration file instead" },
  subject: { value: "NAME", of: described, help: "with token, plugin check: subject (user name) of the caller" },
  group: { value: "NAME", repeatable: true, of: described, help: "with token, plugin check: a group of the caller" },
  "grant-role": {
    value: "NAME",
    repeatable: true,
    of: described,
    help: "with token, plugin check: a role of the caller, e.g. admin",
  },
  email: { value: "ADDRESS", of: described, help: "with token, plugin check: email address of the caller" },
  claim: {
    value: "NAME=TEXT",
    repeatable: true,
    of: described,
    help: "with token, plugin check: another claim; NAME:=JSON if not text",
  },
  for: {
    value: "mcp,api",
    of: ["token"],
    help: "with token: allow MCP endpoints, the REST API, or both (default: mcp,api)",
    from: ["mcp", "api", "mcp,api"],
  },
  ttl: { value: "DURATION", of: ["token"], help: "with token: how long it is valid (default: 720h)" },
  settings: { value: "JSON", of: ["plugin"], help: "with plugin check: the plugin's configuration (default: {})" },
  "hook-settings": {
    value: "JSON",
    of: ["plugin"],
    help: "with plugin check: the configuration that a target gives the hooks (default: {})",
  },
  reference: {
    value: "FROM",
    repeatable: true,
    of: ["plugin"],
    help: "with plugin check: resolve a secret, e.g. [NAME=]vault:team/key",
  },
  print: { of: ["plugin"], help: "with plugin check: print subject keys, names of secrets (never values) and Pods" },
  name: { value: "NAME", of: ["target"], help: "with target from: name of the target (default: of the document)" },
  prefer: {
    value: preferences.join("|"),
    of: ["target"],
    help: "with target from: use only packages of this kind",
    from: preferences,
  },
  argument: {
    value: "NAME=VALUE",
    repeatable: true,
    of: ["target"],
    help: "with target from: value of an input; =true requires a secret",
  },
  command: {
    value: "WORD",
    repeatable: true,
    of: ["target"],
    help: "with target from: a word of the entrypoint of an image",
  },
  help: { of: ["run", ...commandNames], help: "print this help" },
  version: { of: ["run", ...commandNames], help: "print the version" },
}

/**
 * The flags that a command takes, in the order of the help. For `check`, `--role` has only the roles that it can check.
 */
export const flagsOf = (name: CommandName): readonly (readonly [string, Flag])[] =>
  Object.entries(flags)
    .filter(([, { of }]) => of.includes(name))
    .map(([flag, row]) => [flag, flag === "role" && name === "check" ? { ...row, from: checkedRoles } : row])

/** The flags that take a value, with `--`, e.g. `--role`. */
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

/** The output of `reflow --help`, built from the table of commands and flags. */
export const helpText = `reflow runs an MCP gateway and the Kubernetes operator behind it.

  reflow --role ${roles.join("|")}   run a role; all: gateway and operator; dev: both, on an embedded cluster
  reflow --role bridge -- COMMAND   serve a command that speaks stdin and stdout over HTTP; it has a --help of its own
  reflow --role install --help      install a published package by npm or uv, as the init container of a server
${commandLines.join("\n")}

${flagLines.join("\n")}

Configuration, highest precedence first: flags, environment (REFLOW_KUBERNETES__IDLE_TTL=10m), file, defaults.
Exit codes: 0 success, 1 failure, 2 wrong arguments or configuration, 3 the operator lost leadership.
`
