/** Announces in a Lease that this gateway runs, so that drains wait until it has acknowledged them. */
import { type Lease, leaseKind } from "../../api/kinds/kubernetes.ts"
import { hasCode } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { ClusterPort, ObjectRef } from "../../ports/cluster.ts"
import type { Logger } from "../../ports/telemetry.ts"
import { presenceKey, presencesIn, presenceTiming } from "../../signals/presence.ts"

/** Pause after a renewal that failed. */
const retryMs = 2_000
/** An annotation of another gateway is removed when it has not changed for this long. */
const abandonedMs = 10 * 60_000
/** How long {@link Presence.close} may take. An annotation that could not be removed expires on the operator's side. */
const closeMs = 2_000

/** Dependencies of {@link announcePresence}. */
type PresenceDeps = {
  readonly cluster: ClusterPort
  readonly clock: ClockPort
  readonly log: Logger
  /** The Lease that all gateways share; each has an annotation on it. */
  readonly lease: ObjectRef
  /** This gateway's name in `inUseBy`. */
  readonly replica: string
}

/** The announcement of a gateway that runs. */
export type Presence = {
  /** Removes the announcement; takes two seconds at most. Call it after the last call has ended. */
  close(): Promise<void>
}

/** Finds the annotations of gateways that have not been renewed for 10 minutes. */
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
    const spec = { leaseDurationSeconds: presenceTiming.ttlMs / 1_000 }
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
 * Announces this gateway and renews the announcement until it is closed; a renewal that fails is logged and tried
 * again. Rejects if the first announcement fails. Call it before the first list of the instances: a drain that begins
 * later waits for this gateway, and an earlier drain is in that list.
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
          log.warn("this gateway could not announce that it runs: drains may end before it knows of them", { error })
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
        .catch((error) => log.debug("a gateway's announcement could not be removed", { replica, error }))
      await Promise.race([removed, clock.sleep(closeMs, limit.signal).catch(() => {})])
      limit.abort()
    },
  }
}
