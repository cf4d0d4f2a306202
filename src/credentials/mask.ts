import { loopTurns } from "../intake/turns.ts"
import { makeNeedles, type Needles } from "./needles.ts"
import { createReadings, type Reading } from "./readings.ts"

/** Replacement for a secret, or for several that touch each other. */
export const masked = "•••"

/** Whether a text is complete. */
type TextEnd = {
  /** True if more text followed: then an end that may be the beginning of a secret is masked. Default false. */
  readonly cut?: boolean
}

/** On whose behalf a text is masked, and the signal that ends it. */
type MaskingFor = {
  /** Turns of the event loop are divided fairly among owners; see intake/turns.ts. */
  readonly owner: string
  readonly signal: AbortSignal
}

/** Masks a text that comes in pieces; the result does not depend on where it is cut. */
type Masker = {
  /**
   * Takes a piece and returns the masked text that can be shown now. Holds back the end of the text as long as that may
   * be the beginning of a secret, of an escape or of a character.
   */
  push(piece: string): string
  /** Returns the rest of the masked text. Call it once, after the last piece. */
  end(end?: TextEnd): string
}

type Masking = {
  readonly readings: Reading
  /** UTF-16 units of the text so far. */
  length: number
  /** The end of the text so far that was held back. */
  held: string
  /** Begins and ends of the secret parts of the text that are not shown yet, in order; no two parts touch. */
  readonly froms: number[]
  readonly tos: number[]
  /** True if the text shown so far ends with a mask. */
  hidden: boolean
}

/** Adds a secret part, merged with parts that it touches. Parts come nearly in order: decoders report late. */
const cover = ({ froms, tos }: Pick<Masking, "froms" | "tos">, from: number, to: number): void => {
  let [start, end] = [from, to]
  while (froms.length > 0 && (tos.at(-1) ?? 0) >= start) {
    start = Math.min(start, froms.pop() ?? start)
    end = Math.max(end, tos.pop() ?? end)
  }
  froms.push(start)
  tos.push(end)
}

const take = (masking: Masking, piece: string): void => {
  for (let at = 0; at < piece.length; at++) masking.readings.push(piece.charCodeAt(at), masking.length++)
}

/** The place from which the text must be held back. */
const holdFrom = ({ readings, length }: Masking, text: string): number => {
  const grows = readings.growsFrom()
  if (grows !== undefined) return Math.max(grows, length - text.length)
  // half a surrogate pair would be sent as another character
  const unit = text.charCodeAt(text.length - 1)
  return unit >= 0xd800 && unit <= 0xdbff ? length - 1 : length
}

/** Returns `text` up to the place `until`, masked, and holds back the rest. `text` is the end of the text so far. */
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
  const covers: Pick<Masking, "froms" | "tos"> = { froms: [], tos: [] }
  const readings = createReadings(needles, (from, to) => cover(covers, from, to))
  const masking: Masking = { ...covers, readings, length: 0, held: "", hidden: false }
  return {
    push: (piece) => {
      take(masking, piece)
      const text = masking.held + piece
      return show(masking, text, holdFrom(masking, text))
    },
    end: ({ cut = false } = {}) => {
      const { held, length } = masking
      readings.end()
      if (cut && held !== "") cover(masking, length - held.length, length)
      return show(masking, held, length)
    },
  }
}

/** Most UTF-16 units that are masked in one turn of the event loop: less than 10 ms in the worst case. */
const atOnce = 2 ** 13

/**
 * Pushes a piece of any length into a masker and yields the masked text. All such work of the process shares the turns
 * of the event loop (intake/turns.ts), so that many logs at the same time do not delay other requests. Throws the
 * signal's reason.
 */
export async function* pushInTurns(
  masker: Masker,
  piece: string,
  { owner, signal }: MaskingFor,
): AsyncGenerator<string> {
  for (let at = 0; at < piece.length; at += atOnce) {
    if (loopTurns.isSpent()) await loopTurns.next(owner, signal)
    yield loopTurns.measure(() => masker.push(piece.slice(at, at + atOnce)))
  }
}

/** `text` with every occurrence of a secret value replaced, also JSON-escaped, URL-encoded and in base64. */
export const mask = async (text: string, needles: Needles, by: MaskingFor, end?: TextEnd): Promise<string> => {
  const masker = createMasker(needles)
  const shown: string[] = []
  for await (const piece of pushInTurns(masker, text, by)) shown.push(piece)
  return shown.join("") + masker.end(end)
}

/** {@link mask} for a single short text; without an owner and without cancellation. */
export const withoutSecrets = async (text: string, values: readonly string[]): Promise<string> =>
  await mask(text, await makeNeedles(values), { owner: "", signal: new AbortController().signal })

/**
 * {@link mask} of a log of which at most `limitBytes` were read. The limit may have cut a secret. So the last line of a
 * log that was cut is left out; if the log has only one line, its end is masked if it may be the beginning of a secret.
 */
export const maskRead = async (
  text: string,
  needles: Needles,
  { limitBytes, ...by }: MaskingFor & { readonly limitBytes: number },
): Promise<string> => {
  // a cut inside a character changes the length by the missing bytes of that character, 3 at most
  if (Buffer.byteLength(text) < limitBytes - 3) return await mask(text, needles, by)
  const lines = text.slice(0, text.lastIndexOf("\n") + 1)
  if (lines !== "") return await mask(lines, needles, by, { cut: true })
  return await mask(text.endsWith("\uFFFD") ? text.slice(0, -1) : text, needles, by, { cut: true })
}
