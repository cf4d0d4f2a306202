import { setImmediate as turn } from "node:timers/promises"
import { hasFingerprint } from "./fingerprints.ts"
import { isBeginning, isMarked, makeNeedles, type Needles } from "./needles.ts"
import { blockLength } from "./spellings.ts"

/** What stands where a secret stood, or several in a row. */
export const masked = "•••"

/** How a text ends. */
export type TextEnd = {
  /** True: more stood behind it. Then an end that may be the beginning of a secret is masked. Default false. */
  readonly cut?: boolean
}

/** Masks a text that comes in pieces: where it is cut makes no difference. */
export type Masker = {
  /** What can be shown by now; holds back at most 31 UTF-16 units, if they may be the beginning of a secret or a character. */
  push(piece: string): string
  /** The rest: nothing more comes. */
  end(end?: TextEnd): string
}

/** Hashes of so many beginnings of the text are kept; a power of two, more than the longest needle. */
const kept = 2 * blockLength
const keptMask = kept - 1

type Masking = {
  readonly needles: Needles
  /** Hashes of the text up to each of the last places. */
  readonly hashes1: Int32Array
  readonly hashes2: Int32Array
  /** UTF-16 units of the text so far. */
  length: number
  /** What was held back, the end of the text so far. */
  held: string
  /** Parts of the text that are secret and not shown yet, in order; none touches another. */
  readonly froms: number[]
  readonly tos: number[]
  /** True if the last that was shown is a mask. */
  hidden: boolean
}

/** Hash of the `length` units up to `end`, by those of the beginnings. */
const hashOf = (hashes: Int32Array, powers: Int32Array, end: number, length: number): number =>
  ((hashes[end & keptMask] ?? 0) - Math.imul(hashes[(end - length) & keptMask] ?? 0, powers[length] ?? 0)) | 0

/** Length of the longest needle that ends where the text does; 0 if none does. */
const longestNeedle = ({ needles, hashes1, hashes2, length: end }: Masking): number => {
  const { hashing, lengths, fingerprints } = needles
  for (const length of lengths) {
    if (length > end) continue
    const hash1 = hashOf(hashes1, hashing.powers1, end, length)
    if (hasFingerprint(fingerprints, hash1, hashOf(hashes2, hashing.powers2, end, length))) return length
  }
  return 0
}

/** Notes that a part is secret that ends where the text does. */
const cover = ({ froms, tos, length: to }: Masking, from: number): void => {
  let start = from
  while (froms.length > 0 && (tos.at(-1) ?? 0) >= from) {
    start = Math.min(start, froms.pop() ?? start)
    tos.pop()
  }
  froms.push(start)
  tos.push(to)
}

const take = (masking: Masking, piece: string): void => {
  const { hashes1, hashes2, needles } = masking
  const { base1, base2 } = needles.hashing
  for (let at = 0; at < piece.length; at++) {
    const unit = piece.charCodeAt(at) + 1
    const before = masking.length & keptMask
    const now = ++masking.length & keptMask
    hashes1[now] = Math.imul(hashes1[before] ?? 0, base1) + unit
    hashes2[now] = Math.imul(hashes2[before] ?? 0, base2) + unit
    const found = longestNeedle(masking)
    if (found > 0) cover(masking, masking.length - found)
  }
}

/** True if what stands from a place to the end of the text may be the beginning of a longer needle, also of a later block. */
const mayGrow = ({ needles, hashes1, hashes2, length: end }: Masking, from: number, first: number): boolean => {
  const { firsts, hashing, lengths } = needles
  if (end - from >= (lengths[0] ?? 0) || !isMarked(firsts, first)) return false
  for (let to = from + 1; to <= end; to++) {
    const hash1 = hashOf(hashes1, hashing.powers1, to, to - from)
    if (!isBeginning(needles, hash1, hashOf(hashes2, hashing.powers2, to, to - from))) return false
  }
  return true
}

/** The first place of the text from which it must be held back. */
const holdFrom = (masking: Masking, text: string): number => {
  const { length } = masking
  const begin = length - text.length
  for (let from = Math.max(begin, length - blockLength + 1); from < length; from++)
    if (mayGrow(masking, from, text.charCodeAt(from - begin))) return from
  // half a surrogate pair would be sent as another character
  const unit = text.charCodeAt(text.length - 1)
  return unit >= 0xd800 && unit <= 0xdbff ? length - 1 : length
}

/** Shows what was held back and came, up to a place, and holds back the rest. */
const show = (masking: Masking, text: string, until: number): string => {
  const { froms, tos, length } = masking
  const begin = length - text.length
  let shown = ""
  let at = begin
  const clear = (to: number): void => {
    if (to <= at) return
    shown += text.slice(at - begin, to - begin)
    masking.hidden = false
  }
  let done = 0
  for (; done < froms.length && (froms[done] ?? 0) < until; done++) {
    clear(froms[done] ?? 0)
    if (!masking.hidden) shown += masked
    masking.hidden = true
    at = Math.min(tos[done] ?? 0, until)
    if ((tos[done] ?? 0) > until) break
  }
  clear(until)
  froms.splice(0, done)
  tos.splice(0, done)
  if ((froms[0] ?? until) < until) froms[0] = until
  masking.held = text.slice(until - begin)
  return shown
}

/** Makes a masker. Secrets that overlap or touch are masked as one. */
export const createMasker = (needles: Needles): Masker => {
  const masking: Masking = {
    ...{ needles, hashes1: new Int32Array(kept), hashes2: new Int32Array(kept) },
    ...{ length: 0, held: "", froms: [], tos: [], hidden: false },
  }
  return {
    push: (piece) => {
      take(masking, piece)
      const text = masking.held + piece
      return show(masking, text, holdFrom(masking, text))
    },
    end: ({ cut = false } = {}) => {
      const { held, length } = masking
      if (cut && held !== "") cover(masking, length - held.length)
      return show(masking, held, length)
    },
  }
}

/** So much is masked at once, in UTF-16 units: some milliseconds. */
const atOnce = 2 ** 15

/** A text in pieces, each of which is masked at once; the event loop has a turn between two of them. */
export async function* inTurns(text: string): AsyncGenerator<string> {
  for (let at = 0; at < text.length; at += atOnce) {
    if (at > 0) await turn()
    yield text.length <= atOnce ? text : text.slice(at, at + atOnce)
  }
}

/** `text` with every occurrence of a secret value replaced, also JSON-escaped, URL-encoded and in base64. */
export const mask = async (text: string, needles: Needles, end?: TextEnd): Promise<string> => {
  const masker = createMasker(needles)
  const shown: string[] = []
  for await (const piece of inTurns(text)) shown.push(masker.push(piece))
  return shown.join("") + masker.end(end)
}

/** {@link mask} for a text that is masked once. */
export const withoutSecrets = async (text: string, values: readonly string[]): Promise<string> =>
  await mask(text, await makeNeedles(values))

/**
 * {@link mask} of a log that was read up to `limitBytes`. A read that was cut may have cut a secret: its last line is
 * left out, or if there is one endless line, its end is masked if it may be the beginning of a secret.
 */
export const maskRead = async (text: string, needles: Needles, limitBytes: number): Promise<string> => {
  // what was cut inside a character is longer or shorter than the limit by that one at most
  if (Buffer.byteLength(text) < limitBytes - 3) return await mask(text, needles)
  const lines = text.slice(0, text.lastIndexOf("\n") + 1)
  if (lines !== "") return await mask(lines, needles, { cut: true })
  return await mask(text.endsWith("\uFFFD") ? text.slice(0, -1) : text, needles, { cut: true })
}
