import { type CryptoKey, decodeJwt, decodeProtectedHeader, errors, type JWTPayload, jwtVerify } from "jose"
import { isFields } from "../api/patch.ts"
import type { Config } from "../config/schema.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { Logger } from "../ports/telemetry.ts"
import { identityOf, type NoIdentity } from "./claims.ts"
import type { VerifiedToken } from "./identity.ts"
import type { Fetch } from "./issuer-document.ts"
import { createIssuerKeys, type IssuerKeys, type SelectKey, toSelect } from "./issuer-keys.ts"

/**
 * Signatures that are accepted, all of them by private keys that only the issuer has: with `none`, or with HMAC under a
 * public key, anybody could sign (RFC 8725 §3.1).
 */
const signatureAlgorithms: readonly string[] = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519",
]

/**
 * Accepted values of `typ` (RFC 7519 §5.1, RFC 9068 §2.1). Tokens of other types, such as logout tokens, have the same
 * issuer but are no access tokens.
 */
const types: readonly (string | undefined)[] = [undefined, "jwt", "at+jwt", "application/at+jwt"]

/** How far the clocks of an issuer and of this machine may differ, milliseconds. */
const skewMs = 60_000

type IssuerConfig = Config["auth"]["issuers"][number]
type Issuer = { readonly config: IssuerConfig; readonly keys: IssuerKeys }

/** Checks tokens of the configured issuers. */
export type JwtIssuers = {
  /**
   * The verified token if one of the issuers signed it, else why not; undefined if the token is no JWT, or no issuer is
   * configured. Expiry, beginning and audience are left to the caller, who checks them for each request. Throws
   * IssuerUnavailable.
   */
  verify(token: string): Promise<VerifiedToken | NoIdentity | undefined>
  close(): void
}

const audiencesOf = ({ aud }: JWTPayload): readonly string[] => {
  const list: readonly unknown[] = Array.isArray(aud) ? aud : [aud]
  return list.filter((each) => typeof each === "string")
}

const toVerified = (
  payload: JWTPayload,
  { name, claims, audiences, api_audiences, mcp_tokens_open_api: mcpOpensApi }: IssuerConfig,
): VerifiedToken | NoIdentity => {
  // a token that never expires could not be revoked
  if (payload.exp === undefined) return { noIdentity: "it has no expiry" }
  const identity = identityOf(payload, claims, name)
  if ("noIdentity" in identity) return identity
  return {
    identity: { ...identity, expiresAtMs: payload.exp * 1000 + skewMs },
    opens: {
      by: "audience",
      audiences: audiencesOf(payload),
      also: { mcp: audiences, api: api_audiences },
      mcpOpensApi,
    },
    ...(payload.nbf === undefined ? {} : { notBeforeMs: payload.nbf * 1000 - skewMs }),
  }
}

/** The payload if the key made the signature. */
const checked = async (token: string, key: CryptoKey, issuer: string): Promise<JWTPayload | undefined> => {
  try {
    // the caller checks the times: an endless tolerance turns jose's own checks off
    const options = { algorithms: [...signatureAlgorithms], issuer, clockTolerance: Number.MAX_SAFE_INTEGER }
    return (await jwtVerify(token, key, options)).payload
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof TypeError) return undefined
    throw error
  }
}

/** Header and issuer of a token, nothing of it verified yet. Undefined if the token is no JWT. */
const read = (token: string) => {
  try {
    return { header: decodeProtectedHeader(token), issuer: decodeJwt(token).iss }
  } catch {
    return undefined
  }
}

const unknownIssuer = "its issuer is none of those that are configured"

const verifyBy = async (
  { config, keys }: Issuer,
  token: string,
  header: ReturnType<typeof decodeProtectedHeader>,
): Promise<VerifiedToken | NoIdentity> => {
  const { alg, typ } = header
  if (alg === undefined || !signatureAlgorithms.includes(alg)) return { noIdentity: "its algorithm is not accepted" }
  if (typ !== undefined && (typeof typ !== "string" || !types.includes(typ.toLowerCase())))
    return { noIdentity: "its type is not that of an access token" }
  for (const key of await keys.keysFor({ ...header, alg })) {
    const payload = await checked(token, key, config.issuer)
    if (payload !== undefined) return toVerified(payload, config)
  }
  return { noIdentity: `no key of the issuer '${config.name}' made its signature` }
}

/**
 * Creates the check of the issuers' tokens (auth.issuers). Nothing is fetched before the first token of an issuer
 * arrives.
 */
export const createJwtIssuers = (
  configs: readonly IssuerConfig[],
  deps: { readonly fetch: Fetch; readonly clock: Pick<ClockPort, "now">; readonly log: Logger },
): JwtIssuers => {
  const issuers = new Map<string, Issuer>(
    configs.map((config) => [config.issuer, { config, keys: createIssuerKeys({ ...deps, issuer: config }) }]),
  )
  return {
    verify: async (token) => {
      const named = read(token)
      if (named === undefined || issuers.size === 0) return undefined
      const issuer = issuers.get(named.issuer ?? "")
      return issuer === undefined ? { noIdentity: unknownIssuer } : verifyBy(issuer, token, named.header)
    },
    close: () => {
      for (const { keys } of issuers.values()) keys.close()
    },
  }
}

/** Which keys of a set the gateway can use. */
type UsableKeys = {
  /** Keys of the set, usable or not. */
  readonly total: number
  /** Keys that can check a signature of an accepted algorithm. */
  readonly usable: number
  /** The accepted algorithms of the usable keys, in the order of {@link signatureAlgorithms}. */
  readonly algorithms: readonly string[]
}

/** Shortest RSA key that is used (RFC 7518 §3.3), in bits. */
const leastRsaBits = 2_048

const isLongEnough = ({ algorithm }: CryptoKey): boolean =>
  !("modulusLength" in algorithm) || Number(algorithm.modulusLength) >= leastRsaBits

/** True if a token of this algorithm, with the key's id, would be checked with this key. */
const serves = async (select: SelectKey, alg: string, kid: unknown): Promise<boolean> => {
  try {
    const key = await select({ alg, ...(typeof kid === "string" ? { kid } : {}) })
    return isLongEnough(key as CryptoKey)
  } catch {
    return false
  }
}

/**
 * Checks which keys of a set the gateway would use, and for which algorithms. Throws with a reason if the document is
 * no key set.
 */
export const usableKeys = async (document: Readonly<Record<string, unknown>>): Promise<UsableKeys> => {
  toSelect(document)
  const keys = Array.isArray(document.keys) ? document.keys.filter(isFields) : []
  const found = new Set<string>()
  let usable = 0
  for (const key of keys) {
    const select = toSelect({ keys: [key] })
    const served = await Promise.all(signatureAlgorithms.map((alg) => serves(select, alg, key.kid)))
    if (served.includes(true)) usable += 1
    for (const [index, alg] of signatureAlgorithms.entries()) if (served[index]) found.add(alg)
  }
  const algorithms = signatureAlgorithms.filter((alg) => found.has(alg))
  return { total: keys.length, usable, algorithms }
}
