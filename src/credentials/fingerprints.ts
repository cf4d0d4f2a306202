import { randomInt } from "node:crypto"

/**
 * Rolling hashes of UTF-16 units, of which two make a fingerprint: polynomials modulo 2³² in a random odd base, so that
 * the hash of a part follows from those of two beginnings.
 */
export type Hashing = {
  readonly base1: number
  readonly base2: number
  /** Powers of the bases, by exponent. */
  readonly powers1: Int32Array
  readonly powers2: Int32Array
}

const powersOf = (base: number, longest: number): Int32Array => {
  const powers = new Int32Array(longest + 1)
  powers[0] = 1
  for (let exponent = 1; exponent <= longest; exponent++) powers[exponent] = Math.imul(powers[exponent - 1] ?? 0, base)
  return powers
}

/** Chooses two hashes of parts of at most `longest` units. */
export const createHashing = (longest: number): Hashing => {
  const [base1, base2] = [randomInt(2 ** 31) | 1, randomInt(2 ** 31) | 1]
  return { base1, base2, powers1: powersOf(base1, longest), powers2: powersOf(base2, longest) }
}

/** Spreads the bits of a hash, whose low ones depend on few bits of the text. */
export const spread = (hash: number): number => {
  const mixed = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b)
  return (mixed ^ (mixed >>> 15)) >>> 0
}

/** A set of fingerprints, 8 bytes each, at most half full. It tells nothing of what they were taken of. */
export type Fingerprints = {
  /** Pairs of hashes by place; two zeros where there is none. */
  slots: Int32Array
  count: number
}

const fewest = 16

/** Makes an empty set. */
export const createFingerprints = (): Fingerprints => ({ slots: new Int32Array(2 * fewest), count: 0 })

/** Where a fingerprint stands, or the free place where it belongs. The place's mask is one less than a power of two. */
const placeOf = (slots: Int32Array, hash1: number, hash2: number): number => {
  const mask = slots.length / 2 - 1
  for (let place = spread(hash1) & mask; ; place = (place + 1) & mask) {
    const [found1, found2] = [slots[2 * place], slots[2 * place + 1]]
    if ((found1 === hash1 && found2 === hash2) || (found1 === 0 && found2 === 0)) return 2 * place
  }
}

/** True if the set may have a fingerprint: never false if it has; else true once in some quadrillion times. */
export const hasFingerprint = ({ slots }: Fingerprints, hash1: number, hash2: number): boolean => {
  const place = placeOf(slots, hash1, hash2)
  // two zeros are the free place: what has that fingerprint is masked rather than missed
  return (slots[place] === hash1 && slots[place + 1] === hash2) || (hash1 === 0 && hash2 === 0)
}

const put = (slots: Int32Array, hash1: number, hash2: number): boolean => {
  const place = placeOf(slots, hash1, hash2)
  if (slots[place] !== 0 || slots[place + 1] !== 0) return false
  slots[place] = hash1
  slots[place + 1] = hash2
  return true
}

const grow = (set: Fingerprints): void => {
  const { slots } = set
  set.slots = new Int32Array(2 * slots.length)
  for (let place = 0; place < slots.length; place += 2) {
    const [hash1 = 0, hash2 = 0] = [slots[place], slots[place + 1]]
    if (hash1 !== 0 || hash2 !== 0) put(set.slots, hash1, hash2)
  }
}

/** Adds a fingerprint. */
export const addFingerprint = (set: Fingerprints, hash1: number, hash2: number): void => {
  if (put(set.slots, hash1, hash2)) set.count++
  if (4 * set.count > set.slots.length) grow(set)
}
