import { hash } from "node:crypto"
import { AppError, hasCode } from "../errors.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { TelemetryPort } from "../ports/telemetry.ts"
import type { Identity, Opens, Purpose, VerifiedToken } from "./identity.ts"
import type { JwtIssuers } from "./jwt-issuers.ts"
import { createDevTokens, createStaticTokens, type DevKey, type StaticToken } from "./own-tokens.ts"
import type { ProtectedResources } from "./protected-resources.ts"

/** How long a verified token is remembered, milliseconds. */
const maxAgeMs = 5 * 60_000

/** Most tokens that are remembered; the one checked longest ago is dropped first. */
const defaultLimit = 10_000

/** Remembers tokens whose signature was checked. Keys are digests: the cache holds no token. */
type TokenCache = {
  /** The verified token, or undefined if it is unknown or was checked more than five minutes ago. */
  get(key: string): VerifiedToken | undefined
  set(key: string, verified: VerifiedToken): void
  readonly size: number
}

/** Creates an empty cache of at most `limit` tokens. */
export const createTokenCache = (clock: Pick<ClockPort, "now">, limit = defaultLimit): TokenCache => {
  const entries = new Map<string, { readonly verified: VerifiedToken; readonly checkedAt: number }>()
  return {
    get: (key) => {
      const entry = entries.get(key)
      if (entry === undefined) return undefined
      const age = clock.now() - entry.checkedAt
      // a clock that was set back must not keep an entry longer
      if (age >= 0 && age < maxAgeMs) return entry.verified
      entries.delete(key)
      return undefined
    },
    set: (key, verified) => {
      entries.delete(key)
      for (const oldest of entries.keys()) {
        if (entries.size < limit) break
        entries.delete(oldest)
      }
      entries.set(key, { verified, checkedAt: clock.now() })
    },
    get size() {
      return entries.size
    },
  }
}

/** Longest Authorization header, in bytes. */
const maxHeader = 16 * 1024

/** RFC 6750 §2.1: the scheme in any case, at least one space, b64token. */
const bearerPattern = /^bearer +([A-Za-z0-9\-._~+/]+=*)$/i

const purposeNames: Readonly<Record<Purpose, string>> = { mcp: "MCP endpoints", api: "the REST API" }

/** A caller's credential and its use. */
type Credentials = {
  /** The Authorization header; undefined or null if there was none. */
  readonly authorization: string | null | undefined
  /** What the caller wants to use. */
  readonly purpose: Purpose
  /** Path of what the caller wants to use, e.g. `/mcp/github` or `/api`: its URL may be the token's audience. */
  readonly resource: string
}

/** The issuers whose tokens are accepted, and the resources that their tokens open. */
type KnownIssuers = {
  readonly tokens: Pick<JwtIssuers, "verify">
  readonly resources: ProtectedResources
  /** Origin under which clients reach the gateway: URLs below it are audiences. */
  readonly publicUrl: string
}

/** What a token is used for. */
type Use = Pick<Credentials, "purpose" | "resource">

/** Identifies callers by their credentials. */
export type Authenticator = {
  /**
   * The identity of a valid credential; synchronous for a static or remembered token. Throws (or rejects with)
   * `Unauthenticated` with a WWW-Authenticate header and a detail that never repeats the token.
   */
  authenticate(credentials: Credentials): Identity | Promise<Identity>
}

const refuse = (detail: string, error?: "invalid_request" | "invalid_token"): AppError =>
  new AppError("Unauthenticated", {
    detail,
    headers: { "www-authenticate": `Bearer realm="reflow"${error === undefined ? "" : `, error="${error}"`}` },
  })

/** The refusal, with the URL of the metadata that names who issues tokens for the resource (RFC 9728 §5.1). */
const challenged = (error: unknown, parameters: string | undefined): unknown => {
  if (parameters === undefined || !hasCode(error, "Unauthenticated")) return error
  const challenge = `${error.headers?.["www-authenticate"]}, ${parameters}`
  return new AppError(error.code, { detail: error.message, headers: { "www-authenticate": challenge } })
}

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

/** A token as its Authorization header had it, and its digest, by which it is found. */
type Presented = { readonly token: string; readonly sha256: Buffer; readonly key: string }

/** Most headers that are remembered; the oldest is forgotten first. */
const rememberedHeaders = 1_000
/** A longer header is read anew each time, characters. */
const longestRemembered = 4_096

/**
 * Reads Authorization headers, and remembers what those with a valid token said: parsing and SHA-256 took 1.5 µs of each
 * request. Others are not remembered, so that they cannot push these out. V8 finds a text by a hash of all its
 * characters whose seed is random in each process, so a lookup does not reveal by its time how much of a guess is right.
 * The first request after five minutes empties the memory.
 */
const createHeaderReader = (clock: Pick<ClockPort, "now">) => {
  let known = new Map<string, Presented>()
  let begunAt = clock.now()
  return {
    /** Throws `Unauthenticated`. */
    read: (authorization: Credentials["authorization"]): Presented => {
      const age = clock.now() - begunAt
      if (age < 0 || age >= maxAgeMs) {
        known = new Map()
        begunAt = clock.now()
      }
      const before = known.get(authorization ?? "")
      if (before !== undefined) return before
      const token = parseBearer(authorization)
      const sha256 = hash("sha256", token, "buffer")
      return { token, sha256, key: sha256.toString("base64") }
    },
    /** Call it once the token has been found valid. */
    remember: (authorization: Credentials["authorization"], presented: Presented): void => {
      const header = authorization ?? ""
      if (header.length > longestRemembered || known.has(header)) return
      const [oldest] = known.size >= rememberedHeaders ? known.keys() : []
      if (oldest !== undefined) known.delete(oldest)
      known.set(header, presented)
    },
  }
}

/** Whether a token permits its use: wholly, without administrator rights, or not, and why. */
type Opened = "wholly" | "own things" | { readonly why: string }

type ByAudience = Extract<Opens, { by: "audience" }>

const openedByAudience = (opens: ByAudience, { purpose, resource }: Use, publicUrl: string): Opened => {
  const names = (accepted: readonly string[]): boolean => opens.audiences.some((each) => accepted.includes(each))
  const own = `${publicUrl}${resource}`
  const allTargets = [publicUrl, `${publicUrl}/`, ...opens.also.mcp]
  // clients whose target URL ends with a slash request tokens for that URL
  const others = purpose === "api" ? opens.also.api : [`${own}/`, ...allTargets]
  // a token for all MCP endpoints must not administer, so the REST API has an audience of its own
  if (names([own, ...others])) return "wholly"
  if (purpose === "api" && opens.mcpOpensApi && names(allTargets)) return "own things"
  return { why: `none of its audiences is ${own.slice(0, 128)}` }
}

const opened = (opens: Opens, use: Use, publicUrl: string): Opened => {
  if (opens.by === "audience") return openedByAudience(opens, use, publicUrl)
  if (opens.purposes.has(use.purpose)) return "wholly"
  const others = [...opens.purposes].map((each) => purposeNames[each])
  return { why: others.length === 0 ? "it opens nothing here" : `it opens ${others.join(" and ")} only` }
}

/**
 * {@link opened}, remembered for the last use of each token. A client calls one endpoint again and again, and comparing
 * its audiences made 0.7 KB of garbage for each call.
 */
const createOpening = (publicUrl: string) => {
  const last = new WeakMap<VerifiedToken, Use & { readonly how: Opened }>()
  return (verified: VerifiedToken, use: Use): Opened => {
    const known = last.get(verified)
    if (known?.resource === use.resource && known.purpose === use.purpose) return known.how
    const how = opened(verified.opens, use, publicUrl)
    last.set(verified, { purpose: use.purpose, resource: use.resource, how })
    return how
  }
}

/** Checks what can change between two requests with one token: its times, and its use. Throws Unauthenticated. */
const admit = (verified: VerifiedToken, { purpose }: Use, now: number, how: Opened): Identity => {
  const { identity, notBeforeMs = 0 } = verified
  const { expiresAtMs = Number.POSITIVE_INFINITY } = identity
  if (expiresAtMs <= now) throw refuse("The token has expired.", "invalid_token")
  if (notBeforeMs > now) throw refuse("The token is not valid yet.", "invalid_token")
  if (how === "wholly") return identity
  if (how === "own things") return { ...identity, administers: false }
  throw refuse(`The token is not for ${purposeNames[purpose]}: ${how.why}.`, "invalid_token")
}

/**
 * Creates the authenticator of static tokens (auth.tokens), of the issuers' (auth.issuers) and, with a `dev` key, of
 * the embedded default's own tokens. A verified token is remembered, by its digest, for at most five minutes.
 */
export const createAuthenticator = (options: {
  readonly tokens: readonly StaticToken[]
  readonly dev?: DevKey
  readonly issuers?: KnownIssuers
  readonly clock: ClockPort
  readonly telemetry: TelemetryPort
}): Authenticator => {
  const { clock, issuers } = options
  const findStatic = createStaticTokens(options.tokens)
  const verifyDev = options.dev === undefined ? undefined : createDevTokens(options.dev)
  const cache = createTokenCache(clock)
  const headers = createHeaderReader(clock)
  const opening = createOpening(issuers?.publicUrl ?? "")
  const checks = options.telemetry.counter({
    name: "reflow_token_checks_total",
    help: "Bearer tokens checked, by how they were recognised: static, cached, verified, unknown.",
    labels: ["result"],
  })
  const numberOf = (result: string) => checks.of({ result })
  const numbers = { static: numberOf("static"), cached: numberOf("cached"), verified: numberOf("verified") }
  const counted = (how: keyof typeof numbers, verified: VerifiedToken, use: Use): Identity => {
    numbers[how].inc()
    return admit(verified, use, clock.now(), opening(verified, use))
  }
  const verify = async (token: string, key: string, use: Use): Promise<Identity> => {
    const verified = (await verifyDev?.(token)) ?? (await issuers?.tokens.verify(token))
    if (verified === undefined || "noIdentity" in verified) {
      checks.inc({ result: "unknown" })
      const why = verified === undefined ? "" : `: ${verified.noIdentity}`
      throw refuse(`The token is not valid here${why}.`, "invalid_token")
    }
    cache.set(key, verified)
    return counted("verified", verified, use)
  }
  const identify = (authorization: Credentials["authorization"], use: Use): Identity | Promise<Identity> => {
    const presented = headers.read(authorization)
    const { token, sha256, key } = presented
    const cached = cache.get(key)
    const fixed = cached === undefined ? findStatic(sha256) : undefined
    const found = cached ?? fixed
    if (found === undefined) return verify(token, key, use)
    headers.remember(authorization, presented)
    return counted(fixed === undefined ? "cached" : "static", found, use)
  }
  const challenge = (error: unknown, { resource }: Use): never => {
    throw challenged(error, issuers?.resources.challenge(resource))
  }
  return {
    authenticate: (use) => {
      try {
        const identity = identify(use.authorization, use)
        return identity instanceof Promise ? identity.catch((error: unknown) => challenge(error, use)) : identity
      } catch (error) {
        return challenge(error, use)
      }
    },
  }
}
