import { type Lease, leaseKind } from "../api/lease.ts"
import { AppError, hasCode } from "../errors.ts"
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
  /** Resolves when the API server has answered for the first time: this process leads, or knows that another one does. */
  readonly answered: Promise<void>
  /** Resolves when this process leads for the first time. */
  readonly acquired: Promise<void>
  /** Aborted with `LeadershipLost` when leadership is lost, or with an AbortError on close. */
  readonly signal: AbortSignal
  isLeader(): boolean
  /** False if no try has ended for far longer than any try can take: the loop is stuck, whatever the API server does. */
  isAlive(): boolean
  /** Stops and, if leading, releases the lease so that another replica starts at once. */
  close(): Promise<void>
}

/** A try is two calls and a wait, 8 s at most. */
const stuckMs = 30_000

const microTime = (ms: number): string => new Date(ms).toISOString().replace(/\.(\d{3})Z$/, ".$1000Z")

const sameRenewal = (before: Lease, after: Lease): boolean =>
  before.spec?.renewTime === after.spec?.renewTime && before.spec?.holderIdentity === after.spec?.holderIdentity

const holderOf = (lease: Lease): string => lease.spec?.holderIdentity ?? ""

const durationOf = (lease: Lease): number => (lease.spec?.leaseDurationSeconds ?? 0) * 1_000 || leaseTiming.durationMs

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
 * What this process knows of the lease. Whether it has run out is told by a timer of our own that starts when a renewal
 * is seen: times that others wrote are never compared with ours, and a clock that is set does not end anybody's lease.
 */
const createSighting = (clock: ClockPort) => {
  let lease: Lease | undefined
  let hasExpired = false
  let cancel = () => {}
  return {
    get lease() {
      return lease
    },
    see: (found: Lease | undefined): void => {
      if (found === undefined || lease === undefined || !sameRenewal(lease, found)) {
        cancel()
        hasExpired = false
        if (found !== undefined) {
          cancel = clock.timer(durationOf(found), () => {
            hasExpired = true
          })
        }
      }
      lease = found
    },
    /** True if the lease is absent, free, ours, or was not renewed for its whole duration while we watched. */
    mayBeTakenBy: (holder: string): boolean =>
      lease === undefined || holderOf(lease) === "" || holderOf(lease) === holder || hasExpired,
    end: () => cancel(),
  }
}

/** Follows `promise`, but rejects at once when the signal is aborted: what is called may be deaf to it. */
const unlessAborted = async <T>(promise: Promise<T>, signal: AbortSignal): Promise<T> => {
  const aborted = Promise.withResolvers<never>()
  const onAbort = () => aborted.reject(signal.reason)
  if (signal.aborted) onAbort()
  else signal.addEventListener("abort", onAbort, { once: true })
  return await Promise.race([aborted.promise, promise])
}

/** The calls about one lease, each bounded in time, and what they have told. */
const createLeaseCalls = ({ cluster, clock, lease: ref, holder }: ElectionDeps) => {
  const sighting = createSighting(clock)
  /** True from the moment we may have written our name until a look says otherwise. */
  let mayHold = false

  const bounded = async <T>(signal: AbortSignal | undefined, call: (signal: AbortSignal) => Promise<T>): Promise<T> => {
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
  const look = async (signal?: AbortSignal): Promise<Lease | undefined> => {
    const found = await bounded(signal, (bound) => cluster.get(leaseKind, ref, { signal: bound }))
    mayHold = found !== undefined && holderOf(found) === holder
    sighting.see(found)
    return found
  }
  const write = async (wanted: Lease, isNew: boolean, signal?: AbortSignal): Promise<void> => {
    mayHold = true
    const written = await bounded(signal, (bound) =>
      isNew
        ? cluster.create(leaseKind, wanted, { signal: bound })
        : cluster.replace(leaseKind, wanted, { signal: bound }),
    )
    sighting.see(written)
  }
  return {
    sighting,
    look,
    /** One try to take or renew. Resolves with whether the lease is ours now. */
    hold: async (signal: AbortSignal): Promise<boolean> => {
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
    /** Frees the lease if it is ours. Looks first: a renewal that was given up may have been written. */
    release: async (): Promise<void> => {
      if (!mayHold) return
      const found = await look()
      if (found === undefined || holderOf(found) !== holder) return
      await write({ ...found, spec: { ...found.spec, holderIdentity: "", leaseDurationSeconds: 1 } }, false)
    },
  }
}

/**
 * Ends leadership that is not renewed. A term counts from the beginning of the try that renewed it, since the API server
 * may have written it then; timers measure it, so that a clock that is set changes nothing.
 */
const createTerms = (clock: ClockPort, onEnd: () => void) => {
  let end = () => {}
  return {
    begin: () => {
      const cancel = clock.timer(leaseTiming.renewDeadlineMs, onEnd)
      return {
        renew: (): void => {
          end()
          end = cancel
        },
        discard: cancel,
      }
    },
    end: () => end(),
  }
}

/** What others see of an election, and how its loop moves it on. */
const createState = ({ telemetry, lease, holder, clock }: ElectionDeps) => {
  const log = telemetry.log.child({ lease: `${lease.namespace}/${lease.name}`, holder })
  const gauge = telemetry.gauge({
    name: "leader_election_master_status",
    help: "1 while this process leads.",
    labels: ["name"],
  })
  const leadership = new AbortController()
  const acquired = Promise.withResolvers<void>()
  const answered = Promise.withResolvers<void>()
  for (const { promise } of [acquired, answered]) promise.catch(() => {})
  let leads = false
  let triedAt = clock.now()
  gauge.set(0, { name: lease.name })

  const stop = (reason: unknown): void => {
    leads = false
    gauge.set(0, { name: lease.name })
    acquired.reject(reason)
    answered.reject(reason)
    leadership.abort(reason)
  }
  return {
    log,
    acquired: acquired.promise,
    answered: answered.promise,
    signal: leadership.signal,
    leads: () => leads,
    isAlive: () => clock.now() - triedAt < stuckMs,
    tried: () => {
      triedAt = clock.now()
    },
    answer: answered.resolve,
    win: () => {
      leads = true
      gauge.set(1, { name: lease.name })
      log.info("leading")
      acquired.resolve()
      answered.resolve()
    },
    lose: (why: string): void => {
      if (!leads) return
      log.error("leadership lost", { why })
      stop(new AppError("LeadershipLost", { detail: `The lease ${lease.namespace}/${lease.name} ${why}.` }))
    },
    stop,
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
  const { clock, holder } = deps
  const stopping = new AbortController()
  const state = createState(deps)
  const { sighting, hold, release } = createLeaseCalls(deps)
  const terms = createTerms(clock, () => state.lose("could not be renewed within 10 s"))
  const ending = AbortSignal.any([stopping.signal, state.signal])

  /** One try. Rejects only when the election ends. */
  const attempt = async (): Promise<boolean> => {
    const term = terms.begin()
    try {
      const held = await hold(ending)
      ending.throwIfAborted()
      if (held) {
        term.renew()
      } else {
        term.discard()
        state.answer()
      }
      return held
    } catch (error) {
      term.discard()
      ending.throwIfAborted()
      state.log.warn("the lease could not be held", { error })
      return false
    } finally {
      state.tried()
    }
  }
  const run = async (): Promise<never> => {
    while (!(await attempt())) await clock.sleep(leaseTiming.retryMs, ending)
    state.win()
    for (;;) {
      await clock.sleep(leaseTiming.retryMs, ending)
      if (await attempt()) continue
      const { lease } = sighting
      if (lease !== undefined && holderOf(lease) !== holder) state.lose("is held by another replica")
    }
  }
  const running = run()
    .catch((error: unknown) => {
      if (!ending.aborted) state.log.error("the election ended", { error })
    })
    .finally(() => {
      terms.end()
      sighting.end()
    })

  const end = async (): Promise<void> => {
    const reason = new DOMException("The election was closed.", "AbortError")
    stopping.abort(reason)
    await running
    const wasLost = state.signal.aborted
    state.stop(reason)
    if (!wasLost)
      await release().catch((error: unknown) => state.log.warn("the lease could not be released", { error }))
    sighting.end()
  }
  let closing: Promise<void> | undefined
  return {
    acquired: state.acquired,
    answered: state.answered,
    signal: state.signal,
    isLeader: () => state.leads() && !stopping.signal.aborted,
    isAlive: state.isAlive,
    close: () => {
      closing ??= end()
      return closing
    },
  }
}
