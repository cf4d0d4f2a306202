import { timingSafeEqual } from "node:crypto"
import { type JWTPayload, jwtVerify, SignJWT } from "jose"
import type { Config } from "../config/schema.ts"
import { AppError } from "../errors.ts"
import type { ClockPort } from "../ports/clock.ts"
import { devIssuer, staticIssuer } from "./access.ts"
import { emailOf, type NoIdentity, namesIn, subjectFault } from "./claims.ts"
import type { Purpose, VerifiedToken } from "./identity.ts"

/** The key of the embedded default's tokens: 32 random bytes. */
export type DevKey = Uint8Array

const algorithm = "HS256"
const keyBytes = 32

const audiences: Readonly<Record<Purpose, string>> = { mcp: "reflow-mcp", api: "reflow-api" }

/** The contents of a dev token. */
export type DevToken = {
  readonly subject: string
  /** Default: none. */
  readonly groups?: readonly string[]
  /** Default: none. */
  readonly roles?: readonly string[]
  /** Other claims, e.g. `email` or those of a subject-key strategy; default none. */
  readonly claims?: Readonly<Record<string, unknown>>
  /** What the token may be used for. */
  readonly for: readonly Purpose[]
  readonly ttlSeconds: number
}

const checkKey = (key: DevKey): DevKey => {
  if (key.byteLength >= keyBytes) return key
  throw new AppError("ConfigInvalid", { detail: `The key of dev tokens must have at least ${keyBytes} bytes.` })
}

/**
 * Mints a token that {@link createDevTokens} with the same key accepts. Throws `ConfigInvalid` for a short key, and
 * `UsageInvalid` for an invalid subject.
 */
export const mintDevToken = (key: DevKey, token: DevToken, clock: Pick<ClockPort, "now"> = Date): Promise<string> => {
  const fault = subjectFault(token.subject)
  if (fault !== undefined) throw new AppError("UsageInvalid", { detail: `The token would be of no use: ${fault}.` })
  const now = Math.floor(clock.now() / 1000)
  return new SignJWT({ ...token.claims, groups: token.groups ?? [], roles: token.roles ?? [] })
    .setProtectedHeader({ alg: algorithm })
    .setIssuer(devIssuer)
    .setSubject(token.subject)
    .setAudience(token.for.map((purpose) => audiences[purpose]))
    .setIssuedAt(now)
    .setExpirationTime(now + token.ttlSeconds)
    .sign(checkKey(key))
}

const names = (claim: unknown): readonly string[] => (Array.isArray(claim) ? namesIn(claim) : [])

const toVerified = (payload: JWTPayload): VerifiedToken | NoIdentity | undefined => {
  const { sub, exp } = payload
  if (sub === undefined || exp === undefined) return undefined
  const fault = subjectFault(sub)
  if (fault !== undefined) return { noIdentity: fault }
  const audience = names(typeof payload.aud === "string" ? [payload.aud] : payload.aud)
  const purposes: readonly Purpose[] = ["mcp", "api"]
  const email = emailOf(payload, "email")
  return {
    opens: {
      by: "purpose",
      purposes: new Set(purposes.filter((purpose) => audience.includes(audiences[purpose]))),
    },
    identity: {
      source: "jwt",
      issuer: devIssuer,
      subject: sub,
      ...(email === undefined ? {} : { email }),
      groups: names(payload.groups),
      roles: names(payload.roles),
      scopes: [],
      claims: payload,
      expiresAtMs: exp * 1000,
    },
  }
}

/**
 * Creates the check of dev tokens. It returns the verified token if the signature is ours (HS256 only) and the issuer
 * `dev`, why not if the subject is invalid, else undefined. Expiry and purpose are left to the caller, who checks them
 * for each request.
 */
export const createDevTokens = (key: DevKey): ((token: string) => Promise<VerifiedToken | NoIdentity | undefined>) => {
  checkKey(key)
  return async (token) => {
    try {
      // the caller checks the expiry by its own clock: with the epoch as current date, jose finds no token expired
      const options = { algorithms: [algorithm], issuer: devIssuer, currentDate: new Date(0) }
      return toVerified((await jwtVerify(token, key, options)).payload)
    } catch {
      return undefined
    }
  }
}

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
 * Creates the check of static tokens, which finds a token by its SHA-256 digest, else undefined. All tokens are
 * compared, each in constant time, so that the duration reveals nothing about the tokens.
 */
export const createStaticTokens = (tokens: readonly StaticToken[]): ((sha256: Buffer) => VerifiedToken | undefined) => {
  const known = tokens.map(toKnown)
  return (sha256) => {
    let found: VerifiedToken | undefined
    for (const each of known) if (timingSafeEqual(each.sha256, sha256)) found ??= each.verified
    return found
  }
}
