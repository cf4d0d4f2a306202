import type { Config } from "../config/schema.ts"
import type { Identity } from "./identity.ts"

/** Where an issuer's tokens say what (auth.issuers[].claims). */
export type ClaimPaths = Config["auth"]["issuers"][number]["claims"]

/** The claims of a token whose signature was checked. */
export type Claims = Readonly<Record<string, unknown>>

/** True for a JSON object. */
export const isRecord = (value: unknown): value is Claims =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/**
 * A claim by its path: the claim of that very name if there is one (Auth0's are URLs, with dots and slashes), else the
 * path's steps, parted by dots, through nested objects (Keycloak's `realm_access.roles`). Undefined if there is none.
 */
export const claimAt = (claims: Claims, path: string): unknown => {
  if (Object.hasOwn(claims, path)) return claims[path]
  let value: unknown = claims
  for (const step of path.split(".")) {
    if (!isRecord(value) || !Object.hasOwn(value, step)) return undefined
    value = value[step]
  }
  return value
}

const text = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined)

/** The texts of a list, or of one text; what is no text is left out. */
const texts = (value: unknown): readonly string[] => {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value]
  return [...new Set(list.flatMap((each) => text(each) ?? []))]
}

/** OAuth scopes: `scope` (RFC 8693 §4.2, one text), or `scp` (Entra: one text, Okta: a list). */
const scopesOf = ({ scope, scp }: Claims): readonly string[] =>
  texts(scope ?? scp).flatMap((each) => each.split(" ").filter((name) => name !== ""))

/** A mail address that its issuer says is not checked could be anybody's. */
const emailOf = (claims: Claims, path: string): string | undefined =>
  claims.email_verified === false ? undefined : text(claimAt(claims, path))

/** Who a token's claims say is calling; undefined if they name no subject. `issuer`: its short name in the configuration. */
export const identityOf = (claims: Claims, paths: ClaimPaths, issuer: string): Identity | undefined => {
  const subject = text(claimAt(claims, paths.subject))
  if (subject === undefined) return undefined
  const email = emailOf(claims, paths.email)
  return {
    source: "jwt",
    issuer,
    subject,
    ...(email === undefined ? {} : { email }),
    groups: texts(claimAt(claims, paths.groups)),
    roles: texts(claimAt(claims, paths.roles)),
    scopes: scopesOf(claims),
    claims,
  }
}
