import { createJsonDecoder, createURLDecoder, type Decoder, type Emit } from "./escapes.ts"
import type { Needles } from "./needles.ts"
import { blockLength } from "./secret-parts.ts"
import { type Cover, Window } from "./window.ts"

/** A way of reading a text, or several: what it means then is looked through for needles. */
export type Reading = {
  /** Takes the unit at a place of the text. */
  push(unit: number, at: number): void
  /** No more comes. */
  end(): void
  /** The first place of the text that a needle may still begin at, or an escape that has not ended. */
  growsFrom(): number | undefined
}

const lineFeed = 10
const carriageReturn = 13

/** A decoder, and what was decoded by it. */
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
 * Reads a text by stages, of which the first gets the units of the text, and each next one what the one before decoded. It
 * sleeps while nothing is escaped, since `plain` reads the text itself; once a unit comes that may begin an escape, it begins
 * with the last units before.
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

/** The letter of base64 for one of its URL-safe form (RFC 4648 §5). */
const standard = (unit: number): number => (unit === 45 ? 43 : unit === 95 ? 47 : unit)

/** Shorter lines are no lines of base64, which are 64 or 76 letters long: the next one stands for itself. */
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
 * Makes all readings of one text: as it is, as base64, with the escapes of JSON once and twice (JSON in JSON), percent-encoded,
 * and as a form. Where one finds a needle, `cover` hears where it stands in the text.
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
