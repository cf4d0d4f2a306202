/** The RFC 3339 text of a moment in milliseconds since the epoch. */
export const stamp = (ms: number): string => new Date(ms).toISOString()

/** Milliseconds since the epoch of an RFC 3339 text; undefined if it is absent or invalid. */
export const moment = (text: string | undefined): number | undefined => {
  const ms = text === undefined ? Number.NaN : Date.parse(text)
  return Number.isNaN(ms) ? undefined : ms
}

/** The earliest of some moments after `now`; undefined if there is none. */
export const nextAfter = (now: number, ...moments: readonly (number | undefined)[]): number | undefined => {
  const coming = moments.filter((each) => each !== undefined).filter((each) => each > now)
  return coming.length === 0 ? undefined : Math.min(...coming)
}
