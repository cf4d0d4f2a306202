import { readable } from "./foreign-text.ts"
import type { MCPTargetSpec } from "./kinds/mcp-target.ts"

/**
 * The value of `issuer` that an entry of an access list names: the part after `issuer/`, or the whole entry if `issuer`
 * is the only configured one. Undefined if the entry names no value of this issuer. Issuer names have no slash, so
 * `issuer/value` has only one reading.
 */
export const meantBy = (entry: string, issuers: readonly string[], issuer: string): string | undefined => {
  if (entry.startsWith(`${issuer}/`)) return entry.slice(issuer.length + 1)
  return issuers.length === 1 && issuers[0] === issuer ? entry : undefined
}

/** The lists of a target's `access`. */
const lists = ["users", "groups", "roles"] as const

/** An entry that can match nobody. */
type IdleEntry = {
  /** Path of the entry in the spec, e.g. `["access", "groups", "0"]`. */
  readonly path: readonly string[]
  /** A sentence: why, and what to write instead. */
  readonly message: string
}

/** Most characters of an entry, and most issuers, that a message repeats. */
const longestShown = 64
const mostShown = 5

const reasonOf = (entry: string, issuers: readonly string[]): string => {
  const issuer = issuers.find((each) => entry.startsWith(`${each}/`))
  if (issuer !== undefined) return `has no name after '${issuer}/'`
  if (issuers.length === 0) return "can match nobody: no issuer is configured"
  const some = issuers.slice(0, mostShown).join(", ")
  const all = issuers.length > mostShown ? `${some} and others` : some
  return `names none of the issuers ${all}; with several issuers each entry must name one: write ${issuers[0]}/${readable(entry, longestShown)}, or another issuer before the slash`
}

/** The entries of a target's access lists that can match nobody while `issuers` are all the configured issuers. */
export const idleEntries = (access: MCPTargetSpec["access"], issuers: readonly string[]): readonly IdleEntry[] =>
  lists.flatMap((list) =>
    (access?.[list] ?? []).flatMap((entry, index) => {
      if (issuers.some((issuer) => (meantBy(entry, issuers, issuer) ?? "") !== "")) return []
      const message = `access.${list}: '${readable(entry, longestShown)}' ${reasonOf(entry, issuers)}.`
      return [{ path: ["access", list, String(index)], message }]
    }),
  )
