/** How gateways say that they live: each by an annotation of its own on one Lease, which operators watch. */
import { apiGroup } from "../api/kinds/kind.ts"
import type { Lease } from "../api/kinds/kubernetes.ts"

/** Timing of that. */
export const presenceTiming = {
  /** Time between two renewals. */
  renewMs: 10_000,
  /** A gateway whose annotation does not change for this long is taken for dead. */
  lifeMs: 40_000,
} as const

const prefix = `gateway.${apiGroup}/`

/** The annotation of a gateway, by its name in `inUseBy`. */
export const presenceKey = (replica: string): string => `${prefix}${replica}`

/** What gateways have written, by name; each value is of that gateway's own clock and tells only that it changed. */
export const presencesIn = ({ metadata }: Lease): ReadonlyMap<string, string> =>
  new Map(
    Object.entries(metadata.annotations ?? {})
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, value]) => [key.slice(prefix.length), value]),
  )
