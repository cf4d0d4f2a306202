import { apiGroup } from "../api/kinds/kind.ts"
import { digest } from "../api/names.ts"

/**
 * How a gateway tells the others that credentials of a remote target have changed: by an annotation on the target, for
 * each scope Secret that was written or deleted, with the time of the change (RFC 3339).
 */
const prefix = `credentials.${apiGroup}/`

/** The annotation that stands for all scopes of the target. */
const allScopes = `${prefix}all`

/** How long an annotation stays, milliseconds: longer than any watch needs to be opened again. */
const keptMs = 10 * 60_000
/** Most annotations of single scopes; beyond it one stands for all. */
const mostScopes = 200

type Annotations = Readonly<Record<string, string>>

/**
 * The annotation of a scope Secret. Its name is hashed: it can be longer than the name of an annotation may be.
 */
export const changeAnnotation = (secret: string): string => `${prefix}${digest(15, secret)}`

/**
 * The merge patch of a target's annotations after a scope Secret was written or deleted at `now` (milliseconds since
 * the epoch). It removes annotations that are older than ten minutes or have no readable time.
 */
export const noteChange = (
  before: Annotations,
  secret: string,
  now: number,
): Readonly<Record<string, string | null>> => {
  const known = Object.entries(before).filter(([key]) => key.startsWith(prefix))
  const isOld = (time: string): boolean => !(now - Date.parse(time) <= keptMs)
  const old = known.filter(([, time]) => isOld(time)).map(([key]) => [key, null] as const)
  const own = changeAnnotation(secret)
  // an equal time would be no change to those who watch
  const time = new Date(
    [before[own], before[allScopes]].includes(new Date(now).toISOString()) ? now + 1 : now,
  ).toISOString()
  if (known.length - old.length < mostScopes) return { ...Object.fromEntries(old), [own]: time }
  return { ...Object.fromEntries(known.map(([key]) => [key, null])), [allScopes]: time }
}

/** What has changed between two states of a target's annotations. */
export type CredentialChange = {
  /** True if nothing has changed. */
  readonly isEmpty: boolean
  /** True if one of the scope Secrets with these annotations ({@link changeAnnotation}) may have changed. */
  concerns(annotations: readonly string[]): boolean
}

/** Compares two states of a target's annotations. A removed annotation is no change. */
export const changeBetween = (before: Annotations, after: Annotations): CredentialChange => {
  const changed = new Set(Object.keys(after).filter((key) => key.startsWith(prefix) && after[key] !== before[key]))
  return {
    isEmpty: changed.size === 0,
    concerns: (annotations) => changed.has(allScopes) || annotations.some((each) => changed.has(each)),
  }
}
