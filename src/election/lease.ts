/** The content of the Lease, and the rules for taking it (pure functions); below them the calls to the API server. */

import { type Lease, leaseKind } from "../api/kinds/kubernetes.ts"
import { AppError, hasCode } from "../errors.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { ClusterPort, ObjectRef } from "../ports/cluster.ts"
import { unlessAborted } from "../waiting/until-aborted.ts"

/** Timing of the election: the defaults of Kubernetes' own controllers. */
export const leaseTiming = {
  /** Others may take the lease when they have not seen a renewal for this long. */
  durationMs: 15_000,
  /** A leader that could not renew for this long stops; others may start 5 s later at the earliest. */
  renewDeadlineMs: 10_000,
  /** Time between two tries. */
  retryMs: 2_000,
  /** Time limit of one call to the API server. */
  callMs: 3_000,
} as const

/** A moment in milliseconds since the epoch as a Kubernetes MicroTime, which has six decimals. */
const microTime = (ms: number): string => new Date(ms).toISOString().replace(/\.(\d{3})Z$/, ".$1000Z")

/** Name of the process that holds the lease; empty = it is free. */
const holderOf = (lease: Lease): string => lease.spec?.holderIdentity ?? ""

/** For how many milliseconds after a renewal nobody else may take the lease. */
export const durationOf = (lease: Lease): number =>
  (lease.spec?.leaseDurationSeconds ?? 0) * 1_000 || leaseTiming.durationMs

/** True if both show the same renewal by the same holder. */
export const sameRenewal = (before: Lease, after: Lease): boolean =>
  before.spec?.renewTime === after.spec?.renewTime && before.spec?.holderIdentity === after.spec?.holderIdentity

/**
 * True if `holder` may write its name: the lease is absent, free or its own, or this process saw no renewal in time.
 */
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

/** The lease without a holder: any process may take it at once. */
export const freed = (lease: Lease): Lease => ({
  ...lease,
  spec: { ...lease.spec, holderIdentity: "", leaseDurationSeconds: 1 },
})

/** Dependencies of the calls about the Lease. */
export type LeaseCallsDeps = {
  readonly cluster: ClusterPort
  readonly clock: ClockPort
  /** The Lease to hold. */
  readonly lease: ObjectRef
  /** Name of this process, unique among all processes. */
  readonly holder: string
}

/** One lease, as one process holds it. */
type LeaseCalls = {
  /**
   * One try to take or renew. True = this process holds the lease. A renewal is one write, in the version that this
   * process wrote last, as client-go does it. Otherwise, and if that version is no longer the current one: a read, a
   * write, and after a conflict another read.
   */
  hold(signal: AbortSignal): Promise<boolean>
  /** Frees the lease if this process holds it. Reads it first, since a renewal that timed out may have been written. */
  release(): Promise<void>
  /** True if another process was the holder at the last read. */
  isOfAnother(): boolean
  /** Ends the timer that watches the holder's renewals. */
  end(): void
}

/**
 * What this process knows of the lease. At each renewal that it sees it starts a timer; when the timer ends, the lease
 * has run out. Times that other processes wrote are never compared with the own clock, so that a wrong clock ends no
 * lease.
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
    /** The lease as it was read or written last; undefined if there was none. */
    last: (): Lease | undefined => lease,
    isOfAnother: (holder: string): boolean => lease !== undefined && holderOf(lease) !== holder,
    end: () => cancel(),
  }
}

/** Runs a call with a limit of 3 s. Rejects with ClusterUnavailable at the limit, or with the reason of `signal`. */
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
  /** True from the first attempt to write our name until a read shows another holder. */
  let mayHold = false

  const read = async (signal?: AbortSignal): Promise<Lease | undefined> => {
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
  /** Writes our name over the lease as it was found; false if a write came in between. */
  const take = async (found: Lease | undefined, signal: AbortSignal): Promise<boolean> => {
    const wanted = heldBy(found, ref, holder, clock.now())
    try {
      await write(wanted, found === undefined, signal)
      return true
    } catch (error) {
      if (!hasCode(error, "ApiConflict", "ApiAlreadyExists", "ApiNotFound")) throw error
      // another process's write, or ours, which was repeated after its response was lost
      const now = await read(signal)
      return now !== undefined && sameRenewal(now, wanted)
    }
  }
  const takeFound = (found: Lease | undefined, signal: AbortSignal): Promise<boolean> | false =>
    sighting.mayBeTakenBy(holder) && take(found, signal)
  return {
    hold: async (signal) => {
      const own = sighting.last()
      if (own === undefined || holderOf(own) !== holder) return takeFound(await read(signal), signal)
      // after a conflict it was read again: somebody has changed or deleted it, or another process has it
      return (await take(own, signal)) || takeFound(sighting.last(), signal)
    },
    release: async () => {
      if (!mayHold) return
      const found = await read()
      if (found !== undefined && holderOf(found) === holder) await write(freed(found), false)
    },
    isOfAnother: () => sighting.isOfAnother(holder),
    end: sighting.end,
  }
}
