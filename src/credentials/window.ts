import { hasFingerprint } from "./fingerprints.ts"
import { isBeginning, isMarked, type NeedleSet } from "./needles.ts"
import { blockLength } from "./secret-parts.ts"

/** Hears that a part of the text is secret, from one place to another. */
export type Cover = (from: number, to: number) => void

/** So many of the last units are kept; a power of two, more than the longest needle. */
const kept = 2 * blockLength
const keptMask = kept - 1

/** The last UTF-16 units of a text, or of what it means once it is decoded, as far as a needle may stand in them. */
export class Window {
  /** Units so far. */
  length = 0
  /** A needle counts only if it holds a unit before this place: behind it nothing was decoded, and the text itself has it too. */
  decodedUntil = 0
  /** No needle begins before this place. */
  floor = 0
  readonly #set: NeedleSet
  readonly #cover: Cover
  /** Hashes of the units up to each of the last places. */
  readonly #hashes1 = new Int32Array(kept)
  readonly #hashes2 = new Int32Array(kept)
  readonly #units = new Uint16Array(kept)
  /** Where each unit begins in the text. */
  readonly #froms = new Float64Array(kept)

  constructor(set: NeedleSet, cover: Cover) {
    this.#set = set
    this.#cover = cover
  }

  /** Adds a unit, which stands in the text from one place to another. */
  add(unit: number, from: number, to: number): void {
    const { base1, base2 } = this.#set.hashing
    const before = this.length & keptMask
    this.#units[before] = unit
    this.#froms[before] = from
    const now = ++this.length & keptMask
    this.#hashes1[now] = Math.imul(this.#hashes1[before] ?? 0, base1) + unit + 1
    this.#hashes2[now] = Math.imul(this.#hashes2[before] ?? 0, base2) + unit + 1
    const found = this.#longestNeedle()
    if (found > 0) this.#cover(this.#froms[(this.length - found) & keptMask] ?? 0, to)
  }

  /** The unit at one of the last places. */
  unitAt(place: number): number {
    return this.#units[place & keptMask] ?? 0
  }

  /** Forgets what came. */
  reset(): void {
    this.length = 0
    this.decodedUntil = 0
    this.floor = 0
    this.#hashes1[0] = 0
    this.#hashes2[0] = 0
  }

  /**
   * The first place of the text from which a needle may stand that has not ended; undefined if there is none.
   * @param isOpen true if what comes next is decoded together with what came, so that any beginning counts
   */
  growsFrom(isOpen: boolean): number | undefined {
    const until = isOpen ? this.length : Math.min(this.length, this.decodedUntil)
    for (let place = Math.max(this.floor, this.length - blockLength + 1, 0); place < until; place++)
      if (this.#mayGrow(place)) return this.#froms[place & keptMask]
    return undefined
  }

  /** Hash of the `length` units up to `end`, by those of the beginnings. */
  #hash(hashes: Int32Array, powers: Int32Array, end: number, length: number): number {
    return ((hashes[end & keptMask] ?? 0) - Math.imul(hashes[(end - length) & keptMask] ?? 0, powers[length] ?? 0)) | 0
  }

  /** Length of the longest needle that ends where the units do; 0 if none does. */
  #longestNeedle(): number {
    const { hashing, lengths, fingerprints } = this.#set
    const end = this.length
    for (const length of lengths) {
      const begin = end - length
      if (begin < this.floor || begin >= this.decodedUntil) continue
      const hash1 = this.#hash(this.#hashes1, hashing.powers1, end, length)
      if (hasFingerprint(fingerprints, hash1, this.#hash(this.#hashes2, hashing.powers2, end, length))) return length
    }
    return 0
  }

  /** True if what stands from a place to the end may be the beginning of a longer needle, also of a later block. */
  #mayGrow(place: number): boolean {
    const { firsts, hashing, lengths } = this.#set
    if (this.length - place >= (lengths[0] ?? 0) || !isMarked(firsts, this.unitAt(place))) return false
    for (let to = place + 1; to <= this.length; to++) {
      const hash1 = this.#hash(this.#hashes1, hashing.powers1, to, to - place)
      const hash2 = this.#hash(this.#hashes2, hashing.powers2, to, to - place)
      if (!isBeginning(this.#set, hash1, hash2)) return false
    }
    return true
  }
}
