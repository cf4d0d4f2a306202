import { loopTurns } from "../intake/turns.ts"
import { makeNeedles, type Needles } from "./needles.ts"
import { createReadings, type Reading } from "./readings.ts"

/** What stands where a secret stood, or several in a row. */
export const masked = "•••"

/** How a text ends. */
type TextEnd = {
  /** True: more stood behind it. Then an end that may be the beginning of a secret is masked. Default false. */
  readonly cut?: boolean
}

/** For whom a text is masked, and until when. */
type MaskingFor = {
  /** Among owners the turns of the event loop are shared; see turns.ts. */
  readonly owner: string
  readonly signal: AbortSignal
}

/** Masks a text that comes in pieces: where it is cut makes no difference. */
type Masker = {
  /** What can be shown by now; holds back at most 31 UTF-16 units, if they may be the beginning of a secret or a character. */
  push(piece: string): string
  /** The rest: nothing more comes. */
  end(end?: TextEnd): string
}

type Masking = {
  readonly readings: Reading
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

/** Notes that a part is secret. Parts come nearly in order: what decodes tells them a little later. */
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

/** The first place of the text from which it must be held back. */
const holdFrom = ({ readings, length }: Masking, text: string): number => {
  const grows = readings.growsFrom()
  if (grows !== undefined) return Math.max(grows, length - text.length)
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

/** So much is masked at once, in UTF-16 units: less than 10 ms in the worst case. */
const atOnce = 2 ** 13

/**
 * What a masker shows of one more piece, however long it is. It takes turns of the event loop with all other work of its
 * kind: many logs that are read at the same moment do not add up for everybody else. Rejects with the signal's reason.
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

/** {@link mask} for a text that is masked once, by the process itself. */
export const withoutSecrets = async (text: string, values: readonly string[]): Promise<string> =>
  await mask(text, await makeNeedles(values), { owner: "", signal: new AbortController().signal })

/**
 * {@link mask} of a log that was read up to `limitBytes`. A read that was cut may have cut a secret: its last line is
 * left out, or if there is one endless line, its end is masked if it may be the beginning of a secret.
 */
export const maskRead = async (
  text: string,
  needles: Needles,
  { limitBytes, ...by }: MaskingFor & { readonly limitBytes: number },
): Promise<string> => {
  // what was cut inside a character is longer or shorter than the limit by that one at most
  if (Buffer.byteLength(text) < limitBytes - 3) return await mask(text, needles, by)
  const lines = text.slice(0, text.lastIndexOf("\n") + 1)
  if (lines !== "") return await mask(lines, needles, by, { cut: true })
  return await mask(text.endsWith("\uFFFD") ? text.slice(0, -1) : text, needles, by, { cut: true })
}
