/** This gateway says that it lives, so that a drain waits until it has seen it. */
import { type Lease, leaseKind } from "../../api/kinds/kubernetes.ts"
import { hasCode } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { ClusterPort, ObjectRef } from "../../ports/cluster.ts"
import type { Logger } from "../../ports/telemetry.ts"
import { presenceKey, presencesIn, presenceTiming } from "../../signals/presence.ts"

/** Pause after a renewal that failed. */
const retryMs = 2_000
/** What another gateway left is removed when it has not changed for this long. */
const abandonedMs = 10 * 60_000
/** How long {@link Presence.close} may take: what could not be removed counts as dead by itself. */
const closeMs = 2_000

/** What saying so needs. */
type PresenceDeps = {
  readonly cluster: ClusterPort
  readonly clock: ClockPort
  readonly log: Logger
  /** The Lease that all gateways share. */
  readonly lease: ObjectRef
  /** This gateway's name in `inUseBy`. */
  readonly replica: string
}

/** A gateway's word that it lives. */
export type Presence = {
  /** Takes it back, within two seconds. Call it after the last call has ended. */
  close(): Promise<void>
}

/** Which annotations of others have not changed for so long that nobody renews them any more. */
const createAbandoned = (clock: ClockPort) => {
  const seen = new Map<string, { readonly value: string; readonly at: number }>()
  return {
    see: (lease: Lease): void => {
      const present = presencesIn(lease)
      for (const replica of seen.keys()) if (!present.has(replica)) seen.delete(replica)
      for (const [replica, value] of present)
        if (seen.get(replica)?.value !== value) seen.set(replica, { value, at: clock.now() })
    },
    replicas: (): readonly string[] =>
      [...seen].filter(([, { at }]) => clock.now() - at >= abandonedMs).map(([replica]) => replica),
  }
}

const createWriter = ({ cluster, clock, lease, replica }: PresenceDeps) => {
  const abandoned = createAbandoned(clock)
  const patch = async (own: string | null, signal: AbortSignal): Promise<void> => {
    const others = abandoned.replicas().map((each) => [presenceKey(each), null] as const)
    const annotations = { ...Object.fromEntries(others), [presenceKey(replica)]: own }
    abandoned.see(await cluster.mergePatch(leaseKind, lease, { metadata: { annotations } }, { signal }))
  }
  const make = async (signal: AbortSignal): Promise<void> => {
    const { apiVersion, kind } = leaseKind
    const spec = { leaseDurationSeconds: presenceTiming.lifeMs / 1_000 }
    try {
      await cluster.create(leaseKind, { apiVersion, kind, metadata: lease, spec }, { signal })
    } catch (error) {
      if (!hasCode(error, "ApiAlreadyExists")) throw error
    }
  }
  return {
    renew: async (signal: AbortSignal): Promise<void> => {
      const now = new Date(clock.now()).toISOString()
      try {
        await patch(now, signal)
      } catch (error) {
        if (!hasCode(error, "ApiNotFound")) throw error
        await make(signal)
        await patch(now, signal)
      }
    },
    remove: (signal: AbortSignal): Promise<void> => patch(null, signal),
  }
}

/**
 * Says that this gateway lives, and goes on saying so until it is closed; a renewal that fails is tried again and disturbs
 * nothing. Rejects if it cannot be said the first time. Say it before the first look at the instances: a drain that begins
 * later waits for this gateway, an earlier one is seen by that look.
 */
export const announcePresence = async (deps: PresenceDeps, signal: AbortSignal): Promise<Presence> => {
  const { clock, log, replica } = deps
  const { renew, remove } = createWriter(deps)
  await renew(signal)
  const stop = new AbortController()

  const run = async (): Promise<void> => {
    let failing = false
    while (!stop.signal.aborted) {
      await clock.sleep(failing ? retryMs : presenceTiming.renewMs, stop.signal)
      try {
        await renew(stop.signal)
        failing = false
      } catch (error) {
        if (!failing && !stop.signal.aborted)
          log.warn("this gateway could not say that it lives: drains may end before it knows of them", { error })
        failing = true
      }
    }
  }
  const running = run().catch(() => {})

  return {
    close: async () => {
      stop.abort()
      const limit = new AbortController()
      const removed = running
        .then(() => remove(limit.signal))
        .catch((error) => log.debug("a gateway's end could not be told", { replica, error }))
      await Promise.race([removed, clock.sleep(closeMs, limit.signal).catch(() => {})])
      limit.abort()
    },
  }
}
