import type { Lease } from "../api/lease.ts"
import { presencesIn, presenceTiming } from "../api/presence.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { Reflection } from "../ports/cluster.ts"

/** The gateways that live. */
export type Gateways = {
  /** Their names in `inUseBy`. */
  living(): readonly string[]
  close(): void
}

/**
 * Follows what gateways say of themselves. What they wrote tells that they live, never since when: times are this
 * operator's own. While the API server is not heard nobody dies; right after a start everybody lives who has not taken
 * back the word.
 */
export const createGateways = (leases: Reflection<Lease> | undefined, clock: ClockPort): Gateways => {
  const known = new Map<string, { readonly value: string; readonly seenAt: number }>()
  const see = (lease: Lease | undefined): void => {
    const present = lease === undefined ? new Map<string, string>() : presencesIn(lease)
    for (const replica of known.keys()) if (!present.has(replica)) known.delete(replica)
    for (const [replica, value] of present)
      if (known.get(replica)?.value !== value) known.set(replica, { value, seenAt: clock.now() })
  }
  for (const lease of leases?.items() ?? []) see(lease)
  const close = leases?.subscribe(({ type, object }) => see(type === "deleted" ? undefined : object))
  return {
    living: () => {
      const heardAt = clock.now() - (leases?.silenceMs() ?? 0)
      return [...known].filter(([, { seenAt }]) => heardAt - seenAt < presenceTiming.lifeMs).map(([replica]) => replica)
    },
    close: () => close?.(),
  }
}
