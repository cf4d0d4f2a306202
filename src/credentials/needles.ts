import { setImmediate as turn } from "node:timers/promises"
import {
  addFingerprint,
  createFingerprints,
  createHashing,
  type Fingerprints,
  type Hashing,
  spread,
} from "./fingerprints.ts"
import { base64Parts, blockLength, eachBlock, plainParts } from "./secret-parts.ts"

/** Texts that must not show, in a form that tells none of them. */
export type NeedleSet = {
  readonly hashing: Hashing
  /** The lengths that needles have, longest first; at most {@link blockLength}. */
  readonly lengths: readonly number[]
  readonly fingerprints: Readonly<Fingerprints>
  /** A bit for each UTF-16 unit: set if a needle begins with it. */
  readonly firsts: Uint32Array
  /** A bit for the hash of each beginning of a needle. Others may have the same bit: then a text is held back in vain. */
  readonly beginnings: Uint32Array
}

/** Everything that must not show of some secret values. */
export type Needles = {
  /** What is looked for in a text, and in what it means once its escapes are decoded. */
  readonly plain: NeedleSet
  /** What is looked for in base64. */
  readonly base64: NeedleSet
  /** Bytes of memory. */
  readonly bytes: number
}

/** Bits for beginnings, for each UTF-16 unit of the values: of 30,000 texts that begin no secret one is held back. */
const bitsPerUnit = 1_024
const fewestBits = 2 ** 13
/** 4 MiB, which are enough for values of 512 KiB. */
const mostBits = 2 ** 25

/** Work that is done at once, in UTF-16 units: some milliseconds. */
const workAtOnce = 2 ** 17
/** Work that a needle costs besides its length. */
const workOfOne = 64

/** Sets a bit. */
const mark = (bits: Uint32Array, at: number): void => {
  bits[at >>> 5] = (bits[at >>> 5] ?? 0) | (1 << (at & 31))
}

/** True if a bit is set. */
export const isMarked = (bits: Uint32Array, at: number): boolean => ((bits[at >>> 5] ?? 0) & (1 << (at & 31))) !== 0

/** The bits of a beginning by its hashes; the number of bits is a power of two. */
const bitsOf = (bits: Uint32Array, hash1: number, hash2: number): readonly number[] => {
  const mask = bits.length * 32 - 1
  return [spread(hash1) & mask, spread(hash2) & mask, spread((hash1 ^ Math.imul(hash2, 0x9e3779b1)) | 0) & mask]
}

/** True if a needle may begin with the text of these hashes; some other texts count too, never too few. */
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
    // one more than the unit, so that NULs in front count
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
 * Prepares secret values to be masked. What is longer than 32 UTF-16 units is known by blocks of it: whoever finds them
 * all finds the whole, and one alone is a part of the secret, which had better not show either. Costs time and memory
 * in proportion to the values (20 MiB at most for 512 KiB), and gives the event loop a turn again and again.
 */
export const makeNeedles = async (values: readonly string[]): Promise<Needles> => {
  const plain = await makeSet(values, plainParts)
  const base64 = await makeSet(values, base64Parts)
  return { plain, base64, bytes: plain.bytes + base64.bytes }
}
