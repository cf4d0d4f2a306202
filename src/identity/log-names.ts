import type { Identity } from "./identity.ts"
import { type NamedSharer, readable, sharerKey, subjectDigest } from "./subject-key.ts"

/** Fields of a log line that name a caller. */
export type CallerFields = { readonly subject: string; readonly email?: string }

/** How the log names people (log.subjects). */
export type LogNames = {
  /** Who called. */
  caller(identity: Identity): CallerFields
  /** The role, group or user whose values are meant, without its kind. */
  owner(sharer: NamedSharer): string
}

const byDigest: LogNames = {
  caller: (identity) => ({ subject: subjectDigest(identity) }),
  owner: (sharer) => sharerKey(sharer).slice(sharer.kind.length + 1),
}

/** Issuers name many a user by a number alone, so their verified mail address stands beside it. */
const byName: LogNames = {
  caller: ({ issuer, subject, email }) => ({
    subject: readable(`${issuer}/${subject}`),
    ...(email === undefined ? {} : { email: readable(email) }),
  }),
  owner: ({ issuer, name }) => readable(`${issuer}/${name}`),
}

/**
 * Makes the names: `digest`, the one that stands in subject keys too, tells nobody who somebody is; `name` is issuer/subject,
 * at most 256 characters without control characters. A known token gives the same identity each time: it is named once.
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
