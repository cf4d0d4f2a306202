/**
 * Takes one UTF-16 unit of a decoded text. `from` (inclusive) and `to` (exclusive) are where it is written in the raw
 * text; `isDecoded` is true if an escape stood there.
 */
export type Emit = (unit: number, from: number, to: number, isDecoded: boolean) => void

/** Decodes a text that may have escapes, unit by unit. What is no escape is emitted unchanged. */
export type Decoder = {
  push(unit: number, from: number, to: number): void
  /** Call it at the end of the text: emits an incomplete escape unchanged. */
  end(): void
  /** Where an incomplete escape begins in the raw text; undefined if there is none. */
  readonly openFrom: number | undefined
}

type Piece = { readonly unit: number; readonly from: number; readonly to: number }

const backslash = 92
const percent = 37
const plus = 43
const blank = 32
const letterU = 117

/** The character for each letter behind a backslash (RFC 8259 §7, and the apostrophe of other languages). */
const meanings: ReadonlyMap<number, number> = new Map(
  [..."\"\\/'bfnrt"].map((letter, at) => [letter.charCodeAt(0), "\"\\/'\b\f\n\r\t".charCodeAt(at)]),
)

/** The value of a hexadecimal digit; NaN for another unit. */
const digitOf = (unit: number): number => {
  if (unit >= 48 && unit <= 57) return unit - 48
  const lower = unit | 32
  return lower >= 97 && lower <= 102 ? lower - 87 : Number.NaN
}

const numberOf = (pieces: readonly Piece[]): number => pieces.reduce((sum, { unit }) => 16 * sum + digitOf(unit), 0)

/**
 * State of an escape after one more unit: incomplete (`more`), complete and emitted (`whole`), or no escape: then its
 * first `plain` pieces are emitted unchanged.
 */
type Step = "more" | "whole" | { readonly plain: number }

/**
 * Makes a decoder that collects the pieces of escapes. An escape begins with a unit for which `isOpening` is true;
 * `step` gets all its pieces after each unit. When `step` returns `plain`, so many pieces are emitted unchanged and the
 * rest is read again.
 */
const createGatherer = (
  emit: Emit,
  isOpening: (unit: number) => boolean,
  step: (pieces: readonly Piece[]) => Step,
): Decoder => {
  let pieces: Piece[] = []
  const emitPlain = (plain: readonly Piece[]): void => {
    for (const { unit, from, to } of plain) emit(unit, from, to, false)
  }
  const push = (unit: number, from: number, to: number): void => {
    if (pieces.length === 0 && !isOpening(unit)) {
      emit(unit, from, to, false)
      return
    }
    pieces.push({ unit, from, to })
    const next = step(pieces)
    if (next === "more") return
    const all = pieces
    pieces = []
    if (next === "whole") return
    emitPlain(all.slice(0, next.plain))
    for (const each of all.slice(next.plain)) push(each.unit, each.from, each.to)
  }
  return {
    push,
    end: () => {
      emitPlain(pieces)
      pieces = []
    },
    get openFrom() {
      return pieces[0]?.from
    },
  }
}

/** Decodes the escapes of JSON strings: `\n`, `\"`, `\/`, `\u00e4`. */
export const createJsonDecoder = (emit: Emit): Decoder =>
  createGatherer(
    emit,
    (unit) => unit === backslash,
    (pieces) => {
      const [first, second] = pieces
      const last = pieces.at(-1)
      if (first === undefined || last === undefined || second === undefined) return "more"
      const meaning = pieces.length === 2 ? meanings.get(second.unit) : undefined
      if (meaning !== undefined) emit(meaning, first.from, last.to, true)
      if (meaning !== undefined) return "whole"
      if (pieces.length === 2 ? second.unit !== letterU : Number.isNaN(digitOf(last.unit)))
        return { plain: pieces.length - 1 }
      if (pieces.length < 6) return "more"
      emit(numberOf(pieces.slice(2)), first.from, last.to, true)
      return "whole"
    },
  )

/** Length in bytes of a UTF-8 character, by its first byte; 0 if no character begins with this byte. */
const lengthOf = (byte: number): number =>
  byte < 0x80 ? 1 : byte < 0xc2 ? 0 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : byte < 0xf5 ? 4 : 0

const isContinuation = (byte: number): boolean => byte >= 0x80 && byte < 0xc0

const characterOf = (bytes: readonly number[]): string => Buffer.from(bytes).toString("utf8")

/** The decoded bytes of the complete groups: a percent sign and two digits each. */
const bytesOf = (pieces: readonly Piece[]): readonly number[] =>
  Array.from({ length: Math.floor(pieces.length / 3) }, (_, at) => numberOf(pieces.slice(3 * at + 1, 3 * at + 3)))

const stepOfURL = (
  pieces: readonly Piece[],
  emitCharacter: (character: string, pieces: readonly Piece[]) => void,
): Step => {
  const last = pieces.at(-1)?.unit ?? 0
  const place = (pieces.length - 1) % 3
  /** Index of the first piece of the last group. */
  const group = pieces.length - 1 - place
  const isFitting = place === 0 ? last === percent : !Number.isNaN(digitOf(last))
  if (!isFitting) return { plain: group === 0 ? pieces.length - 1 : group }
  if (place < 2) return "more"
  const bytes = bytesOf(pieces)
  const [first = 0] = bytes
  const needed = lengthOf(first)
  if (needed === 0) return { plain: pieces.length }
  if (!bytes.slice(1).every(isContinuation)) return { plain: group }
  if (bytes.length < needed) return "more"
  emitCharacter(characterOf(bytes), pieces)
  return "whole"
}

/**
 * Decodes percent encoding (RFC 3986 §2.1) of UTF-8: of every character, and with digits in upper or lower case.
 * @param isForm true if a plus is a blank, as in forms (WHATWG URL, application/x-www-form-urlencoded)
 */
export const createURLDecoder = (emit: Emit, isForm: boolean): Decoder => {
  const emitCharacter = (character: string, pieces: readonly Piece[]): void => {
    const [from, to] = [pieces[0]?.from ?? 0, pieces.at(-1)?.to ?? 0]
    for (let at = 0; at < character.length; at++) emit(character.charCodeAt(at), from, to, true)
  }
  const emitOfForm: Emit = (unit, from, to, isDecoded) =>
    unit === plus && !isDecoded ? emit(blank, from, to, true) : emit(unit, from, to, isDecoded)
  return createGatherer(
    isForm ? emitOfForm : emit,
    (unit) => unit === percent,
    (pieces) => stepOfURL(pieces, emitCharacter),
  )
}
