import { createJsonDecoder, createURLDecoder, type Decoder, type Emit } from "./escapes.ts"
import { hasFingerprint, isBeginning, isMarked, type NeedleSet, type Needles } from "./needles.ts"
import { blockLength } from "./secret-parts.ts"

/** Called for each secret part of the text: from a place (inclusive) to a place (exclusive). */
type Cover = (from: number, to: number) => void

/** Number of last units that are kept: a power of two, more than the longest needle. */
const kept = 2 * blockLength
const keptMask = kept - 1

/** The last UTF-16 units of a text, or of a decoded text: as many as a needle may have. */
class Window {
  /** Number of units so far. */
  length = 0
  /**
   * End of the last decoded escape. A needle that begins behind it is ignored: the search in the raw text finds it too.
   */
  decodedUntil = 0
  /** No needle begins before this place. */
  floor = 0
  readonly #set: NeedleSet
  readonly #cover: Cover
  /** Hashes of the units up to each of the last places. */
  readonly #hashes1 = new Int32Array(kept)
  readonly #hashes2 = new Int32Array(kept)
  readonly #units = new Uint16Array(kept)
  /** Where each unit begins in the raw text. */
  readonly #froms = new Float64Array(kept)

  constructor(set: NeedleSet, cover: Cover) {
    this.#set = set
    this.#cover = cover
  }

  /** Adds a unit. `from` and `to` are where it is written in the raw text. */
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

  /** The unit at a place, which must be one of the last. */
  unitAt(place: number): number {
    return this.#units[place & keptMask] ?? 0
  }

  /** Forgets all units. */
  reset(): void {
    this.length = 0
    this.decodedUntil = 0
    this.floor = 0
    this.#hashes1[0] = 0
    this.#hashes2[0] = 0
  }

  /**
   * The first place of the raw text where an unfinished needle may begin; undefined if there is none.
   * @param isOpen true if the next units may be decoded: then a beginning without decoded units counts too
   */
  growsFrom(isOpen: boolean): number | undefined {
    const until = isOpen ? this.length : Math.min(this.length, this.decodedUntil)
    for (let place = Math.max(this.floor, this.length - blockLength + 1, 0); place < until; place++)
      if (this.#mayGrow(place)) return this.#froms[place & keptMask]
    return undefined
  }

  /** Hash of the `length` units up to `end`, computed from the hashes of two prefixes. */
  #hash(hashes: Int32Array, powers: Int32Array, end: number, length: number): number {
    return ((hashes[end & keptMask] ?? 0) - Math.imul(hashes[(end - length) & keptMask] ?? 0, powers[length] ?? 0)) | 0
  }

  /** Length of the longest needle that ends with the last unit; 0 if none does. */
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

  /** True if the units from a place to the end may be the beginning of a longer needle. */
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

/** One encoding, or several, in which a text is searched for needles. */
export type Reading = {
  /** Takes the unit at a place of the raw text. Places come in order and without gaps. */
  push(unit: number, at: number): void
  /** Call it at the end of the text. */
  end(): void
  /** The first place of the raw text where an unfinished needle or escape may begin; undefined if there is none. */
  growsFrom(): number | undefined
}

const lineFeed = 10
const carriageReturn = 13

/** A decoder, and the window that its output is searched in. */
type Stage = { readonly window: Window; readonly decoder: Decoder }

const createStage = (window: Window, decoderOf: (emit: Emit) => Decoder, next?: Decoder): Stage => ({
  window,
  decoder: decoderOf((unit, from, to, isDecoded) => {
    if (isDecoded) window.decodedUntil = window.length + 1
    window.add(unit, from, to)
    next?.push(unit, from, to)
  }),
})

const isIdle = ({ window, decoder }: Stage): boolean =>
  decoder.openFrom === undefined && window.length - window.decodedUntil >= blockLength

/**
 * Reads a text in stages: the first stage gets the raw units, each next stage gets the output of the stage before. It
 * sleeps while the text has no escapes, since `plain` searches the raw text. When a unit may begin an escape, it wakes
 * up and first reads the last units before that one.
 */
const createEscaped = (
  plain: Window,
  stages: readonly [Stage, ...Stage[]],
  isOpening: (unit: number) => boolean,
): Reading => {
  const [{ decoder: first }] = stages
  let asleep = true
  const wake = (at: number): void => {
    asleep = false
    for (const { window } of stages) window.reset()
    for (let before = Math.max(0, at - blockLength + 1); before < at; before++)
      first.push(plain.unitAt(before), before, before + 1)
  }
  return {
    push: (unit, at) => {
      if (asleep && !isOpening(unit)) return
      if (asleep) wake(at)
      first.push(unit, at, at + 1)
      asleep = stages.every(isIdle)
    },
    end: () => {
      for (const { decoder } of stages) decoder.end()
    },
    growsFrom: () => {
      if (asleep) return undefined
      return earliest(
        stages.flatMap(({ window, decoder }) => [decoder.openFrom, window.growsFrom(decoder.openFrom !== undefined)]),
      )
    },
  }
}

const earliest = (places: readonly (number | undefined)[]): number | undefined =>
  places.reduce(
    (first, each) => (first === undefined || (each !== undefined && each < first) ? each : first),
    undefined,
  )

const isBase64 = (unit: number): boolean =>
  (unit >= 97 && unit <= 122) || (unit >= 65 && unit <= 90) || (unit >= 47 && unit <= 57) || unit === 43 || unit === 61

/** Maps a letter of the URL-safe base64 alphabet (RFC 4648 §5) to the standard one; others stay. */
const standard = (unit: number): number => (unit === 45 ? 43 : unit === 95 ? 47 : unit)

/**
 * Lines of broken base64 are 64 or 76 letters long. A needle does not go on from a line shorter than this to the next.
 */
const shortestBroken = 32

/** Reads a text as base64 of either alphabet, also where it is broken into lines. */
const createBase64 = (window: Window): Reading => {
  let lineFrom = 0
  window.decodedUntil = Number.POSITIVE_INFINITY
  return {
    push: (unit, at) => {
      if (unit === carriageReturn) return
      if (unit === lineFeed) {
        if (window.length - Math.max(lineFrom, window.floor) < shortestBroken) window.floor = window.length
        lineFrom = window.length
        return
      }
      const letter = standard(unit)
      window.add(letter, at, at + 1)
      if (!isBase64(letter)) window.floor = window.length
    },
    end: () => {},
    growsFrom: () => window.growsFrom(true),
  }
}

const isBackslash = (unit: number): boolean => unit === 92
const isPercent = (unit: number): boolean => unit === 37
const isPercentOrPlus = (unit: number): boolean => unit === 37 || unit === 43

/**
 * Makes all readings of one text: as it is, as base64, with the escapes of JSON once and twice (JSON in JSON),
 * percent-encoded, and as a form. `cover` is called with the place of each needle in the raw text.
 */
export const createReadings = ({ plain, base64 }: Needles, cover: Cover): Reading => {
  const whole = new Window(plain, cover)
  whole.decodedUntil = Number.POSITIVE_INFINITY
  const escaped = () => new Window(plain, cover)
  const inner = createStage(escaped(), createJsonDecoder)
  const outer = createStage(escaped(), createJsonDecoder, inner.decoder)
  const url = createStage(escaped(), (emit) => createURLDecoder(emit, false))
  const form = createStage(escaped(), (emit) => createURLDecoder(emit, true))
  const others: readonly Reading[] = [
    createBase64(new Window(base64, cover)),
    createEscaped(whole, [outer, inner], isBackslash),
    createEscaped(whole, [url], isPercent),
    createEscaped(whole, [form], isPercentOrPlus),
  ]
  return {
    push: (unit, at) => {
      for (const each of others) each.push(unit, at)
      whole.add(unit, at, at + 1)
    },
    end: () => {
      for (const each of others) each.end()
    },
    growsFrom: () => earliest([whole.growsFrom(true), ...others.map((each) => each.growsFrom())]),
  }
}
