import type { ClockPort } from "../ports/clock.ts"
import type { VerifiedToken } from "./identity.ts"

/** How long a checked signature is believed, in milliseconds. */
const maxAgeMs = 5 * 60_000

/** Tokens remembered at once; the one checked longest ago goes first. */
const defaultLimit = 10_000

/** Remembers tokens whose signature was checked. Keys are digests: the cache holds no token. */
export type TokenCache = {
  /** The verified token, or undefined if it is unknown or was checked more than five minutes ago. */
  get(key: string): VerifiedToken | undefined
  set(key: string, verified: VerifiedToken): void
  readonly size: number
}

/** Makes an empty cache of at most `limit` tokens. */
export const createTokenCache = (clock: Pick<ClockPort, "now">, limit = defaultLimit): TokenCache => {
  const entries = new Map<string, { readonly verified: VerifiedToken; readonly checkedAt: number }>()
  return {
    get: (key) => {
      const entry = entries.get(key)
      if (entry === undefined) return undefined
      const age = clock.now() - entry.checkedAt
      // a clock set back must not prolong an entry's life
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
