import type { MCPTarget } from "../../api/kinds/mcp-target.ts"
import { isRemote } from "../../api/kinds/remote.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { ProbedServer, ProbeRemote, ProbeResult } from "../../ports/remote-probe.ts"
import type { Counter, Logger } from "../../ports/telemetry.ts"
import { backoffMs } from "../../waiting/backoff.ts"
import { createQueue, type QueueObserver } from "../queue.ts"
import { isFailing, remoteAvailability } from "./availability.ts"

/** How long after a good probe the next one comes, milliseconds. */
const usualMs = 3_600_000
/** Pause after a first bad probe, milliseconds; it doubles up to {@link usualMs}. */
const firstRetryMs = 60_000
/** Most probes at the same time. A slow server takes a place for as long as the dial allows: seconds. */
const mostProbes = 8

/**
 * Milliseconds until the next probe after `failures` bad ones in a row. `random` is a number from 0 (inclusive) to 1:
 * the pause is up to a tenth shorter or longer, so that probes of many targets do not stay together. Pure.
 */
export const nextProbeMs = (failures: number, random: number): number => {
  const pause = failures === 0 ? usualMs : backoffMs(failures, { firstMs: firstRetryMs, longestMs: usualMs })
  return pause * (0.9 + random / 5)
}

/** Dependencies of {@link createProbes}. */
type ProbesDeps = {
  readonly clock: ClockPort
  readonly probe: ProbeRemote
  /** The target as it is now; undefined if there is none. */
  readonly target: (name: string) => MCPTarget | undefined
  /** Called after a probe with another result than the one before. */
  readonly onNews: (name: string) => void
  /** Counts probes by the reason that they lead to. */
  readonly count: Pick<Counter, "inc">
  readonly observer: QueueObserver
  readonly log: Logger
  /** Default: `Math.random`. */
  readonly random?: () => number
}

/** What is known about the servers of remote targets. It is in memory only: a new operator probes all of them again. */
export type Probes = {
  /** Probes the target's server as soon as there is a free place. Does nothing for other targets. */
  add(target: MCPTarget): void
  /** Forgets a deleted target, and what was found of its server. */
  forget(target: MCPTarget): void
  /** What was found of the server that the target names now; undefined before its first probe. */
  resultOf(target: MCPTarget): ProbeResult | undefined
  /** Aborts running probes and resolves when they have ended. */
  close(): Promise<void>
}

/** In the place of probes that nobody makes. */
export const noProbes: Probes = { add: () => {}, forget: () => {}, resultOf: () => undefined, close: async () => {} }

/** What was found of a server, and of which: it holds as long as the target names this one. */
type Found = {
  readonly uid: string | undefined
  readonly server: ProbedServer
  readonly generation: number | undefined
  readonly result: ProbeResult
  /** Bad probes in a row. */
  readonly failures: number
}

/** The server that a target names; undefined if there is none to probe. */
const serverOf = (target: MCPTarget | undefined): ProbedServer | undefined => {
  const remote = target?.spec.remote
  if (target === undefined || remote === undefined || !isRemote(target) || target.spec.paused === true) return undefined
  return { url: remote.url, hasOwnCA: remote.caSecret !== undefined }
}

const isSame = (left: ProbedServer | undefined, right: ProbedServer | undefined): boolean =>
  left?.url === right?.url && left?.hasOwnCA === right?.hasOwnCA

/** Starts nothing until a target is added. At most one probe of a target runs at a time. */
export const createProbes = (deps: ProbesDeps): Probes => {
  const { clock, log, random = Math.random } = deps
  const found = new Map<string, Found>()

  const foundOf = (target: MCPTarget): Found | undefined => {
    const known = found.get(target.metadata.name)
    return known?.uid === target.metadata.uid && isSame(known?.server, serverOf(target)) ? known : undefined
  }
  const learn = (target: MCPTarget, server: ProbedServer, result: ProbeResult): number => {
    const { name, uid, generation } = target.metadata
    const before = foundOf(target)
    // who changes a target is repairing it: then the next probes come soon again
    const earlier = before?.generation === generation ? (before?.failures ?? 0) : 0
    const failures = isFailing(target, result) ? earlier + 1 : 0
    const { reason, message } = remoteAvailability(target, result)
    deps.count.inc({ reason })
    log.debug("probed a remote server", { target: name, reason, note: message })
    found.set(name, { uid, server, generation, result, failures })
    if (before === undefined || remoteAvailability(target, before.result).message !== message) deps.onNews(name)
    return nextProbeMs(failures, random())
  }
  /** Probes one server; undefined = not again before the target changes. */
  const work = async (name: string, signal: AbortSignal): Promise<number | undefined> => {
    const target = deps.target(name)
    const server = serverOf(target)
    if (server === undefined) {
      found.delete(name)
      return undefined
    }
    const result = await deps.probe(server, signal)
    signal.throwIfAborted()
    const now = deps.target(name)
    // another server by now: its target is in the queue again
    if (now === undefined || now.metadata.uid !== target?.metadata.uid || !isSame(serverOf(now), server))
      return undefined
    return learn(now, server, result)
  }
  const queue = createQueue({
    clock,
    workers: mostProbes,
    work,
    // a probe rejects only by a fault of the program: as rarely as a server that is gone
    backoff: (attempt) => nextProbeMs(attempt, random()),
    onError: (name, error) => log.warn("a probe of a remote server failed", { target: name, error }),
    observer: deps.observer,
  })
  return {
    add: (target) => {
      if (isRemote(target)) queue.add(target.metadata.name)
    },
    forget: ({ metadata: { name, uid } }) => {
      if (found.get(name)?.uid === uid) found.delete(name)
      // another target may have the name by now
      if (deps.target(name) === undefined) queue.forget(name)
    },
    resultOf: (target) => foundOf(target)?.result,
    close: async () => {
      await queue.close()
      found.clear()
    },
  }
}
