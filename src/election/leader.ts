/** The leader election: the loop that takes and renews the Lease, and the state that it reports. */
import { AppError } from "../errors.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { TelemetryPort } from "../ports/telemetry.ts"
import { createLeaseCalls, type LeaseCallsDeps, leaseTiming } from "./lease.ts"

/** Dependencies of an election. */
type ElectionDeps = LeaseCallsDeps & { readonly telemetry: TelemetryPort }

/** A running election. */
export type Election = {
  /** Resolves when this process leads, or first reads that another does; rejects if the election ends before. */
  readonly answered: Promise<void>
  /** Resolves when this process leads for the first time; rejects with the reason if the election ends before. */
  readonly acquired: Promise<void>
  /** Aborted with `LeadershipLost` when leadership is lost, or with an AbortError on close. */
  readonly signal: AbortSignal
  isLeader(): boolean
  /** False if no try has ended for 30 s: then the loop is stuck, since the longest try takes 14 s. */
  isAlive(): boolean
  /** Stops and, if leading, releases the Lease so that another replica can take it at once. */
  close(): Promise<void>
}

/** Far more than the longest try: up to four calls of 3 s each, and a pause of 2 s. */
const stuckMs = 30_000

/**
 * Calls `onEnd` 10 s after the beginning of the last try that renewed the Lease. Terms count from the beginning of a
 * try, since the API server may have written the Lease at that moment. Timers measure them, so that a change of the
 * system clock has no effect.
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

/** The state of an election: what {@link Election} shows of it, and the transitions that the loop makes. */
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
 * they saw. A Lease has no fencing token: if a leader's process is frozen and resumes later, two leaders may act at the
 * same time for a moment. So the writes of a leader must tolerate a second one.
 */
export const electLeader = (deps: ElectionDeps): Election => {
  const { clock } = deps
  const stopping = new AbortController()
  const state = createState(deps)
  const { hold, release, isOfAnother, end: endCalls } = createLeaseCalls(deps)
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
      if (isOfAnother()) state.lose("is held by another replica")
    }
  }
  const running = run()
    .catch((error: unknown) => {
      if (!ending.aborted) state.log.error("the election ended", { error })
    })
    .finally(() => {
      terms.end()
      endCalls()
    })

  const end = async (): Promise<void> => {
    const reason = new DOMException("The election was closed.", "AbortError")
    stopping.abort(reason)
    await running
    const wasLost = state.signal.aborted
    state.stop(reason)
    if (!wasLost)
      await release().catch((error: unknown) => state.log.warn("the lease could not be released", { error }))
    endCalls()
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
