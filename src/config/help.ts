import { flags, roles } from "./flags.ts"

const flagLines = Object.entries(flags).map(([name, flag]) => {
  const value = flag.value === undefined ? "" : ` ${flag.value}`
  const left = name === "help" ? "-h, --help" : `--${name}${value}`
  return `  ${left.padEnd(37)}${flag.help}${flag.repeatable === true ? "; repeatable" : ""}`
})

/** What `reflow --help` prints; made from the table of flags. */
export const helpText = `reflow runs an MCP gateway and the Kubernetes operator behind it.

  reflow --role ${roles.join("|")}   run; dev is both on an embedded cluster
  reflow config                            print the effective configuration and where each value comes from
  reflow check                             tell whether a role (default: all) could run here
  reflow token --subject NAME              print a token for --role dev
  reflow plugin check FILE                 load a plugin and run its hooks on examples

${flagLines.join("\n")}

Configuration: flags over environment (REFLOW_KUBERNETES__IDLE_TTL=10m) over file over defaults.
Exit codes: 0 done, 1 failed, 2 wrong use or configuration, 3 lost leadership.
`
