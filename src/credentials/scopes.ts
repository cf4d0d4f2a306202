import { annotationOf } from "../api/kinds/kind.ts"
import type { MCPInstance } from "../api/kinds/mcp-instance.ts"
import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import { type CredentialScope, labels, scopeSecretName } from "../api/names.ts"
import type { PluginIdentity } from "../plugin/contract.ts"

/** The sharer of an instance, as far as credentials depend on it. */
export type Holder = {
  /** Subject key of the instance. */
  readonly subjectKey: string
  /** Short name of the issuer of the identity. */
  readonly issuer: string
  readonly subject: string
  readonly groups: readonly string[]
  readonly roles: readonly string[]
  /** The user's identity; only where one user has the instance alone: per_user targets without a plugin's strategy. */
  readonly identity?: PluginIdentity
  /** The role or group that the subject key stands for; only on per_role and per_group targets. */
  readonly shared?: string
}

/** Whose values a scope holds: absent for `default`, else the issuer's short name and the role, group or subject. */
export type ScopeOwner = { readonly issuer: string; readonly name: string }

/** One scope of credential values. */
export type ScopeRef = { readonly scope: CredentialScope; readonly who?: ScopeOwner }

/** Most roles, and most groups, of one identity whose scopes are read: those of `access` first, then by name. */
export const maxScopesOfOneKind = 100

/**
 * The scopes that a target takes values from. None is narrower than its isolation boundary, so that a user's own value
 * never reaches an instance that others share. A target with a plugin's subject-key strategy takes only `default`.
 */
export const scopesAllowed = (target: MCPTarget): readonly CredentialScope[] => {
  if (target.spec.subjectKey !== undefined) return ["default"]
  switch (target.spec.isolationBoundary) {
    case "shared":
      return ["default"]
    case "per_role":
      return ["default", "role"]
    case "per_group":
      return ["default", "group"]
    case "per_user":
      return ["default", "role", "group", "user"]
  }
}

/** `held` from the weakest to the strongest: what `access` lists first is strongest, what it lacks is weakest. */
const byAccess = (held: readonly string[], issuer: string, access: readonly string[] | undefined): string[] => {
  const place = (value: string): number => {
    const index = access?.findIndex((entry) => entry === `${issuer}/${value}` || entry === value) ?? -1
    return index === -1 ? Number.MAX_SAFE_INTEGER : index
  }
  return [...new Set(held)]
    .map((value) => ({ value, place: place(value) }))
    .sort((a, b) => a.place - b.place || (a.value < b.value ? -1 : 1))
    .slice(0, maxScopesOfOneKind)
    .map(({ value }) => value)
    .reverse()
}

/**
 * The scopes that apply to a sharer on a target, weakest first: default < role < group < user. Of several roles or
 * groups the one that stands first in the target's `access` list is the strongest.
 */
export const scopesOf = (target: MCPTarget, holder: Holder): ScopeRef[] => {
  const { access, isolationBoundary: boundary } = target.spec
  const owned = (scope: CredentialScope, names: readonly string[]): ScopeRef[] =>
    names.map((name) => ({ scope, who: { issuer: holder.issuer, name } }))
  const shared = holder.shared === undefined ? [] : [holder.shared]
  const narrow: Readonly<Record<Exclude<CredentialScope, "default">, readonly string[]>> =
    boundary === "per_user"
      ? {
          role: byAccess(holder.roles, holder.issuer, access?.roles),
          group: byAccess(holder.groups, holder.issuer, access?.groups),
          user: [holder.subject],
        }
      : { role: shared, group: shared, user: [] }
  return scopesAllowed(target).flatMap((scope) => (scope === "default" ? [{ scope }] : owned(scope, narrow[scope])))
}

/** Names of the Secrets that hold the values of `scopes`, in the same order. */
export const scopeNames = (target: MCPTarget, scopes: readonly ScopeRef[]): string[] =>
  scopes.map(({ scope, who }) => scopeSecretName(target.metadata.name, scope, who))

/** Names of scope Secrets in the form of an instance's annotation {@link labels.credentialScopes}. */
export const toRecord = (names: readonly string[]): string => names.join(",")

/** The instances whose composition read a scope Secret, present or not: a change of the Secret concerns them. */
export const instancesOf = (secret: string, instances: Iterable<MCPInstance>): MCPInstance[] =>
  [...instances].filter(
    (instance) => annotationOf(instance, labels.credentialScopes)?.split(",").includes(secret) === true,
  )
