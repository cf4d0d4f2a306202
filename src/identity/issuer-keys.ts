import { type CryptoKey, createLocalJWKSet, errors, type JSONWebKeySet, type JWSHeaderParameters } from "jose"
import { AppError } from "../errors.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { Logger } from "../ports/telemetry.ts"
import { discoverKeySet, type Fetch, fetchDocument } from "./issuer-document.ts"

/** Age in milliseconds from which a key set is fetched again before it is used, unless the last fetch failed. */
const freshMs = 10 * 60_000
/** How long a key set is used while its issuer cannot be reached, milliseconds. */
const usableMs = 24 * 60 * 60_000
/**
 * Shortest time between two fetches, milliseconds: tokens with invented key ids must not become requests to the issuer.
 */
const cooldownMs = 30_000
/** Most keys of one issuer: a token without a key id is checked with each. Issuers have two or three. */
const maxKeys = 100

/** The keys with which one issuer signs. */
export type IssuerKeys = {
  /**
   * The keys that a token with this header may be signed with: one, or several if the header has no key id. Empty if
   * the issuer has no such key. Throws IssuerUnavailable as long as no key set could be fetched, or none for a day, and
   * for an unknown key while the issuer cannot be reached.
   */
  keysFor(header: JWSHeaderParameters): Promise<readonly CryptoKey[]>
  /** Aborts a running fetch. */
  close(): void
}

type IssuerKeysDeps = {
  readonly fetch: Fetch
  readonly clock: Pick<ClockPort, "now">
  readonly log: Logger
  readonly issuer: { readonly name: string; readonly issuer: string; readonly jwks_url: string }
}

/** Chooses a key of a set by a token's header. */
export type SelectKey = ReturnType<typeof createLocalJWKSet>
type KeySet = { readonly select: SelectKey; readonly fetchedAt: number }

const select = async (set: KeySet, header: JWSHeaderParameters): Promise<readonly CryptoKey[]> => {
  try {
    return [await set.select(header)]
  } catch (error) {
    if (error instanceof errors.JWKSNoMatchingKey) return []
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error
    const keys: CryptoKey[] = []
    for await (const key of error) keys.push(key)
    return keys
  }
}

/**
 * The function that chooses a key of a set by a token's header. Throws with a reason if the document is no key set or
 * has more than 100 keys.
 */
export const toSelect = (document: Readonly<Record<string, unknown>>): KeySet["select"] => {
  const { keys } = document
  if (Array.isArray(keys) && keys.length > maxKeys) throw new Error(`the key set has more than ${maxKeys} keys`)
  return createLocalJWKSet(document as unknown as JSONWebKeySet)
}

/**
 * Creates the keys of one issuer. They are fetched at their first use, so that a gateway starts while its issuer cannot
 * be reached. A set that is older than ten minutes is fetched again before its next use; in the background if the last
 * fetch failed. An unknown key id (a rotation) causes a fetch at once. There is at most one fetch in 30 s. A set is
 * used for a day while the issuer cannot be reached.
 */
export const createIssuerKeys = ({ fetch, clock, log, issuer }: IssuerKeysDeps): IssuerKeys => {
  const controller = new AbortController()
  let known: KeySet | undefined
  let triedAt = Number.NEGATIVE_INFINITY
  let failed = false
  let fetching: Promise<void> | undefined

  const load = async (): Promise<void> => {
    triedAt = clock.now()
    try {
      const url =
        issuer.jwks_url === "" ? await discoverKeySet(fetch, issuer.issuer, controller.signal) : issuer.jwks_url
      known = { select: toSelect(await fetchDocument(fetch, url, controller.signal)), fetchedAt: clock.now() }
      failed = false
    } catch (error) {
      failed = true
      if (!controller.signal.aborted)
        log.warn("the keys of an issuer could not be fetched", { issuer: issuer.name, error })
    }
  }
  const unavailable = (): AppError =>
    new AppError("IssuerUnavailable", {
      detail: `The keys of the issuer '${issuer.name}' cannot be fetched, so its tokens cannot be checked.`,
      retryAfterSeconds: cooldownMs / 1000,
    })
  const age = (since: number): number => {
    const ms = clock.now() - since
    // a clock that was set back must not keep a key set fresh for ever
    return ms < 0 ? Number.POSITIVE_INFINITY : ms
  }
  /** Resolves when a fetch that is due has ended; calls during the fetch share it. */
  const refresh = (): Promise<void> => {
    if (fetching === undefined && age(triedAt) < cooldownMs) return Promise.resolve()
    fetching ??= load().finally(() => {
      fetching = undefined
    })
    return fetching
  }
  const current = async (): Promise<KeySet> => {
    const isUsable = known !== undefined && age(known.fetchedAt) < usableMs
    // wait for the fetch, so that a key that was withdrawn hours ago is not accepted; in an outage only the first
    // request waits
    if (!isUsable || (age(known?.fetchedAt ?? 0) >= freshMs && !failed)) await refresh()
    else if (age(known?.fetchedAt ?? 0) >= freshMs) void refresh()
    if (known !== undefined && age(known.fetchedAt) < usableMs) return known
    throw unavailable()
  }
  return {
    keysFor: async (header) => {
      const before = await current()
      const found = await select(before, header)
      if (found.length > 0) return found
      await refresh()
      if (failed) throw unavailable()
      return known === undefined || known === before ? [] : select(known, header)
    },
    close: () => controller.abort(),
  }
}
