/** Values that are given as credentials and searched for afterwards, in whatever form they may have got somewhere. */
import { randomBytes } from "node:crypto"

/** A value that is nowhere else in the world. */
export type Canary = {
  /** What it was given as, for messages. */
  readonly label: string
  /** The value, with signs that URLs, JSON and base64 write otherwise. */
  readonly value: string
  /** Texts of which one is in every text that holds the value: as it is or URL-encoded, in base64 and in hex digits. */
  readonly needles: readonly string[]
}

/** How far into a group of three bytes a value may begin within what is put into base64 as a whole. */
const offsets = [0, 1, 2]

/** The signs of base64 that stand for these bytes alone, whatever comes before and after them. */
const inBase64 = (core: string, offset: number): string => {
  const text = Buffer.concat([Buffer.alloc(offset), Buffer.from(core)]).toString("base64")
  return text.slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + core.length) * 8) / 6))
}

/** Texts of which one is in every text that holds `core`, in whatever form. */
export const needlesOf = (core: string): readonly string[] => {
  const hex = Buffer.from(core).toString("hex")
  return [core, ...offsets.map((offset) => inBase64(core, offset)), hex, hex.toUpperCase()]
}

/** Makes a canary. Its core is hex digits, which no encoding of texts changes but base64 and hex. */
export const makeCanary = (label: string, word = "canary"): Canary => {
  const core = randomBytes(15).toString("hex")
  return { label, value: `${word} ${core}/+&="%`, needles: needlesOf(core) }
}

/** Labels of the canaries that a text holds in any form. */
export const findCanaries = (text: string, canaries: readonly Canary[]): readonly string[] =>
  canaries.filter(({ needles }) => needles.some((needle) => text.includes(needle))).map(({ label }) => label)
