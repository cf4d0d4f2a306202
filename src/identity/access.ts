import { meantBy } from "../api/access-entries.ts"
import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import type { Config } from "../config/schema.ts"
import type { Identity } from "./identity.ts"

/** Issuer of the identities of static tokens. */
export const staticIssuer = "static"
/** Issuer of the tokens that the embedded default mints. */
export const devIssuer = "dev"

/** Short names of all issuers whose identities are accepted, those of static and dev tokens included. */
export const configuredIssuers = (
  auth: Pick<Config["auth"], "issuers" | "tokens">,
  options: { readonly dev: boolean },
): readonly string[] => [
  ...(options.dev ? [devIssuer] : []),
  ...(auth.tokens.length > 0 ? [staticIssuer] : []),
  ...auth.issuers.map((issuer) => issuer.name),
]

/**
 * The first entry of a list that means one of the issuer's values, as that value; undefined if none does. Takes time
 * linear in entries plus values, not in their product: a token may have thousands of groups.
 */
export const firstMatch = (
  entries: readonly string[] | undefined,
  issuers: readonly string[],
  of: { readonly issuer: string; readonly values: readonly string[] },
): string | undefined => {
  if (entries === undefined || entries.length === 0) return undefined
  const values = new Set(of.values)
  for (const entry of entries) {
    const value = meantBy(entry, issuers, of.issuer)
    if (value !== undefined && values.has(value)) return value
  }
  return undefined
}

/** Who may use which target, and who administers. */
export type Access = {
  /**
   * Configured issuers: entries without an issuer count only if they are unambiguous among these; see `meantBy` in
   * src/api/access-entries.ts.
   */
  readonly issuers: readonly string[]
  /** True if the target's access list names the identity; an empty or absent list lets every identity in. */
  mayUse(target: MCPTarget, identity: Identity): boolean
  /**
   * True if one of the identity's roles is in `adminRoles`, and its credential may administer. An entry without an
   * issuer matches the roles of static and dev tokens, which the platform's operator also assigns. It matches an
   * issuer's role only while that issuer is the only one.
   */
  isAdmin(identity: Identity): boolean
}

/** Creates the checks of access lists. `issuers`: see {@link configuredIssuers}; `adminRoles`: auth.admin_roles. */
export const createAccess = (options: {
  readonly issuers: readonly string[]
  readonly adminRoles: readonly string[]
}): Access => {
  const { issuers, adminRoles } = options
  const names = (entries: readonly string[] | undefined, issuer: string, values: readonly string[]): boolean =>
    firstMatch(entries, issuers, { issuer, values }) !== undefined
  return {
    issuers,
    mayUse: (target, { issuer, subject, groups, roles }) => {
      const { access } = target.spec
      const lists = [access?.users, access?.groups, access?.roles]
      if (lists.every((list) => (list ?? []).length === 0)) return true
      return (
        names(access?.users, issuer, [subject]) ||
        names(access?.groups, issuer, groups) ||
        names(access?.roles, issuer, roles)
      )
    },
    isAdmin: ({ issuer, roles, administers }) =>
      administers !== false &&
      (names(adminRoles, issuer, roles) ||
        ((issuer === staticIssuer || issuer === devIssuer) && roles.some((role) => adminRoles.includes(role)))),
  }
}
