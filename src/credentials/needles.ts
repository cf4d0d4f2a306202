import { randomInt } from "node:crypto"
import { setImmediate as turn } from "node:timers/promises"
import { base64Parts, blockLength, eachBlock, plainParts } from "./secret-parts.ts"

/**
 * Rolling hashes of UTF-16 units: polynomials modulo 2³² in a random odd base. Two of them make a fingerprint. The hash
 * of a part of a text is computed from the hashes of two prefixes of the text.
 */
type Hashing = {
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

/** Chooses two random hash functions for parts of at most `longest` units. */
const createHashing = (longest: number): Hashing => {
  const [base1, base2] = [randomInt(2 ** 31) | 1, randomInt(2 ** 31) | 1]
  return { base1, base2, powers1: powersOf(base1, longest), powers2: powersOf(base2, longest) }
}

/** Mixes the bits of a hash: without that its low bits depend on few bits of the text. */
const spread = (hash: number): number => {
  const mixed = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b)
  return (mixed ^ (mixed >>> 15)) >>> 0
}

/** A hash set of fingerprints, 8 bytes each, at most half full. The texts cannot be recovered from it. */
type Fingerprints = {
  /** Pairs of hashes by place; two zeros in a free place. */
  slots: Int32Array
  count: number
}

const fewest = 16

/** Makes an empty set. */
const createFingerprints = (): Fingerprints => ({ slots: new Int32Array(2 * fewest), count: 0 })

/** The slot of a fingerprint, or the free slot where it belongs. The mask is one less than a power of two. */
const placeOf = (slots: Int32Array, hash1: number, hash2: number): number => {
  const mask = slots.length / 2 - 1
  for (let place = spread(hash1) & mask; ; place = (place + 1) & mask) {
    const [found1, found2] = [slots[2 * place], slots[2 * place + 1]]
    if ((found1 === hash1 && found2 === hash2) || (found1 === 0 && found2 === 0)) return 2 * place
  }
}

/**
 * True if the set may have a fingerprint. Never false if it was added; true by chance about once in 10¹⁵ other cases.
 */
export const hasFingerprint = ({ slots }: Fingerprints, hash1: number, hash2: number): boolean => {
  const place = placeOf(slots, hash1, hash2)
  // two zeros mark a free place: a text with that fingerprint counts as secret, so that it is never missed
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
const addFingerprint = (set: Fingerprints, hash1: number, hash2: number): void => {
  if (put(set.slots, hash1, hash2)) set.count++
  if (4 * set.count > set.slots.length) grow(set)
}

/** Texts that must be masked, in a form from which they cannot be recovered. */
export type NeedleSet = {
  readonly hashing: Hashing
  /** The lengths that needles have, longest first; at most {@link blockLength}. */
  readonly lengths: readonly number[]
  readonly fingerprints: Readonly<Fingerprints>
  /** A bit for each UTF-16 unit: set if a needle begins with it. */
  readonly firsts: Uint32Array
  /**
   * A Bloom filter of all prefixes of needles. On a false positive a text is held back although no needle begins there.
   */
  readonly beginnings: Uint32Array
}

/** All texts that must be masked for some secret values. */
export type Needles = {
  /** Searched for in a text, and in the text with its escapes decoded. */
  readonly plain: NeedleSet
  /** Searched for in a text read as base64. */
  readonly base64: NeedleSet
  /** Bytes of memory. */
  readonly bytes: number
}

/** Bits of the prefix filter per UTF-16 unit of the values: about one of 30,000 texts is held back without need. */
const bitsPerUnit = 1_024
const fewestBits = 2 ** 13
/** 4 MiB, which are enough for values of 512 KiB. */
const mostBits = 2 ** 25

/** Most work in one turn of the event loop, in UTF-16 units: some milliseconds. */
const workAtOnce = 2 ** 17
/** Cost of a needle in addition to its length, in the same unit. */
const workOfOne = 64

/** Sets a bit. */
const mark = (bits: Uint32Array, at: number): void => {
  bits[at >>> 5] = (bits[at >>> 5] ?? 0) | (1 << (at & 31))
}

/** True if a bit is set. */
export const isMarked = (bits: Uint32Array, at: number): boolean => ((bits[at >>> 5] ?? 0) & (1 << (at & 31))) !== 0

/** The three bits of a prefix in the filter, by its hashes; the size of the filter is a power of two. */
const bitsOf = (bits: Uint32Array, hash1: number, hash2: number): readonly number[] => {
  const mask = bits.length * 32 - 1
  return [spread(hash1) & mask, spread(hash2) & mask, spread((hash1 ^ Math.imul(hash2, 0x9e3779b1)) | 0) & mask]
}

/** True if a needle may begin with the text of these hashes: never false if one does, sometimes true if none does. */
export const isBeginning = ({ beginnings }: NeedleSet, hash1: number, hash2: number): boolean =>
  bitsOf(beginnings, hash1, hash2).every((bit) => isMarked(beginnings, bit))

const createBeginnings = (values: readonly string[]): Uint32Array => {
  const units = values.reduce((sum, { length }) => sum + length, 0)
  let bits = fewestBits
  while (bits < mostBits && bits < units * bitsPerUnit) bits *= 2
  return new Uint32Array(bits / 32)
}

type Building = Omit<NeedleSet, "lengths"> & { readonly lengths: Set<number> }

const addBlock = (building: Building, text: string, from: number, to: number): void => {
  const { hashing, firsts, beginnings, lengths, fingerprints } = building
  const { base1, base2 } = hashing
  mark(firsts, text.charCodeAt(from))
  let [hash1, hash2] = [0, 0]
  for (let at = from; at < to; at++) {
    if (at > from) for (const bit of bitsOf(beginnings, hash1, hash2)) mark(beginnings, bit)
    // one more than the unit, so that leading NULs change the hash
    const unit = text.charCodeAt(at) + 1
    hash1 = (Math.imul(hash1, base1) + unit) | 0
    hash2 = (Math.imul(hash2, base2) + unit) | 0
  }
  lengths.add(to - from)
  addFingerprint(fingerprints, hash1, hash2)
}

const makeSet = async (
  values: readonly string[],
  partsOf: (value: string) => Iterable<string>,
): Promise<NeedleSet & { readonly bytes: number }> => {
  const building: Building = {
    hashing: createHashing(blockLength),
    lengths: new Set(),
    fingerprints: createFingerprints(),
    firsts: new Uint32Array(2 ** 16 / 32),
    beginnings: createBeginnings(values),
  }
  let work = 0
  for (const value of values)
    for (const part of partsOf(value)) {
      eachBlock(part, (from, to) => addBlock(building, part, from, to))
      work += part.length + workOfOne
      if (work < workAtOnce) continue
      work = 0
      await turn()
    }
  const { firsts, beginnings, fingerprints } = building
  return {
    ...building,
    lengths: [...building.lengths].sort((one, other) => other - one),
    bytes: firsts.byteLength + beginnings.byteLength + fingerprints.slots.byteLength,
  }
}

/**
 * Prepares secret values to be masked. A value longer than 32 UTF-16 units is split into blocks that cover it. Each
 * block found in a text is masked: all together mask the whole value, and a single block is a part of the secret too.
 * Costs time and memory in proportion to the values (20 MiB at most for 512 KiB), and yields to the event loop every
 * few milliseconds.
 */
export const makeNeedles = async (values: readonly string[]): Promise<Needles> => {
  const plain = await makeSet(values, plainParts)
  const base64 = await makeSet(values, base64Parts)
  return { plain, base64, bytes: plain.bytes + base64.bytes }
}
