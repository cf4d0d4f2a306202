import { commandNames, commands, flags } from "./commands.ts"
import { roles } from "./rules.ts"

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
