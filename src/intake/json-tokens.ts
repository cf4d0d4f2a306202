/** A position in a JSON text that is scanned. */
export type TextPlace = {
  readonly text: string
  at: number
  /** True if the string that was passed last has escapes. */
  escaped: boolean
  /** The first fault, if there is one; `what` follows the name of the text in a sentence. */
  fault: { readonly what: string; readonly at: number } | undefined
}

const quote = 34
const plus = 43
const minus = 45
const point = 46
const backslash = 92
const letterU = 117

const isDigit = (code: number): boolean => code >= 48 && code <= 57
const isHigh = (code: number): boolean => code >= 0xd800 && code <= 0xdbff
const isLow = (code: number): boolean => code >= 0xdc00 && code <= 0xdfff

const fault = (place: TextPlace, what: string): false => {
  place.fault ??= { what: `is no JSON: ${what}`, at: place.at }
  return false
}

/** The value of a hexadecimal digit; -1 for any other character. */
const hexOf = (code: number): number => {
  if (isDigit(code)) return code - 48
  // sets the bit that makes a letter lower-case
  const letter = code | 32
  return letter >= 97 && letter <= 102 ? letter - 87 : -1
}

/** What may follow a backslash, besides u and four digits: " \ / b f n r t. */
const isShortEscape = (code: number): boolean =>
  code === quote ||
  code === backslash ||
  code === 47 ||
  code === 98 ||
  code === 102 ||
  code === 110 ||
  code === 114 ||
  code === 116

/**
 * Passes an escape. Returns the UTF-16 unit of an escape with four digits, 0 for any other escape, -1 if there is no
 * valid one.
 */
const passEscape = (place: TextPlace): number => {
  const { text, at } = place
  const code = text.charCodeAt(at + 1)
  if (isShortEscape(code)) {
    place.at += 2
    return 0
  }
  if (code !== letterU) return -1
  let unit = 0
  for (let digit = at + 2; digit < at + 6; digit++) {
    const value = hexOf(text.charCodeAt(digit))
    if (value === -1) return -1
    unit = unit * 16 + value
  }
  place.at += 6
  return unit
}

const passUnit = (place: TextPlace, code: number): number => {
  if (code === backslash) {
    place.escaped = true
    const unit = passEscape(place)
    if (unit === -1) fault(place, "an escape that does not exist")
    return unit
  }
  // at the end of the text the code is NaN, which fails every comparison
  if (!(code >= 32)) {
    fault(place, Number.isNaN(code) ? "a string has no end" : "a control character in a string")
    return -1
  }
  place.at++
  return code
}

const halfPair = (place: TextPlace): false => {
  place.fault ??= { what: "has half a surrogate pair in a string, which is no character", at: place.at }
  return false
}

/**
 * Passes a string, with the place on its opening quote. `wellFormed`: half a surrogate pair is a fault, as it is or as
 * an escape.
 */
export const passString = (place: TextPlace, wellFormed: boolean): boolean => {
  const { text } = place
  let high = false
  place.escaped = false
  place.at++
  for (;;) {
    const code = text.charCodeAt(place.at)
    if (code === quote) break
    const unit = passUnit(place, code)
    if (unit === -1) return false
    if (!high && unit < 0xd800) continue
    if (wellFormed && isLow(unit) !== high) return halfPair(place)
    high = isHigh(unit)
  }
  if (wellFormed && high) return halfPair(place)
  place.at++
  return true
}

/** Passes digits; false if there are none. */
const passDigits = (place: TextPlace): boolean => {
  const { text } = place
  const start = place.at
  while (isDigit(text.charCodeAt(place.at))) place.at++
  return place.at > start || fault(place, "a digit is missing")
}

/** Passes a number (RFC 8259 §6): no zeros in front, digits on both sides of the point. */
export const passNumber = (place: TextPlace): boolean => {
  const { text } = place
  const first = text.charCodeAt(place.at)
  if (first !== minus && !isDigit(first))
    return fault(place, Number.isNaN(first) ? "it ends too early" : "a value is missing")
  if (first === minus) place.at++
  if (text.charCodeAt(place.at) === 48) {
    place.at++
    if (isDigit(text.charCodeAt(place.at))) return fault(place, "a number with a zero in front")
  } else if (!passDigits(place)) return false
  if (text.charCodeAt(place.at) === point) {
    place.at++
    if (!passDigits(place)) return false
  }
  // sets the bit that makes a letter lower-case
  if ((text.charCodeAt(place.at) | 32) !== 101) return true
  const sign = text.charCodeAt(++place.at)
  if (sign === plus || sign === minus) place.at++
  return passDigits(place)
}
