/**
 * Pauses between attempts, milliseconds: the first pause is `firstMs`; each next one is twice as long, up to
 * `longestMs`.
 */
type Backoff = { readonly firstMs: number; readonly longestMs: number }

/** Most doublings that are computed, so that the product stays finite; 2 ** 30 pauses exceed any `longestMs`. */
const mostDoublings = 30

/** The pause after `failures` failed attempts in a row (at least 1), milliseconds, without jitter. */
export const backoffMs = (failures: number, { firstMs, longestMs }: Backoff): number =>
  Math.min(longestMs, firstMs * 2 ** Math.min(failures - 1, mostDoublings))
