import { parseDuration } from "../../api/duration.ts"
import type { MCPInstance } from "../../api/kinds/mcp-instance.ts"
import { type ClockPort, clockSkewMs, leftOf } from "../../ports/clock.ts"
import { watchSilenceMs } from "../../ports/cluster.ts"
import { type StampNeed, stampNeed } from "../../signals/last-used.ts"
import type { InstanceView } from "../know/instance-view.ts"
import type { InstanceId, Written } from "./in-use.ts"

/** Share of `max_instances` above which use is written more often. */
const crowdedShare = 0.8
/** Pause after a failed write: the API server may not be reachable. */
const retryMs = 5_000

/**
 * The earliest moment at which the last recorded use can have happened, in milliseconds since the epoch; -Infinity if
 * none is recorded. The stamps are from other machines, whose clocks may be ahead of ours, so the allowed clock skew is
 * subtracted. A stamp further in the future is ignored. Creation and start count as use.
 */
export const recordedUse = ({ metadata, status }: MCPInstance, now: number): number => {
  let latest = Number.NEGATIVE_INFINITY
  for (const stamp of [status?.lastUsedTime, status?.readyTime, metadata.creationTimestamp]) {
    const at = stamp === undefined ? Number.NaN : Date.parse(stamp) - clockSkewMs
    if (at <= now && at > latest) latest = at
  }
  return latest
}

/** Writes `lastUsedTime`. Never rejects. */
export type WriteStamp = (instance: InstanceId) => Promise<Written>

/**
 * Writes use into `status.lastUsedTime`: at intervals that depend on the idle TTL, one write at a time per instance.
 */
export type UseStamps = {
  /** Writes use if that is due. Returns a promise only if the request must wait for the write before it is sent. */
  touch(instance: MCPInstance): Promise<Written> | undefined
  /**
   * Call it for bytes of a stream. Writes use if that is due, and again later, so that the stream counts as use for
   * `ttlMs` after the call.
   */
  touchStream(instance: MCPInstance, ttlMs: number): void
  /**
   * Call it when a request waits for an instance that has never been ready, by a watch that can be trusted. Readiness
   * counts as use, and it comes after now, so the request's own use need not be written.
   */
  expectReady(uid: string): void
  /** Forgets an instance that was deleted. */
  forget(uid: string): void
  /** Ends all timers: streams no longer count as use. */
  close(): void
}

/** Dependencies of {@link createUseStamps}. */
type StampDeps = {
  readonly clock: ClockPort
  readonly write: WriteStamp
  /** Idle TTL of instances that set none, in milliseconds. */
  readonly idleTTLMs: number
  /** The limit of instances (`max_instances`): above 80 % of it use is written more often. */
  readonly maxInstances: number
  /** The known instances. */
  readonly view: Pick<InstanceView, "get" | "size">
}

type Stream = { until: number; cancel: () => void }

/** Idle TTL of an instance, in milliseconds. */
export const idleTTLOf = (instance: MCPInstance, fallbackMs: number): number =>
  (instance.spec.idleTTL === undefined ? undefined : parseDuration(instance.spec.idleTTL)) ?? fallbackMs

/** Makes it without any stamp. Close it. */
export const createUseStamps = (deps: StampDeps): UseStamps => {
  const { clock, write, view } = deps
  const recorded = new Map<string, number>()
  const failedAt = new Map<string, number>()
  const writing = new Map<string, Promise<Written>>()
  const streams = new Map<string, Stream>()

  const record = (name: string, uid: string): Promise<Written> => {
    const running = writing.get(uid)
    if (running !== undefined) return running
    const at = clock.now()
    const started = write({ name, uid }).then((outcome) => {
      writing.delete(uid)
      if (outcome === "written") {
        recorded.set(uid, at)
        failedAt.delete(uid)
      } else if (outcome === "failed") failedAt.set(uid, clock.now())
      return outcome
    })
    writing.set(uid, started)
    return started
  }

  const need = (instance: MCPInstance, uid: string): StampNeed => {
    const now = clock.now()
    const ttl = idleTTLOf(instance, deps.idleTTLMs)
    const known = recorded.get(uid) ?? Number.NEGATIVE_INFINITY
    // the clock was set back since: it is not known how old this record is
    const own = known > now ? Number.NEGATIVE_INFINITY : known
    const crowded = view.size > crowdedShare * deps.maxInstances
    if (stampNeed(now - own, ttl, crowded) === "none") return "none"
    const latest = Math.max(own, recordedUse(instance, now))
    // kept, so that the next requests need not parse the stamps
    recorded.set(uid, latest)
    const wanted = stampNeed(now - latest, ttl, crowded)
    return wanted !== "none" && leftOf(failedAt.get(uid) ?? Number.NEGATIVE_INFINITY, retryMs, now) > 0
      ? "none"
      : wanted
  }

  const touch = (instance: MCPInstance): Promise<Written> | undefined => {
    const { name, uid = "" } = instance.metadata
    const wanted = need(instance, uid)
    if (wanted === "none") return undefined
    const written = record(name, uid)
    return wanted === "awaited" ? written : undefined
  }

  const prolong = (name: string, uid: string, stepMs: number): void => {
    const stream = streams.get(uid)
    if (stream === undefined) return
    const instance = view.get(name)
    if (instance?.metadata.uid !== uid || clock.now() >= stream.until) return void streams.delete(uid)
    void touch(instance)
    stream.cancel = clock.timer(stepMs, () => prolong(name, uid, stepMs))
  }

  const touchStream = (instance: MCPInstance, ttlMs: number): void => {
    const { name, uid = "" } = instance.metadata
    void touch(instance)
    const idle = idleTTLOf(instance, deps.idleTTLMs)
    if (ttlMs <= idle) return
    const until = clock.now() + ttlMs - idle
    const known = streams.get(uid)
    if (known !== undefined) {
      known.until = until
      return
    }
    const step = idle / 3
    streams.set(uid, { until, cancel: clock.timer(step, () => prolong(name, uid, step)) })
  }

  const endStream = (uid: string): void => {
    streams.get(uid)?.cancel()
    streams.delete(uid)
  }

  return {
    touch,
    touchStream,
    // a trusted watch may be late by this much
    expectReady: (uid) => recorded.set(uid, Math.max(clock.now() - watchSilenceMs, recorded.get(uid) ?? 0)),
    forget: (uid) => {
      recorded.delete(uid)
      failedAt.delete(uid)
      endStream(uid)
    },
    close: () => {
      for (const uid of [...streams.keys()]) endStream(uid)
    },
  }
}
