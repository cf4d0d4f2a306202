/**
 * In-use marks: entries of `status.inUseBy`, one for each gateway that has open calls on an instance or requests that wait for
 * it. While a mark counts (see {@link markTtlMs}), the operator does not delete the instance.
 */

/**
 * How long a call lasts before its gateway writes a mark, milliseconds: most calls end sooner and need no write. A drain
 * takes longer (`leastDrainMs` of drain.ts). So a call that is open when a drain begins gets its mark before the drain
 * ends, even if the gateway's watch does not show the drain yet. A wait for an instance that the gateway created has the
 * same delay.
 */
export const markDelayMs = 1_500

/** How often a mark is renewed, milliseconds. */
export const markRenewMs = 30_000

/** How long a mark counts after its last change, milliseconds: it survives two failed renewals in a row. */
export const markTtlMs = 3 * markRenewMs

/**
 * A new instance counts as in use for this long, milliseconds; gateways write a mark only if a wait exceeds
 * {@link markDelayMs}, or three times that if they did not create the instance, and that write may be slow.
 */
export const freshMs = 10_000
