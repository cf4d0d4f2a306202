import type { MCPInstance } from "../../api/kinds/mcp-instance.ts"
import { parseDuration } from "../../api/units.ts"
import { type ClockPort, clockSkewMs } from "../../ports/clock.ts"
import { type StampNeed, stampNeed } from "../../signals/last-used.ts"
import type { InstanceView } from "../know/instance-view.ts"
import type { InstanceId, Written } from "./in-use.ts"

/** Share of the limit of instances above which use is recorded more often. */
const crowdedShare = 0.8
/** After a failed write use is not told again for this long: the API server may be away. */
const retryMs = 5_000

/**
 * When use was last recorded, at the earliest, as far as the object tells: its stamps are of other machines, whose clocks
 * may be ahead of ours. One from a future that no clock is allowed tells nothing; a start counts as use.
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

/** Records use in `lastUsedTime`: rarely, once at a time per instance. */
export type UseStamps = {
  /** Records use if that is due; a promise only if it must be awaited before anything is sent. */
  touch(instance: MCPInstance): Promise<Written> | undefined
  /** As {@link UseStamps.touch} for bytes of a stream, which count for `ttlMs` after them. Never awaited. */
  touchStream(instance: MCPInstance, ttlMs: number): void
  /** The instance is gone. */
  forget(uid: string): void
  close(): void
}

/** What recording needs. */
type StampDeps = {
  readonly clock: ClockPort
  readonly write: WriteStamp
  /** Idle TTL of instances that set none, in milliseconds. */
  readonly idleTTLMs: number
  /** The limit of instances: near it use is recorded more often. */
  readonly maxInstances: number
  /** The instances as they are known now. */
  readonly view: Pick<InstanceView, "get" | "size">
}

type Stream = { until: number; cancel: () => void }

/** Idle TTL of an instance, in milliseconds. */
export const idleTTLOf = (instance: MCPInstance, fallbackMs: number): number =>
  (instance.spec.idleTTL === undefined ? undefined : parseDuration(instance.spec.idleTTL)) ?? fallbackMs

/** Makes the recorder. Close it: streams stop counting. */
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
    const own = recorded.get(uid) ?? Number.NEGATIVE_INFINITY
    const crowded = view.size > crowdedShare * deps.maxInstances
    if (stampNeed(now - own, ttl, crowded) === "none") return "none"
    const latest = Math.max(own, recordedUse(instance, now))
    // remembered, so that the next requests need not read the stamps
    recorded.set(uid, latest)
    const wanted = stampNeed(now - latest, ttl, crowded)
    return wanted !== "none" && now - (failedAt.get(uid) ?? Number.NEGATIVE_INFINITY) < retryMs ? "none" : wanted
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
