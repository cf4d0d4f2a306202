/** What is written into the Lease, and who may take it: pure. */

import { type Lease, leaseKind } from "../api/kinds/kubernetes.ts"
import { AppError, hasCode } from "../errors.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { ClusterPort, ObjectRef } from "../ports/cluster.ts"
import { unlessAborted } from "../waiting/until-aborted.ts"

/** Timing of the election, as Kubernetes' own controllers have it. */
export const leaseTiming = {
  /** Others may take the lease when its renewal was not seen to change for this long. */
  durationMs: 15_000,
  /** A leader that could not renew for this long stops, well before others may start. */
  renewDeadlineMs: 10_000,
  /** Time between two tries. */
  retryMs: 2_000,
  /** Bound of one call. */
  callMs: 3_000,
} as const

/** A Kubernetes MicroTime, which has six decimals, of a moment in milliseconds since the epoch. */
const microTime = (ms: number): string => new Date(ms).toISOString().replace(/\.(\d{3})Z$/, ".$1000Z")

/** Name of the process that holds the lease; empty = it is free. */
const holderOf = (lease: Lease): string => lease.spec?.holderIdentity ?? ""

/** For how many milliseconds after a renewal nobody else may take the lease. */
export const durationOf = (lease: Lease): number =>
  (lease.spec?.leaseDurationSeconds ?? 0) * 1_000 || leaseTiming.durationMs

/** True if both show the same renewal by the same holder. */
export const sameRenewal = (before: Lease, after: Lease): boolean =>
  before.spec?.renewTime === after.spec?.renewTime && before.spec?.holderIdentity === after.spec?.holderIdentity

/** True if `holder` may write its name: the lease is absent, free, its own, or has run out (as watched by itself). */
export const mayBeTaken = (lease: Lease | undefined, holder: string, hasRunOut: boolean): boolean =>
  lease === undefined || holderOf(lease) === "" || holderOf(lease) === holder || hasRunOut

/** The lease as `holder` writes it at `now` (milliseconds since the epoch), to take it or to renew it. */
export const heldBy = (before: Lease | undefined, ref: ObjectRef, holder: string, now: number): Lease => {
  const spec = before?.spec
  const kept = spec?.holderIdentity === holder
  return {
    apiVersion: leaseKind.apiVersion,
    kind: leaseKind.kind,
    metadata: before?.metadata ?? { name: ref.name, namespace: ref.namespace },
    spec: {
      holderIdentity: holder,
      leaseDurationSeconds: leaseTiming.durationMs / 1_000,
      acquireTime: kept && spec?.acquireTime !== undefined ? spec.acquireTime : microTime(now),
      renewTime: microTime(now),
      leaseTransitions: (spec?.leaseTransitions ?? 0) + (kept || before === undefined ? 0 : 1),
    },
  }
}

/** The lease without a holder: whoever looks next may take it at once. */
export const freed = (lease: Lease): Lease => ({
  ...lease,
  spec: { ...lease.spec, holderIdentity: "", leaseDurationSeconds: 1 },
})

/** The calls about the Lease, and what they have told. */

/** What the calls need. */
export type LeaseCallsDeps = {
  readonly cluster: ClusterPort
  readonly clock: ClockPort
  /** The Lease to hold. */
  readonly lease: ObjectRef
  /** Name of this process, unlike any other's. */
  readonly holder: string
}

/** One lease, as one process holds it. */
type LeaseCalls = {
  /** One try to take or renew: a look, a write, and another look if the write met one of somebody else. True = it is ours. */
  hold(signal: AbortSignal): Promise<boolean>
  /** Frees the lease if it is ours. Looks first: a renewal that was given up may have been written. */
  release(): Promise<void>
  /** True if another process was the holder at the last look. */
  isOfAnother(): boolean
  /** Ends the timer that watches the holder's renewals. */
  end(): void
}

/**
 * What this process knows of the lease. Whether it has run out is told by a timer of our own that starts when a renewal
 * is seen: times that others wrote are never compared with ours, and a clock that is set does not end anybody's lease.
 */
const createSighting = (clock: ClockPort) => {
  let lease: Lease | undefined
  let hasRunOut = false
  let cancel = () => {}
  return {
    see: (found: Lease | undefined): void => {
      if (found === undefined || lease === undefined || !sameRenewal(lease, found)) {
        cancel()
        hasRunOut = false
        if (found !== undefined) {
          cancel = clock.timer(durationOf(found), () => {
            hasRunOut = true
          })
        }
      }
      lease = found
    },
    mayBeTakenBy: (holder: string): boolean => mayBeTaken(lease, holder, hasRunOut),
    isOfAnother: (holder: string): boolean => lease !== undefined && holderOf(lease) !== holder,
    end: () => cancel(),
  }
}

/** Runs a call that has three seconds, or less if `signal` is aborted before. */
const bounded = async <T>(
  clock: ClockPort,
  signal: AbortSignal | undefined,
  call: (signal: AbortSignal) => Promise<T>,
): Promise<T> => {
  const own = new AbortController()
  const cancel = clock.timer(leaseTiming.callMs, () =>
    own.abort(new AppError("ClusterUnavailable", { detail: "The lease could not be reached within 3 s." })),
  )
  try {
    const bound = signal === undefined ? own.signal : AbortSignal.any([own.signal, signal])
    return await unlessAborted(call(bound), bound)
  } finally {
    cancel()
  }
}

/** Makes the calls about one lease, each bounded in time. Close it with `end`. */
export const createLeaseCalls = ({ cluster, clock, lease: ref, holder }: LeaseCallsDeps): LeaseCalls => {
  const sighting = createSighting(clock)
  /** True from the moment we may have written our name until a look says otherwise. */
  let mayHold = false

  const look = async (signal?: AbortSignal): Promise<Lease | undefined> => {
    const found = await bounded(clock, signal, (bound) => cluster.get(leaseKind, ref, { signal: bound }))
    mayHold = found !== undefined && holderOf(found) === holder
    sighting.see(found)
    return found
  }
  const write = async (wanted: Lease, isNew: boolean, signal?: AbortSignal): Promise<void> => {
    mayHold = true
    const written = await bounded(clock, signal, (bound) =>
      isNew
        ? cluster.create(leaseKind, wanted, { signal: bound })
        : cluster.replace(leaseKind, wanted, { signal: bound }),
    )
    sighting.see(written)
  }
  return {
    hold: async (signal) => {
      const found = await look(signal)
      if (!sighting.mayBeTakenBy(holder)) return false
      const wanted = heldBy(found, ref, holder, clock.now())
      try {
        await write(wanted, found === undefined, signal)
        return true
      } catch (error) {
        if (!hasCode(error, "ApiConflict", "ApiAlreadyExists", "ApiNotFound")) throw error
        // someone wrote at the same moment, perhaps this very call, which was repeated after a lost answer
        const now = await look(signal)
        return now !== undefined && sameRenewal(now, wanted)
      }
    },
    release: async () => {
      if (!mayHold) return
      const found = await look()
      if (found !== undefined && holderOf(found) === holder) await write(freed(found), false)
    },
    isOfAnother: () => sighting.isOfAnother(holder),
    end: sighting.end,
  }
}
