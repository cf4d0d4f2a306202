/** How gateways show that they run: each renews its own annotation on one Lease, which operators watch. */
import { apiGroup } from "../api/kinds/kind.ts"
import type { Lease } from "../api/kinds/kubernetes.ts"

/** Timing of these annotations, milliseconds. */
export const presenceTiming = {
  /** Time between two renewals. */
  renewMs: 10_000,
  /** A gateway whose annotation has not changed for this long counts as stopped. */
  ttlMs: 40_000,
} as const

const prefix = `gateway.${apiGroup}/`

/** The annotation name of a gateway; `replica` is the gateway's name in `inUseBy`. */
export const presenceKey = (replica: string): string => `${prefix}${replica}`

/**
 * The values of all gateways' annotations, by the gateway's name. A value comes from the gateway's own clock, so only a
 * change of the value has a meaning, not the time in it.
 */
export const presencesIn = ({ metadata }: Lease): ReadonlyMap<string, string> =>
  new Map(
    Object.entries(metadata.annotations ?? {})
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, value]) => [key.slice(prefix.length), value]),
  )
