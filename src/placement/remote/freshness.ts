import type { Composed } from "./composed.ts"

/** How old composed credentials may be, and what is done with them at which age. Pure. */

/** Age from which values are composed anew in the background when they are used, milliseconds. */
const freshMs = 4 * 60_000
/** Age up to which values are used, milliseconds. */
const usableMs = 5 * 60_000
/** Age up to which values are used while the API server does not answer, milliseconds. */
const outageMs = 60 * 60_000
/**
 * How long before its expiry a resolver's value is composed anew in the background, milliseconds; at most half of the
 * time that it has.
 */
const expiryLeadMs = 30_000

/** The times of a composition. */
type Times = Pick<Composed, "at" | "expiresAt">

/** When it is asked: the time (milliseconds since the epoch), and whether the API server answers. */
type Moment = { readonly now: number; readonly isOut: boolean }

/** Milliseconds since the values were composed; endless if the clock was set back since. */
const ageOf = ({ at }: Times, now: number): number => (now < at ? Number.POSITIVE_INFINITY : now - at)

/**
 * `fresh`: use the values. `aging`: use them, and compose them anew in the background. `stale`: wait for new ones. A
 * resolver's value is never used after its expiry, not even in an outage.
 */
export const freshnessOf = (times: Times, { now, isOut }: Moment): "fresh" | "aging" | "stale" => {
  const { at, expiresAt } = times
  const age = ageOf(times, now)
  if (age >= (isOut ? outageMs : usableMs)) return "stale"
  if (expiresAt === undefined) return age < freshMs ? "fresh" : "aging"
  if (now >= expiresAt) return "stale"
  return age < freshMs && now < expiresAt - Math.min(expiryLeadMs, (expiresAt - at) / 2) ? "fresh" : "aging"
}
