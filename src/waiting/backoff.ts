/** How pauses between attempts grow, milliseconds: the first one, doubled with each attempt, up to the longest. */
export type Backoff = { readonly firstMs: number; readonly longestMs: number }

/** Doublings beyond which a pause is the longest one in any case: of more, numbers would lose their meaning. */
const mostDoublings = 30

/** The pause after this many failed attempts in a row, from 1. */
export const backoffMs = (failures: number, { firstMs, longestMs }: Backoff): number =>
  Math.min(longestMs, firstMs * 2 ** Math.min(failures - 1, mostDoublings))
