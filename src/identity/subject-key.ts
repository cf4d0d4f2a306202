import { readable } from "../api/foreign-text.ts"
import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import { digest } from "../api/names.ts"
import { AppError } from "../errors.ts"
import { firstMatch, staticIssuer } from "./access.ts"
import type { Identity } from "./identity.ts"

declare const brand: unique symbol

/** Names one sharer inside a target: `shared`, `role:<digest>`, `group:<digest>`, `user:<digest>`. Only this file makes them. */
export type SubjectKey = string & { readonly [brand]: "SubjectKey" }

/** Who shares an instance: everybody, or one role, group or user of one issuer. */
type Sharer =
  | { readonly kind: "shared" }
  | {
      readonly kind: "role" | "group" | "user"
      /** How the sharer's identities are verified. */
      readonly source: Identity["source"]
      readonly issuer: string
      readonly name: string
    }

/**
 * Calls the plugin's strategy that the target names. The returned text is digested; undefined or empty denies access.
 * Must only be called for targets with `spec.subjectKey`. `requestId` is for the log.
 */
export type AskStrategy = (
  target: MCPTarget,
  identity: Identity,
  requestId?: string,
) => string | undefined | Promise<string | undefined>

/** What a subject key depends on besides target and identity. */
export type SubjectKeyOptions = {
  /** Configured issuers; decide whether bare entries of access lists count. */
  readonly issuers: readonly string[]
  /** Absent: targets with a strategy of their own are denied. */
  readonly strategies?: AskStrategy
  /** Id of the request, for the log. */
  readonly requestId?: string
}

/** Characters of the digest in a subject key: 130 bits. */
const keyLength = 26

const make = (text: string): SubjectKey => text as SubjectKey

const denied = (target: MCPTarget, what: string): AppError =>
  new AppError("SubjectKeyDenied", {
    detail: `Target ${target.metadata.name} ${what}.`,
    data: { target: target.metadata.name },
  })

const whoDigest = (source: Identity["source"], issuer: string, name: string): string =>
  digest(keyLength, source, issuer, name)

/** Identifies a user in logs without their name: the digest that is also in their `user:` subject key. */
export const subjectDigest = ({ source, issuer, subject }: Identity): string => whoDigest(source, issuer, subject)

/** The role or group that counts, of several: the first one of the access list that matches, else the claim's first. */
const chosen = (
  entries: readonly string[] | undefined,
  values: readonly string[],
  issuer: string,
  issuers: readonly string[],
): string | undefined => {
  const own = values.filter((value) => value !== "")
  return firstMatch(entries, issuers, { issuer, values: own }) ?? own[0]
}

/**
 * Who shares the caller's instance of the target, by its isolation boundary alone; never a union of several. Throws
 * `SubjectKeyDenied` naming the claim that is missing. A target with a strategy of its own has no such sharer: check
 * `spec.subjectKey` before.
 */
export const sharerOf = (target: MCPTarget, identity: Identity, issuers: readonly string[]): Sharer => {
  const { source, issuer } = identity
  const { access, isolationBoundary } = target.spec
  if (isolationBoundary === "shared") return { kind: "shared" }
  if (isolationBoundary === "per_user") {
    if (identity.subject === "") throw denied(target, "has an instance per user, and your identity has no subject")
    return { kind: "user", source, issuer, name: identity.subject }
  }
  const kind = isolationBoundary === "per_role" ? "role" : "group"
  const values = kind === "role" ? identity.roles : identity.groups
  const name = chosen(kind === "role" ? access?.roles : access?.groups, values, issuer, issuers)
  if (name === undefined) throw denied(target, `has an instance per ${kind}, and your identity has no ${kind}s`)
  return { kind, source, issuer, name }
}

/** The subject key of a sharer. Issuers and sources are kept apart: equal names of two issuers are two sharers. */
export const sharerKey = (sharer: Sharer): SubjectKey => {
  if (sharer.kind === "shared") return make("shared")
  return make(`${sharer.kind}:${whoDigest(sharer.source, sharer.issuer, sharer.name)}`)
}

/** A sharer that has a name. */
type NamedSharer = Exclude<Sharer, { kind: "shared" }>

/**
 * The sharer of this kind, issuer and name. The source follows from the issuer, because the configuration reserves the
 * name `static`.
 */
export const sharerNamed = (
  kind: "role" | "group" | "user",
  who: { readonly issuer: string; readonly name: string },
): NamedSharer => ({
  kind,
  source: who.issuer === staticIssuer ? "token" : "jwt",
  issuer: who.issuer,
  name: who.name,
})

const strategyKey = (target: MCPTarget, strategy: string, value: string | undefined): SubjectKey => {
  if (value === undefined || value === "")
    throw denied(target, `uses the subject-key strategy ${strategy}, which gave no key for your identity`)
  return make(`${strategy}:${digest(keyLength, "strategy", strategy, value)}`)
}

/**
 * The caller's subject key for a target: from its isolation boundary, or from its own strategy. Always a valid
 * `spec.subjectKey` (≤ 253 characters), whatever the subject holds. Throws `SubjectKeyDenied`. A promise only for
 * targets with a strategy.
 */
export const subjectKeyFor = (
  target: MCPTarget,
  identity: Identity,
  options: SubjectKeyOptions,
): SubjectKey | Promise<SubjectKey> => {
  const own = target.spec.subjectKey
  if (own === undefined) return sharerKey(sharerOf(target, identity, options.issuers))
  if (options.strategies === undefined)
    throw denied(target, `uses the subject-key strategy ${own.strategy}, but no plugin offers it`)
  const value = options.strategies(target, identity, options.requestId)
  return value instanceof Promise
    ? value.then((text) => strategyKey(target, own.strategy, text))
    : strategyKey(target, own.strategy, value)
}

/**
 * Creates a {@link subjectKeyFor} that remembers the keys of isolation boundaries for as long as target and identity
 * are the same objects, so that a warm request computes no digest.
 */
export const createSubjectKeys = (options: Omit<SubjectKeyOptions, "requestId">) => {
  const keys = new WeakMap<MCPTarget, WeakMap<Identity, SubjectKey>>()
  return (target: MCPTarget, identity: Identity, requestId: string): SubjectKey | Promise<SubjectKey> => {
    if (target.spec.subjectKey !== undefined) return subjectKeyFor(target, identity, { ...options, requestId })
    const known = keys.get(target)?.get(identity)
    if (known !== undefined) return known
    const made = sharerKey(sharerOf(target, identity, options.issuers))
    const ofTarget = keys.get(target) ?? new WeakMap<Identity, SubjectKey>()
    keys.set(target, ofTarget.set(identity, made))
    return made
  }
}

/**
 * The sharer in a readable form, e.g. for the annotation `mcp.reflow.io/subject`: `shared`, else `issuer/name`; for a
 * target with a strategy of its own the caller whose request created the instance. At most 256 characters, control
 * characters replaced.
 */
export const readableSubject = (target: MCPTarget, identity: Identity, issuers: readonly string[]): string => {
  const sharer: Sharer =
    target.spec.subjectKey === undefined
      ? sharerOf(target, identity, issuers)
      : { kind: "user", source: identity.source, issuer: identity.issuer, name: identity.subject }
  if (sharer.kind === "shared") return "shared"
  return readable(`${sharer.issuer}/${sharer.name}`)
}

/** Fields of a log line that name a caller. */
type CallerFields = { readonly subject: string; readonly email?: string }

/** How the log names callers and sharers (log.subjects). */
export type LogNames = {
  /** The fields that name the caller. */
  caller(identity: Identity): CallerFields
  /** The role, group or user that owns credentials, without its kind. */
  owner(sharer: NamedSharer): string
}

const byDigest: LogNames = {
  caller: (identity) => ({ subject: subjectDigest(identity) }),
  owner: (sharer) => sharerKey(sharer).slice(sharer.kind.length + 1),
}

/** Many issuers use a mere number as subject, so the verified e-mail address is added. */
const byName: LogNames = {
  caller: ({ issuer, subject, email }) => ({
    subject: readable(`${issuer}/${subject}`),
    ...(email === undefined ? {} : { email: readable(email) }),
  }),
  owner: ({ issuer, name }) => readable(`${issuer}/${name}`),
}

/**
 * Creates the names: `digest` is the digest of subject keys, which does not reveal who the user is; `name` is
 * issuer/subject, at most 256 characters without control characters. Fields are remembered for each identity object: a
 * remembered token gives the same object each time.
 */
export const createLogNames = (subjects: "digest" | "name"): LogNames => {
  const names = subjects === "name" ? byName : byDigest
  const known = new WeakMap<Identity, CallerFields>()
  return {
    caller: (identity) => {
      const found = known.get(identity)
      if (found !== undefined) return found
      const made = names.caller(identity)
      known.set(identity, made)
      return made
    },
    owner: names.owner,
  }
}
