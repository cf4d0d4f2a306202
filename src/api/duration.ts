/** Durations as Go writes them. No library is used, so that the bridge's bundle stays small. */

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }

/** Go's duration syntax without signs and without units below a millisecond: `1h30m`, `90s`, `1.5h`. */
export const durationPattern = /^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$/

/** Milliseconds of a duration such as `1h30m`; undefined if the text is not a duration. */
export const parseDuration = (text: string): number | undefined => {
  if (text.length > 32 || !durationPattern.test(text)) return undefined
  let total = 0
  for (const [, amount, unit] of text.matchAll(/([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)/gy)) {
    total += Number(amount) * (unitMs[unit ?? ""] ?? 0)
  }
  return Number.isSafeInteger(Math.round(total)) ? Math.round(total) : undefined
}

/** A duration as people write it: `90000` → `1m30s`. */
export const formatDuration = (ms: number): string => {
  if (ms <= 0) return "0s"
  let rest = Math.round(ms)
  let text = ""
  for (const unit of ["h", "m", "s", "ms"]) {
    const size = unitMs[unit] ?? 1
    const amount = Math.floor(rest / size)
    if (amount > 0) text += `${amount}${unit}`
    rest -= amount * size
  }
  return text
}
