import type { MCPInstance } from "../../api/mcp-instance.ts"
import { ownerOf } from "../../identity/owner.ts"
import type { ClockPort } from "../../ports/clock.ts"
import { ensureOpen, holdOver, shuttingDown } from "./errors.ts"
import { createPlacementMetrics, phaseOf } from "./metrics.ts"
import type { Parts, PlacementDeps } from "./parts.ts"
import type { Placement, PlacementPort, PlacementRequest } from "./port.ts"
import type { Reach } from "./reach.ts"
import { createSeating, toWanted } from "./seat.ts"
import { isEarly, type Visit } from "./service.ts"

/** How long a request waits for the record of its use before it goes on without. */
const touchTimeoutMs = 3_000

/** Waits for the record of use, or goes on without: an API server that is too slow to take it does not collect either. */
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
  /** Settles when use is recorded; if it is there the request waits for it and looks again. */
  readonly touched: Promise<unknown> | undefined
}

/** Where the request may be sent now, if anywhere. No I/O but the record of use. */
const tryWarm = ({ look, view, reach, stamps }: Parts, visit: Visit, waitedMs?: number): Warm | undefined => {
  if (look(visit).verdict !== "warm") return undefined
  const instance = view.get(visit.seat.name)
  const placement = instance === undefined ? undefined : toPlacement(reach, instance, visit, waitedMs)
  if (instance === undefined || placement === undefined) return undefined
  return { placement, touched: stamps.touch(instance) }
}

const hold = async ({ room, service }: Parts, visit: Visit, timeoutMs: number): Promise<void> => {
  const { seat, request } = visit
  const wait = {
    name: seat.name,
    question: visit,
    owner: ownerOf(request.identity),
    timeoutMs,
    onTimeout: () => holdOver(seat.name, visit.hold),
    signal: request.signal,
  }
  await room.wait(wait, service.enter)
}

/** Makes `place` of the placement port. */
export const createPlacing = (deps: PlacementDeps, parts: Parts, stopped: AbortSignal): PlacementPort["place"] => {
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

  /** Looks, waits, records use, and looks again, until the request may go or the hold is over. */
  const placeSlowly = async (visit: Visit, first: Warm | undefined): Promise<Placement> => {
    const since = clock.now()
    const deadline = since + options.hold_timeout
    let warm = first
    for (;;) {
      if (warm?.touched !== undefined) {
        await settled(clock, warm.touched)
        visit.request.signal.throwIfAborted()
        if (parts.look(visit).verdict === "warm") return warm.placement
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
