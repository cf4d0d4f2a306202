import type { CryptoKey } from "jose"
import { isRecord } from "./claims.ts"
import { type SelectKey, toSelect } from "./issuer-keys.ts"
import { signatureAlgorithms } from "./jwt-issuers.ts"

/** What a key set is good for. */
export type UsableKeys = {
  /** Keys of the set, usable or not. */
  readonly total: number
  /** Those that can check a signature of an algorithm that is accepted. */
  readonly usable: number
  /** These algorithms, in the order of {@link signatureAlgorithms}. */
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

/** Looks which keys of a set the gateway would use, and for what. Throws with a reason if it is no key set. */
export const usableKeys = async (document: Readonly<Record<string, unknown>>): Promise<UsableKeys> => {
  toSelect(document)
  const keys = Array.isArray(document.keys) ? document.keys.filter(isRecord) : []
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
