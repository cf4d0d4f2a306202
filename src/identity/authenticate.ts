import { createHash } from "node:crypto"
import { AppError } from "../errors.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { TelemetryPort } from "../ports/telemetry.ts"
import { createDevTokens, type DevKey } from "./dev-tokens.ts"
import type { Identity, Purpose, VerifiedToken } from "./identity.ts"
import { createStaticTokens, type StaticToken } from "./static-tokens.ts"
import { createTokenCache } from "./token-cache.ts"

/** Longest Authorization header, in bytes. */
const maxHeader = 16 * 1024

/** RFC 6750 §2.1: the scheme in any case, one space, b64token. */
const bearerPattern = /^bearer ([A-Za-z0-9\-._~+/]+=*)$/i

const purposeNames: Readonly<Record<Purpose, string>> = { mcp: "MCP endpoints", api: "the REST API" }

/** What a caller shows. */
export type Credentials = {
  /** The Authorization header; undefined or null if there was none. */
  readonly authorization: string | null | undefined
  /** What the caller wants to use. */
  readonly purpose: Purpose
}

/** Tells who is calling. */
export type Authenticator = {
  /**
   * The identity of a valid credential; synchronous when it is known already. Throws (or rejects with) `Unauthenticated`
   * with a WWW-Authenticate header and a detail that never repeats the token.
   */
  authenticate(credentials: Credentials): Identity | Promise<Identity>
}

const refuse = (detail: string, error?: "invalid_request" | "invalid_token"): AppError =>
  new AppError("Unauthenticated", {
    detail,
    headers: { "www-authenticate": `Bearer realm="reflow"${error === undefined ? "" : `, error="${error}"`}` },
  })

/** The token of an Authorization header. Throws `Unauthenticated`. */
const parseBearer = (authorization: string | null | undefined): string => {
  if (authorization === undefined || authorization === null || authorization === "") throw refuse("No token was sent.")
  if (Buffer.byteLength(authorization) > maxHeader)
    throw refuse("The Authorization header is larger than 16 KiB.", "invalid_request")
  const token = bearerPattern.exec(authorization)?.[1]
  if (token === undefined)
    throw refuse("The Authorization header is not of the form 'Bearer <token>'.", "invalid_request")
  return token
}

/** What can change between two requests with one token: its expiry, and what it is used for. */
const admit = ({ identity, purposes, expiresAtMs }: VerifiedToken, purpose: Purpose, now: number): Identity => {
  if (expiresAtMs !== undefined && expiresAtMs <= now) throw refuse("The token has expired.", "invalid_token")
  if (purposes.has(purpose)) return identity
  const others = [...purposes].map((each) => purposeNames[each])
  const only = others.length === 0 ? "it opens nothing here" : `it opens ${others.join(" and ")} only`
  throw refuse(`The token is not for ${purposeNames[purpose]}: ${only}.`, "invalid_token")
}

/**
 * Makes the authenticator of static tokens (auth.tokens) and, with a `dev` key, of the embedded default's own tokens.
 * A checked signature is remembered, by the token's digest, for at most five minutes.
 */
export const createAuthenticator = (options: {
  readonly tokens: readonly StaticToken[]
  readonly dev?: DevKey
  readonly clock: ClockPort
  readonly telemetry: TelemetryPort
}): Authenticator => {
  const { clock } = options
  const findStatic = createStaticTokens(options.tokens)
  const verifyDev = options.dev === undefined ? undefined : createDevTokens(options.dev)
  const cache = createTokenCache(clock)
  const checks = options.telemetry.counter({
    name: "reflow_token_checks_total",
    help: "Bearer tokens looked at, by how they were recognised: static, cached, verified, unknown.",
    labels: ["result"],
  })
  const counted = (result: string, verified: VerifiedToken, purpose: Purpose): Identity => {
    checks.inc({ result })
    return admit(verified, purpose, clock.now())
  }
  const verify = async (token: string, key: string, purpose: Purpose): Promise<Identity> => {
    const verified = await verifyDev?.(token)
    if (verified === undefined) {
      checks.inc({ result: "unknown" })
      throw refuse("The token is not valid here.", "invalid_token")
    }
    cache.set(key, verified)
    return counted("verified", verified, purpose)
  }
  return {
    authenticate: ({ authorization, purpose }) => {
      const token = parseBearer(authorization)
      const sha256 = createHash("sha256").update(token).digest()
      const fixed = findStatic(sha256)
      if (fixed !== undefined) return counted("static", fixed, purpose)
      const key = sha256.toString("base64")
      const cached = cache.get(key)
      return cached === undefined ? verify(token, key, purpose) : counted("cached", cached, purpose)
    },
  }
}
