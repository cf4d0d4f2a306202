/**
 * In-use marks: entries of `status.inUseBy`, one for each gateway that has open calls on an instance or requests that wait for
 * it. While one lives the operator does not delete the instance.
 */

/**
 * How long a call or a wait lasts before its gateway writes a mark, milliseconds: most end sooner and cost no write. A drain
 * takes longer ({@link leastDrainMs}), so a call that was open when it began is marked by then, also by a gateway whose watch
 * does not show the drain.
 */
export const markDelayMs = 1_500

/** How often a mark is renewed, milliseconds. */
export const markRenewMs = 30_000

/** How long a mark counts after its last change, milliseconds: two renewals in a row may fail. */
export const markLifeMs = 3 * markRenewMs

/**
 * A new instance counts as in use for this long, milliseconds; its creator writes a mark only if the wait exceeds
 * {@link markDelayMs}, and the write may take its time.
 */
export const freshMs = 10_000
