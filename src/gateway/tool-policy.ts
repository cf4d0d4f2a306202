import type { MCPTarget } from "../api/mcp-target.ts"

/** Which of a server's tools a caller may see and call. */
export type ToolPolicy = { readonly allows: (tool: string) => boolean }

/** Longest tool name that is compared; longer ones are not allowed (keeps matching linear in practice). */
const maxNameLength = 1_024

/**
 * Characters by which two programs can read one name differently: a C program ends it at NUL, others leave out control
 * characters or halves of surrogate pairs. No tool is called so (MCP 2025-11-25, tool names).
 */
const doubtful = /[\p{Cc}\p{Cs}]/u

/** True if `text` matches `glob` as a whole: `*` stands for any characters, `?` for one. */
export const matchesGlob = (glob: string, text: string): boolean => {
  let at = 0
  let inGlob = 0
  let star = -1
  let mark = 0
  while (at < text.length) {
    if (glob[inGlob] === "*") {
      star = inGlob++
      mark = at
    } else if (inGlob < glob.length && (glob[inGlob] === "?" || glob[inGlob] === text[at])) {
      inGlob++
      at++
    } else if (star !== -1) {
      inGlob = star + 1
      at = ++mark
    } else return false
  }
  while (glob[inGlob] === "*") inGlob++
  return inGlob === glob.length
}

/** The target's policy on tools; undefined if it shows all of them. `deny` is stronger than `allow`. */
export const toolPolicyOf = (target: MCPTarget): ToolPolicy | undefined => {
  const { allow, deny } = target.spec.tools ?? {}
  if (allow === undefined && (deny === undefined || deny.length === 0)) return undefined
  const matches = (globs: readonly string[], tool: string) => globs.some((glob) => matchesGlob(glob, tool))
  return {
    allows: (tool) =>
      tool.length <= maxNameLength &&
      !doubtful.test(tool) &&
      (allow === undefined || matches(allow, tool)) &&
      !matches(deny ?? [], tool),
  }
}
