import { timingSafeEqual } from "node:crypto"
import type { Config } from "../config/schema.ts"
import { staticIssuer } from "./access.ts"
import type { Purpose, VerifiedToken } from "./identity.ts"

/** A static token of the configuration (auth.tokens). */
export type StaticToken = Config["auth"]["tokens"][number]

type Known = { readonly sha256: Buffer; readonly verified: VerifiedToken }

const toKnown = (token: StaticToken): Known => ({
  sha256: Buffer.from(token.sha256, "hex"),
  verified: {
    opens: { by: "purpose", purposes: new Set<Purpose>(token.for) },
    identity: {
      source: "token",
      issuer: staticIssuer,
      subject: token.subject,
      groups: token.groups,
      roles: token.roles,
      scopes: [],
      claims: {},
    },
  },
})

/**
 * Makes the check of static tokens: the token of a SHA-256 digest, or undefined. Each token is compared, in constant
 * time, so the time taken tells nothing about the tokens.
 */
export const createStaticTokens = (tokens: readonly StaticToken[]): ((sha256: Buffer) => VerifiedToken | undefined) => {
  const known = tokens.map(toKnown)
  return (sha256) => {
    let found: VerifiedToken | undefined
    for (const each of known) if (timingSafeEqual(each.sha256, sha256)) found ??= each.verified
    return found
  }
}
