import { namesInTemplate } from "./header-template.ts"
import type { MCPTargetSpec } from "./kinds/mcp-target.ts"

/** A fault in what a target says of somebody else's server. The path is relative to the target's spec. */
export type RemoteFault = { readonly path: string; readonly rule: string; readonly message: string }

type RemoteSpec = NonNullable<MCPTargetSpec["remote"]>

/** Finds a URL that nobody can call: the kind's pattern cannot tell whether a host and a port are any. */
const urlFaults = ({ url }: RemoteSpec): RemoteFault[] =>
  URL.canParse(url) ? [] : [{ path: "remote.url", rule: "url", message: "must have a host, and a port that exists" }]

/** Finds names in headers that would never have a value, so that the header is never sent. */
const headerFaults = ({ headers = [] }: RemoteSpec, declared: ReadonlySet<string>): RemoteFault[] =>
  headers.flatMap(({ value }, index) =>
    namesInTemplate(value)
      .filter((name) => !declared.has(name))
      .map((name) => ({
        path: `remote.headers[${index}].value`,
        rule: "undeclared",
        message: `\${${name}} is none of the names in credentials and secrets: declare it there, or write $$ for one $`,
      })),
  )

/**
 * Finds faults of a remote target that its schema accepts: a URL without a host, and names in headers that the target
 * does not declare. Empty for other targets. Pure.
 */
export const findRemoteFaults = ({
  remote,
  credentials = [],
  secrets = [],
}: Pick<MCPTargetSpec, "remote" | "credentials" | "secrets">): RemoteFault[] => {
  if (remote === undefined) return []
  const declared = new Set([...credentials, ...secrets].map(({ name }) => name))
  return [...urlFaults(remote), ...headerFaults(remote, declared)]
}
