/** What is written into the Lease, and who may take it: pure. */
import { type Lease, leaseKind } from "../../api/lease.ts"
import type { ObjectRef } from "../../ports/cluster.ts"

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
export const holderOf = (lease: Lease): string => lease.spec?.holderIdentity ?? ""

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
