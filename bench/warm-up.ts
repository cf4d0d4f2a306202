/** Decides when a program is warm: when its figure stands still. */

/** When a figure stands still. */
export type Steadiness = {
  /** How many of the last figures are compared; default 3. */
  readonly last: number
  /** By which share of the smallest of them the largest may be greater; default 0.05. */
  readonly tolerance: number
  /** Most figures; then the program counts as warm. Default 15. */
  readonly most: number
}

const usual: Steadiness = { last: 3, tolerance: 0.05, most: 15 }

/** True if the last figures differ by no more than the tolerance. */
export const isSteady = (figures: readonly number[], { last, tolerance }: Steadiness = usual): boolean => {
  const recent = figures.slice(-last)
  return recent.length === last && Math.max(...recent) <= Math.min(...recent) * (1 + tolerance)
}

/** Result of a warm-up. */
export type WarmUp = { readonly figures: readonly number[]; readonly isSteady: boolean }

/** Repeats `slice`, which resolves with a figure, until the figure stands still, or as often as is allowed. */
export const warmUp = async (slice: () => Promise<number>, steadiness: Steadiness = usual): Promise<WarmUp> => {
  const figures: number[] = []
  while (figures.length < steadiness.most && !isSteady(figures, steadiness)) figures.push(await slice())
  return { figures, isSteady: isSteady(figures, steadiness) }
}
