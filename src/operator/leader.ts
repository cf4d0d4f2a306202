import { type Lease, leaseKind } from "../api/lease.ts"
import { AppError, hasCode, isAbort } from "../errors.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { ClusterPort, ObjectRef } from "../ports/cluster.ts"
import type { TelemetryPort } from "../ports/telemetry.ts"

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

/** What an election needs. */
export type ElectionDeps = {
  readonly cluster: ClusterPort
  readonly clock: ClockPort
  readonly telemetry: TelemetryPort
  /** The Lease to hold. */
  readonly lease: ObjectRef
  /** Name of this process, unlike any other's. */
  readonly holder: string
}

/** A running election. */
export type Election = {
  /** Resolves when this process leads for the first time. */
  readonly acquired: Promise<void>
  /** Aborted with `LeadershipLost` when leadership is lost, or with an AbortError on close. */
  readonly signal: AbortSignal
  isLeader(): boolean
  /** Milliseconds since the lease was last renewed by us; undefined while not leading. */
  renewedAgoMs(): number | undefined
  /** Stops and, if leading, releases the lease so that another replica starts at once. */
  close(): Promise<void>
}

/** A lease as this process last saw it, with its own time of seeing: clocks of others are never compared with ours. */
type Seen = { readonly lease: Lease; readonly at: number }

const microTime = (ms: number): string => new Date(ms).toISOString().replace(/\.(\d{3})Z$/, ".$1000Z")

const sameRenewal = (before: Lease, after: Lease): boolean =>
  before.spec?.renewTime === after.spec?.renewTime && before.spec?.holderIdentity === after.spec?.holderIdentity

/** Whether the lease may be taken: free, ours, or not renewed for its whole duration while we watched. */
export const mayTake = (seen: Seen, holder: string, now: number): boolean => {
  const { holderIdentity = "", leaseDurationSeconds = leaseTiming.durationMs / 1_000 } = seen.lease.spec ?? {}
  return holderIdentity === "" || holderIdentity === holder || now - seen.at > leaseDurationSeconds * 1_000
}

/** The lease as `holder` writes it at `now`. */
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

/**
 * Takes part in the election for a Lease (coordination.k8s.io), until closed or until leadership is lost.
 *
 * Guarantee: a leader whose renewals fail aborts `signal` after 10 s, while others wait 15 s from the last renewal that
 * they saw. A Lease has no fence, so two may act for a moment if one is frozen in between: what leaders write must
 * tolerate that.
 */
export const electLeader = (deps: ElectionDeps): Election => {
  const { cluster, clock, lease: ref, holder } = deps
  const log = deps.telemetry.log.child({ lease: `${ref.namespace}/${ref.name}`, holder })
  const leading = deps.telemetry.gauge({
    name: "leader_election_master_status",
    help: "1 while this process leads.",
    labels: ["name"],
  })
  const stopping = new AbortController()
  const leadership = new AbortController()
  const acquired = Promise.withResolvers<void>()
  acquired.promise.catch(() => {})
  let seen: Seen | undefined
  let renewedAt: number | undefined

  const bounded = async <T>(call: (signal: AbortSignal) => Promise<T>): Promise<T> => {
    const own = new AbortController()
    const cancel = clock.timer(leaseTiming.callMs, () =>
      own.abort(new AppError("ClusterUnavailable", { detail: "The lease could not be reached within 3 s." })),
    )
    try {
      return await call(AbortSignal.any([own.signal, stopping.signal]))
    } finally {
      cancel()
    }
  }

  const look = async (): Promise<Seen | undefined> => {
    const found = await bounded((signal) => cluster.get(leaseKind, ref, { signal }))
    if (found === undefined) return undefined
    if (seen === undefined || !sameRenewal(seen.lease, found)) return { lease: found, at: clock.now() }
    return { lease: found, at: seen.at }
  }

  /** One try to take or renew; true if the lease is ours now. */
  const tryHold = async (): Promise<boolean> => {
    const started = clock.now()
    seen = await look()
    if (seen !== undefined && !mayTake(seen, holder, clock.now())) return false
    const wanted = heldBy(seen?.lease, ref, holder, clock.now())
    const held = await bounded((signal) =>
      seen === undefined
        ? cluster.create(leaseKind, wanted, { signal })
        : cluster.replace(leaseKind, wanted, { signal }),
    )
    seen = { lease: held, at: clock.now() }
    renewedAt = started
    return true
  }

  const attempt = async (): Promise<boolean> => {
    try {
      return await tryHold()
    } catch (error) {
      stopping.signal.throwIfAborted()
      // someone else was faster; the next look tells who
      if (!hasCode(error, "ApiConflict", "ApiAlreadyExists")) log.warn("the lease could not be held", { error })
      return false
    }
  }

  const lose = (): void => {
    leading.set(0, { name: ref.name })
    log.error("leadership lost")
    leadership.abort(
      new AppError("LeadershipLost", {
        detail: `The lease ${ref.namespace}/${ref.name} could not be renewed in time.`,
      }),
    )
  }

  const run = async (): Promise<void> => {
    while (!(await attempt())) await clock.sleep(leaseTiming.retryMs, stopping.signal)
    leading.set(1, { name: ref.name })
    log.info("leading")
    acquired.resolve()
    for (;;) {
      await clock.sleep(leaseTiming.retryMs, stopping.signal)
      if (await attempt()) continue
      const taken = seen !== undefined && seen.lease.spec?.holderIdentity !== holder
      if (taken || clock.now() - (renewedAt ?? 0) > leaseTiming.renewDeadlineMs) return lose()
    }
  }

  const running = run().catch((error: unknown) => {
    if (!stopping.signal.aborted && !isAbort(error)) log.error("the election ended", { error })
  })

  const release = async (): Promise<void> => {
    if (seen === undefined || renewedAt === undefined || leadership.signal.aborted) return
    const free: Lease = { ...seen.lease, spec: { ...seen.lease.spec, holderIdentity: "", leaseDurationSeconds: 1 } }
    await cluster
      .replace(leaseKind, free, { signal: AbortSignal.timeout(leaseTiming.callMs) })
      .catch((error: unknown) => log.warn("the lease could not be released", { error }))
  }

  let closing: Promise<void> | undefined
  return {
    acquired: acquired.promise,
    signal: leadership.signal,
    isLeader: () => renewedAt !== undefined && !leadership.signal.aborted && !stopping.signal.aborted,
    renewedAgoMs: () => (renewedAt === undefined ? undefined : clock.now() - renewedAt),
    close: () => {
      closing ??= (async () => {
        const stop = new DOMException("The election was closed.", "AbortError")
        stopping.abort(stop)
        acquired.reject(stop)
        await running
        await release()
        leadership.abort(stop)
        leading.set(0, { name: ref.name })
      })()
      return closing
    },
  }
}
