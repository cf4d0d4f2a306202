import { isTrue } from "../../api/kinds/kind.ts"
import type { MCPInstance } from "../../api/kinds/mcp-instance.ts"
import type { ClockPort } from "../../ports/clock.ts"
import { createStrangers, type ServiceSigns } from "./foreign-answers.ts"
import { type Probe, probeTimeoutMs } from "./probe.ts"

/**
 * Pauses between two probes of one address: each is 1.25 times the one before, up to the longest. They are short at first,
 * because most servers listen within half a second after their Pod has an address, and a user waits for that moment.
 */
const firstPauseMs = 20
const pauseGrowth = 1.25
const longestPauseMs = 250

/** Shortest limit for the connection of a probe; it grows with the pauses, for networks that take longer. */
const firstConnectMs = 50

const connectMsAfter = (pause: number): number =>
  Math.min(Math.max(Math.round(2 * pause), firstConnectMs), probeTimeoutMs)
/** How long the Service is probed after the Pod has answered. Without success the Pod's address stays in use. */
const serviceTrialMs = 60_000
/** How long only the Service is probed if the Pod is Ready: normally it routes there by then. */
const serviceLeadMs = 50
/** How long the Service may answer later than the Pod before all requests go to the Pod, not only early ones. */
const serviceLagMs = 5_000

/** The addresses of running instances that have answered a probe of this replica. */
export type Reach = {
  /**
   * Where to send a request: to the Service once it has answered. Before that to the Pod: an `early` request (see
   * {@link isEarly} in visit.ts) at once, others when the Service is more than 5 s late. undefined = no address has
   * answered yet.
   */
  url(instance: MCPInstance, early: boolean): URL | undefined
  /**
   * Starts to probe the instance's addresses if that does not run yet. An address is probed until it answers, or no
   * request waits; the Service is probed for 60 s after the Pod has answered.
   */
  ensure(instance: MCPInstance): void
  /** Forgets the addresses of an incarnation (default: the current one): the next request probes again. */
  forget(name: string, incarnation?: string): void
  close(): void
}

/** Dependencies of reach. */
type ReachDeps = {
  readonly clock: ClockPort
  readonly probe: Probe
  /** True while requests wait for the instance. */
  readonly isWanted: (name: string) => boolean
  /** Called when an address of the instance answered for the first time, and 5 s after the Pod's did. */
  readonly onReached: (name: string) => void
  /** Called when a stranger answered at the address of a Service and none has for an hour; see foreign-answers.ts. */
  readonly onStranger?: () => void
}

/** What is known of the addresses of one incarnation. */
type Reached = {
  readonly incarnation: string
  readonly stop: AbortController
  readonly probing: Set<string>
  readonly answered: Map<string, URL>
  readonly signs: ServiceSigns
  /** When the first address answered. */
  reachedAt?: number
}

/** One probe: the address as the instance has it and as URL, and the limit for the connection in milliseconds. */
type Asked = { readonly url: URL; readonly address: string; readonly connectMs: number }

const addresses = ({ status }: MCPInstance): string[] => [
  ...new Set([status?.podURL, status?.url].filter((url) => url !== undefined)),
]

/** How long to wait before an address is probed, in milliseconds. */
const delayOf = ({ status }: MCPInstance, address: string): number =>
  status?.url !== undefined && address !== status.url && isTrue(status.conditions, "Ready") ? serviceLeadMs : 0

/** Makes an empty reach. Close it: its probes end. */
export const createReach = (deps: ReachDeps): Reach => {
  const { clock, probe, isWanted, onReached } = deps
  const known = new Map<string, Reached>()
  const strangers = createStrangers(clock, deps.onStranger ?? (() => {}))
  let closed = false

  const forget = (name: string, incarnation?: string): void => {
    const reached = known.get(name)
    if (reached === undefined || (incarnation !== undefined && reached.incarnation !== incarnation)) return
    reached.stop.abort()
    known.delete(name)
  }

  const reachedOf = (instance: MCPInstance, incarnation: string): Reached => {
    const { name } = instance.metadata
    const before = known.get(name)
    if (before?.incarnation === incarnation) return before
    forget(name)
    const reached: Reached = {
      incarnation,
      stop: new AbortController(),
      probing: new Set(),
      answered: new Map(),
      signs: {},
    }
    known.set(name, reached)
    return reached
  }

  const goesOn = (name: string, { stop, reachedAt }: Reached): boolean => {
    if (stop.signal.aborted) return false
    return isWanted(name) || (reachedAt !== undefined && clock.now() - reachedAt < serviceTrialMs)
  }

  /** Calls `onReached` when requests that prefer the Service may use the Pod. */
  const afterLag = async (name: string, { stop }: Reached): Promise<void> => {
    await clock.sleep(serviceLagMs, stop.signal).catch(() => {})
    if (!stop.signal.aborted) onReached(name)
  }

  /** Probes one address once; true if the server itself has answered. */
  const ask = async ({ spec, status }: MCPInstance, reached: Reached, asked: Asked): Promise<boolean> => {
    const { url, address, connectMs } = asked
    const { signal } = reached.stop
    const podURL = status?.podURL
    const { healthPath: path, hostHeader } = spec
    const health = path === undefined ? undefined : { path, hostHeader }
    if (address === podURL || podURL === undefined) return (await probe(url, health, signal, connectMs)) === "answered"
    // before the Pod is Ready only a TCP connect, so that a stranger gets no request
    const isReady = reached.signs.readyAt !== undefined
    const probed = await probe(url, isReady ? health : undefined, signal, connectMs)
    const isOpen = async () =>
      reached.answered.has(podURL) || (await probe(new URL(podURL), undefined, signal)) === "answered"
    return strangers.judge(reached.signs, probed, probed === "answered" && !isReady && (await isOpen()))
  }

  const pursue = async (instance: MCPInstance, reached: Reached, address: string): Promise<void> => {
    const { name } = instance.metadata
    const url = new URL(address)
    const delay = delayOf(instance, address)
    if (delay > 0) await clock.sleep(delay, reached.stop.signal).catch(() => {})
    if (delay > 0 && (reached.stop.signal.aborted || reached.reachedAt !== undefined)) return
    let pause = firstPauseMs
    do {
      if (await ask(instance, reached, { url, address, connectMs: connectMsAfter(pause) })) {
        if (reached.stop.signal.aborted) return
        reached.answered.set(address, url)
        reached.reachedAt ??= clock.now()
        if (address !== instance.status?.url) void afterLag(name, reached)
        return onReached(name)
      }
      await clock.sleep(pause, reached.stop.signal).catch(() => {})
      pause = Math.min(pause * pauseGrowth, longestPauseMs)
    } while (goesOn(name, reached))
  }

  const current = ({ metadata, status }: MCPInstance): Reached | undefined => {
    const reached = known.get(metadata.name)
    return status === undefined || reached?.incarnation !== status.incarnation ? undefined : reached
  }

  const podURL = ({ status }: MCPInstance, { answered, reachedAt }: Reached, early: boolean): URL | undefined => {
    if (!early && reachedAt !== undefined && clock.now() - reachedAt < serviceLagMs) return undefined
    return answered.get(status?.podURL ?? "")
  }

  const ensure = (instance: MCPInstance): void => {
    const { incarnation } = instance.status ?? {}
    if (closed || incarnation === undefined) return
    const reached = reachedOf(instance, incarnation)
    if (isTrue(instance.status?.conditions, "Ready")) reached.signs.readyAt ??= clock.now()
    if (reached.answered.has(instance.status?.url ?? "")) return
    for (const address of addresses(instance)) {
      if (reached.probing.has(address) || reached.answered.has(address) || !URL.canParse(address)) continue
      reached.probing.add(address)
      void pursue(instance, reached, address).finally(() => reached.probing.delete(address))
    }
  }

  return {
    url: (instance, early) => {
      const reached = current(instance)
      return reached?.answered.get(instance.status?.url ?? "") ?? (reached && podURL(instance, reached, early))
    },
    ensure,
    forget,
    close: () => {
      closed = true
      for (const name of [...known.keys()]) forget(name)
    },
  }
}
