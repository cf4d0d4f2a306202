import type { MCPTarget } from "../api/mcp-target.ts"
import { AppError } from "../errors.ts"
import { compileGlobs } from "./glob.ts"

/** Which of a server's tools a caller may see and call. */
export type ToolPolicy = {
  readonly allows: (tool: string) => boolean
  /** Steps that a name costs for each of its characters; see glob.ts. Absent: too few to count. */
  readonly steps?: number
}

/** Longest tool name that is compared, in UTF-16 units; longer ones are not allowed. */
const maxNameLength = 1_024

/**
 * Characters by which two programs can read one name differently: a C program ends it at NUL, others leave out control
 * characters or halves of surrogate pairs. No tool is called so (MCP 2025-11-25, tool names).
 */
const doubtful = /[\p{Cc}\p{Cs}]/u

const compile = ({ spec }: MCPTarget): ToolPolicy | undefined => {
  const { allow, deny = [] } = spec.tools ?? {}
  if (allow === undefined && deny.length === 0) return undefined
  const allowed = allow === undefined ? undefined : compileGlobs(allow)
  const denied = compileGlobs(deny)
  return {
    allows: (tool) =>
      tool.length <= maxNameLength &&
      !doubtful.test(tool) &&
      (allowed === undefined || allowed.match(tool)) &&
      !denied.match(tool),
    steps: (allowed?.steps ?? 0) + denied.steps,
  }
}

/** The target's policy on tools; undefined if it shows all of them. `deny` is stronger than `allow`. */
export type ToolPolicies = (target: MCPTarget) => ToolPolicy | undefined

/** Makes policies, each once for a state of a target. */
export const createToolPolicies = (): ToolPolicies => {
  const made = new WeakMap<MCPTarget, { readonly policy: ToolPolicy | undefined }>()
  return (target) => {
    const known = made.get(target)
    if (known !== undefined) return known.policy
    const policy = compile(target)
    made.set(target, { policy })
    return policy
  }
}

/** Most steps that the names of one answer may cost when a policy is asked about them: some 100 ms. */
const maxSteps = 2 ** 23

/**
 * The policy for the names of one answer: it refuses to be asked for more than some 100 ms, which only a server that
 * lists many long names reaches, under a target of many long globs. Throws UpstreamInvalid then.
 */
export const boundPolicy = ({ allows, steps = 1 }: ToolPolicy): ToolPolicy => {
  let taken = 0
  return {
    steps,
    allows: (tool) => {
      taken += steps * tool.length
      if (taken <= maxSteps) return allows(tool)
      throw new AppError("UpstreamInvalid", {
        detail: "The server lists more tools, or longer names, than can be compared with the tool policy.",
      })
    },
  }
}
