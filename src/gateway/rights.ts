import { AppError, hasCode } from "../errors.ts"
import type { Identity } from "../identity/identity.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { Identified, Known } from "./pipeline.ts"

/** Longest timer that is set at once, milliseconds: those of the runtime end after 24.8 days. */
const longestTimerMs = 24 * 3_600_000

const expired = (): AppError =>
  new AppError("Unauthenticated", {
    detail: "The token has expired, and what it opened has ended with it: come back with a new one.",
    headers: { "www-authenticate": 'Bearer realm="reflow", error="invalid_token"' },
  })

/**
 * Calls `end` when the token by which a caller is known expires. The returned function takes that back; nothing happens
 * for callers whose token never expires.
 */
export const atExpiry = (
  clock: ClockPort,
  { expiresAtMs }: Identity,
  end: (reason: AppError) => void,
): (() => void) => {
  if (expiresAtMs === undefined) return () => {}
  let cancel = () => {}
  const look = (): void => {
    const left = expiresAtMs - clock.now()
    if (left <= 0) end(expired())
    else cancel = clock.timer(Math.min(left, longestTimerMs), look)
  }
  look()
  return () => cancel()
}

/**
 * Why a request that was let in would be refused now: TargetNotFound or Forbidden, by the same rule as at the door.
 * Undefined if it would be let in again, or was never.
 */
export const lostRight = (known: Known, admit: (input: Identified) => unknown): AppError | undefined => {
  if (known.identity === undefined || known.target === undefined) return undefined
  try {
    admit({ ...known, identity: known.identity })
    return undefined
  } catch (error) {
    // whatever else keeps it from being judged is no judgement
    return hasCode(error, "TargetNotFound", "Forbidden") ? error : undefined
  }
}
