import { parseDuration } from "../api/duration.ts"
import { isTrue } from "../api/kinds/kind.ts"
import { type MCPInstance, mcpInstanceKind, type Phase } from "../api/kinds/mcp-instance.ts"
import { isAbort, toAppError } from "../errors.ts"
import { ownerOf } from "../identity/identity.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { TelemetryPort } from "../ports/telemetry.ts"
import { realSignal } from "../waiting/in-progress.ts"
import { createStillRuns, probe } from "./know/probe.ts"
import type { Reach } from "./know/reachable.ts"
import { removeOrphanedSecrets } from "./make/orphaned-secrets.ts"
import { createParts, type Parts, type PlacementDeps } from "./parts.ts"
import type { Placement, PlacementPort, PlacementRequest } from "./port.ts"
import { holdOver, shuttingDown } from "./refusals.ts"
import { idleTTLOf } from "./use/last-used.ts"
import { createSeating, ensureOpen, isEarly, toWanted, type Visit } from "./visit.ts"

/** The phase of an instance when a request comes; `None` = there is no instance, or it has no phase yet. */
type FoundPhase = Phase | "None"

/** The phase of an instance; `None` without an instance or phase. */
export const phaseOf = (instance: MCPInstance | undefined): FoundPhase => instance?.status?.phase ?? "None"

/** Counts the outcomes of placement. */
type PlacementMetrics = {
  /** Counts a request that was placed without waiting. */
  warm(phase: FoundPhase): void
  /** Counts a request that was refused before its instance was searched. */
  refused(error: unknown): void
  /** Runs a placement that may wait; counts its outcome and duration. `phase`: when the request came. */
  timed<T>(phase: FoundPhase, task: () => Promise<T>): Promise<T>
}

/** Defines placement's metrics. Outcomes are `warm`, `waited`, `left` (the client went away) and error codes. */
export const createPlacementMetrics = (
  telemetry: TelemetryPort,
  clock: ClockPort,
  room: { readonly size: number },
): PlacementMetrics => {
  const outcomes = telemetry.counter({
    name: "reflow_placements_total",
    help: "Requests that were placed, by outcome and by the phase in which they found their instance.",
    labels: ["outcome", "phase"],
  })
  const waits = telemetry.histogram({
    name: "reflow_placement_wait_seconds",
    help: "How long requests waited for their instance.",
    labels: ["outcome"],
    buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 45],
  })
  const waiting = telemetry.gauge({ name: "reflow_waiting_requests", help: "Requests that wait for an instance now." })
  const showSize = (): void => waiting.set(room.size)
  const outcomeOf = (error: unknown): string => (isAbort(error) ? "left" : toAppError(error).code)
  const count = (outcome: string, phase: FoundPhase, since: number): void => {
    outcomes.inc({ outcome, phase })
    waits.observe((clock.now() - since) / 1_000, { outcome })
  }
  /** The numbers of warm requests by phase, of which there are few. */
  const warm = new Map<FoundPhase, ReturnType<typeof outcomes.of>>()
  const warmIn = (phase: FoundPhase): ReturnType<typeof outcomes.of> => {
    const known = warm.get(phase) ?? outcomes.of({ outcome: "warm", phase })
    warm.set(phase, known)
    return known
  }
  return {
    warm: (phase) => warmIn(phase).inc(),
    refused: (error) => outcomes.inc({ outcome: outcomeOf(error), phase: "None" }),
    timed: async (phase, task) => {
      const since = clock.now()
      try {
        const running = task()
        showSize()
        const result = await running
        count("waited", phase, since)
        return result
      } catch (error) {
        count(outcomeOf(error), phase, since)
        throw error
      } finally {
        showSize()
      }
    },
  }
}

/** Longest wait of a request for the write of its use; after that it is sent even if the write has not ended. */
const touchTimeoutMs = 3_000

/** Waits for the write of use, 3 s at most: an API server too slow for it is too slow for deletions too. */
const settled = async (clock: ClockPort, written: Promise<unknown>): Promise<void> => {
  const limit = new AbortController()
  await Promise.race([written, clock.sleep(touchTimeoutMs, limit.signal).catch(() => {})])
  limit.abort()
}

const toPlacement = (reach: Reach, instance: MCPInstance, visit: Visit, waitedMs?: number): Placement | undefined => {
  const url = reach.url(instance, isEarly(visit, instance))
  const { incarnation, timings } = instance.status ?? {}
  if (url === undefined || incarnation === undefined) return undefined
  const { name, uid = "" } = instance.metadata
  const placement = { instance: name, instanceUID: uid, incarnation, url }
  if (waitedMs === undefined) return placement
  return { ...placement, waitedMs, ...(timings === undefined ? {} : { timings }) }
}

type Warm = {
  readonly placement: Placement
  /** Settles when use is written. If present, the request must wait for it, and the decision be made again. */
  readonly touched: Promise<unknown> | undefined
}

/** Where to send the request now; undefined if it must wait. Does no I/O except that it may start the write of use. */
const tryWarm = ({ decide, view, reach, stamps }: Parts, visit: Visit, waitedMs?: number): Warm | undefined => {
  if (decide(visit).verdict !== "warm") return undefined
  const instance = view.get(visit.seat.name)
  const placement = instance === undefined ? undefined : toPlacement(reach, instance, visit, waitedMs)
  if (instance === undefined || placement === undefined) return undefined
  return { placement, touched: stamps.touch(instance) }
}

const hold = async ({ room, attendant }: Parts, visit: Visit, timeoutMs: number): Promise<void> => {
  const { seat, request } = visit
  const wait = {
    name: seat.name,
    question: visit,
    owner: ownerOf(request.identity),
    timeoutMs,
    onTimeout: () => holdOver(seat.name, visit.hold),
    signal: realSignal(request.signal),
  }
  await room.wait(wait, attendant.enter)
}

/** Makes {@link PlacementPort.place}. */
const createPlacing = (deps: PlacementDeps, parts: Parts, stopped: AbortSignal): PlacementPort["place"] => {
  const { clock, options } = deps
  const seatOf = createSeating(options.issuers)
  const metrics = createPlacementMetrics(deps.telemetry, clock, parts.room)

  const visitOf = (request: PlacementRequest): Visit => {
    if (stopped.aborted) throw shuttingDown()
    ensureOpen(request.target)
    const seat = seatOf(request)
    const { podURL, incarnation } = parts.view.get(seat.name)?.status ?? {}
    const met = podURL === undefined ? undefined : incarnation
    return { request, seat, wanted: toWanted(request, seat), met, hold: undefined }
  }

  const enter = (request: PlacementRequest): Visit => {
    try {
      return visitOf(request)
    } catch (error) {
      metrics.refused(error)
      throw error
    }
  }

  /** Decides, waits, writes use, and decides again, until the request may be sent or the hold times out. */
  const placeSlowly = async (visit: Visit, first: Warm | undefined): Promise<Placement> => {
    const since = clock.now()
    const deadline = since + options.hold_timeout
    let warm = first
    for (;;) {
      if (warm?.touched !== undefined) {
        await settled(clock, warm.touched)
        visit.request.signal.throwIfAborted()
        if (parts.decide(visit).verdict === "warm") return warm.placement
      } else if (warm !== undefined) return warm.placement
      const left = deadline - clock.now()
      if (left <= 0) throw holdOver(visit.seat.name, visit.hold)
      await hold(parts, visit, left)
      warm = tryWarm(parts, visit, Math.round(clock.now() - since))
    }
  }

  return (request) => {
    const visit = enter(request)
    const phase = phaseOf(parts.view.get(visit.seat.name))
    const warm = tryWarm(parts, visit)
    if (warm === undefined || warm.touched !== undefined) return metrics.timed(phase, () => placeSlowly(visit, warm))
    metrics.warm(phase)
    return warm.placement
  }
}

export type { PlacementDeps, PlacementOptions } from "./parts.ts"

/** How long a stream without a call is use after its last byte, in ms: target's, configured, or the idle TTL. */
const streamTTL = ({ targets, options }: PlacementDeps, instance: MCPInstance): number => {
  const own = targets.get(instance.spec.targetName)?.spec.streamTTL
  const parsed = own === undefined ? undefined : parseDuration(own)
  return parsed ?? options.stream_ttl ?? idleTTLOf(instance, options.idle_ttl)
}

const readIncarnation = async (
  { cluster, options: { namespace } }: PlacementDeps,
  { view }: Parts,
  { instance, instanceUID }: Placement,
  signal: AbortSignal,
): Promise<string | undefined> => {
  const found = await cluster.get(mcpInstanceKind, { namespace, name: instance }, { signal })
  if (found === undefined) view.learnDeleted(instance, instanceUID)
  else view.learn(found)
  const isSame = found?.metadata.uid === instanceUID && found.metadata.deletionTimestamp === undefined
  return isSame ? found.status?.incarnation : undefined
}

/** Makes placement. Its `close` rejects waiting requests with ShuttingDown and removes this replica's in-use marks. */
export const createPlacement = (deps: PlacementDeps): PlacementPort => {
  const stop = new AbortController()
  const parts = createParts(deps, stop.signal)
  const { view, marks, stamps, notices, reach, room } = parts
  const stopRemovingSecrets = removeOrphanedSecrets({
    cluster: deps.cluster,
    namespace: deps.options.namespace,
    instances: deps.instances,
    clock: deps.clock,
    log: deps.telemetry.log.child({ part: "placement" }),
    signal: stop.signal,
  })

  const close = async (): Promise<void> => {
    stop.abort()
    stopRemovingSecrets()
    room.close(shuttingDown())
    reach.close()
    stamps.close()
    notices.close()
    view.close()
    await marks.close()
  }

  const currentIncarnation: PlacementPort["currentIncarnation"] = (placement, signal) =>
    readIncarnation(deps, parts, placement, signal)

  return {
    place: createPlacing(deps, parts, stop.signal),
    renew: async () => false,
    beginCall: ({ instance, instanceUID }) => {
      const end = marks.beginCall({ name: instance, uid: instanceUID })
      if (isTrue(view.get(instance)?.status?.conditions, "Draining")) void marks.hurry(instanceUID)
      return end
    },
    touchStream: ({ instance, instanceUID }) => {
      const found = view.get(instance)
      if (found?.metadata.uid === instanceUID) stamps.touchStream(found, streamTTL(deps, found))
    },
    currentIncarnation,
    stillRuns: createStillRuns({ currentIncarnation, probe: deps.probe ?? probe, clock: deps.clock }),
    reportUnreachable: ({ instance, incarnation }) => {
      reach.forget(instance, incarnation)
      // the next request waits for a probe; if the read changes the instance, its decision is made again
      view.confirm(instance).catch(() => {})
    },
    close,
  }
}

/** Joins the placement of servers in the cluster and that of servers that somebody else runs, by the target. */
export const eitherPlacement = (inCluster: PlacementPort, remote: PlacementPort): PlacementPort => {
  const of = (placement: Placement): PlacementPort => (placement.remote === undefined ? inCluster : remote)
  return {
    place: (request) => (request.target.spec.remote === undefined ? inCluster : remote).place(request),
    renew: (placement, signal) => of(placement).renew(placement, signal),
    beginCall: (placement) => of(placement).beginCall(placement),
    touchStream: (placement) => of(placement).touchStream(placement),
    currentIncarnation: (placement, signal, knownMs) => of(placement).currentIncarnation(placement, signal, knownMs),
    stillRuns: (placement, signal) => of(placement).stillRuns(placement, signal),
    reportUnreachable: (placement) => of(placement).reportUnreachable(placement),
    close: async () => {
      await Promise.all([inCluster.close(), remote.close()])
    },
  }
}
