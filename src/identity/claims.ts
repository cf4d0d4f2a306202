import { type Fields, isFields } from "../api/patch.ts"
import type { Config } from "../config/schema.ts"
import type { Identity } from "./identity.ts"

/**
 * Longest subject, in UTF-16 code units. Issuers keep theirs far below: at most 255 ASCII characters (OpenID Connect
 * Core §2). The configuration bounds the subjects of static tokens by the same number.
 */
const maxSubject = 1_024

/**
 * Why a genuine credential gives no identity: a clause for an error's detail, which never repeats the credential's
 * contents.
 */
export type NoIdentity = { readonly noIdentity: string }

/**
 * Why a text cannot be a subject; undefined if it can. Half a surrogate pair has no UTF-8: every such half becomes the
 * same U+FFFD, so that two users could become one.
 */
export const subjectFault = (subject: string): string | undefined => {
  if (!subject.isWellFormed()) return "its subject is no valid Unicode"
  if (subject.length > maxSubject) return `its subject is longer than ${maxSubject} characters`
  return subject === "" ? "its subject is empty" : undefined
}

/**
 * The distinct names in a list, for groups, roles or scopes. Entries that are not text, are empty or are not valid
 * Unicode are left out.
 */
export const namesIn = (list: readonly unknown[]): readonly string[] => [
  ...new Set(list.filter((each) => typeof each === "string").filter((each) => each !== "" && each.isWellFormed())),
]

/** Paths of the claims that are read of an issuer's tokens (auth.issuers[].claims). */
export type ClaimPaths = Config["auth"]["issuers"][number]["claims"]

/** Where one claim is: text or the names of its steps, see {@link claimAt}. */
type ClaimPath = string | readonly string[]

/** The claims of a token whose signature was checked. */
type Claims = Fields

/**
 * A claim by its path, through nested objects. A list holds the names of the steps literally (Keycloak's clients are
 * often called by a URL: `["resource_access", "https://mcp.example.com", "roles"]`). A text is the claim of that very
 * name if there is one (Auth0's are URLs, with dots and slashes), else steps separated by dots (`realm_access.roles`).
 * Undefined if there is no such claim.
 */
export const claimAt = (claims: Claims, path: ClaimPath): unknown => {
  if (typeof path === "string" && Object.hasOwn(claims, path)) return claims[path]
  let value: unknown = claims
  for (const step of typeof path === "string" ? path.split(".") : path) {
    if (!isFields(value) || !Object.hasOwn(value, step)) return undefined
    value = value[step]
  }
  return value
}

/** The names of a list, or of one text. */
const names = (value: unknown): readonly string[] => namesIn(Array.isArray(value) ? value : [value])

/** OAuth scopes: `scope` (RFC 8693 §4.2, one text), or `scp` (Entra: one text, Okta: a list). */
const scopesOf = ({ scope, scp }: Claims): readonly string[] =>
  namesIn([scope ?? scp].flat().flatMap((each) => (typeof each === "string" ? each.split(" ") : [])))

/**
 * The e-mail address; undefined if `email_verified` is present and anything but `true`. An unverified address could be
 * anybody's, and some issuers write `"false"` as a text. Issuers that verify all addresses leave `email_verified` out.
 */
export const emailOf = (claims: Claims, path: ClaimPath): string | undefined =>
  Object.hasOwn(claims, "email_verified") && claims.email_verified !== true
    ? undefined
    : namesIn([claimAt(claims, path)])[0]

/** The identity in a token's claims, or why there is none. `issuer`: the issuer's short name in the configuration. */
export const identityOf = (claims: Claims, paths: ClaimPaths, issuer: string): Identity | NoIdentity => {
  const subject = claimAt(claims, paths.subject)
  if (typeof subject !== "string") return { noIdentity: "it names no subject" }
  const fault = subjectFault(subject)
  if (fault !== undefined) return { noIdentity: fault }
  const email = emailOf(claims, paths.email)
  return {
    source: "jwt",
    issuer,
    subject,
    ...(email === undefined ? {} : { email }),
    groups: names(claimAt(claims, paths.groups)),
    roles: names(claimAt(claims, paths.roles)),
    scopes: scopesOf(claims),
    claims,
  }
}
