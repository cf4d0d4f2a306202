import { isTrue } from "../../api/kinds/kind.ts"
import type { MCPInstance } from "../../api/kinds/mcp-instance.ts"
import type { ClockPort } from "../../ports/clock.ts"
import { createStrangers, type ServiceSigns } from "./foreign-answers.ts"
import type { Probe } from "./probe.ts"

/** Pauses between two probes of one address: from the first, growing to the longest. */
const firstPauseMs = 50
const longestPauseMs = 250
/** How long the Service is tried after the Pod has answered. Without success the Pod's address stays in use. */
const serviceTrialMs = 60_000
/** How long the Service alone is tried for a Pod that is Ready: it routes there by then, except in the first moment. */
const serviceLeadMs = 50
/** How long the Service may lag behind the Pod's answer before requests that came later go to the Pod as well. */
const serviceLagMs = 5_000

/** Which addresses of the running instances have answered this replica. */
export type Reach = {
  /**
   * Where to send a request: the Service from its own first answer on. Before that the Pod, to an `early` request at
   * once, to others when the Service lags too far behind. undefined = nothing to send it to yet.
   */
  url(instance: MCPInstance, early: boolean): URL | undefined
  /** Begins to probe the instance's addresses, unless that runs already; it ends when `isWanted` says no. */
  ensure(instance: MCPInstance): void
  /** Drops what is known of an incarnation: the next request probes anew. Without `incarnation`: of whichever there is. */
  forget(name: string, incarnation?: string): void
  close(): void
}

/** What reach needs. */
type ReachDeps = {
  readonly clock: ClockPort
  readonly probe: Probe
  /** True while somebody waits for the instance. */
  readonly isWanted: (name: string) => boolean
  /** Told when an address of the instance answered for the first time, and when its Service has lagged long enough. */
  readonly onReached: (name: string) => void
  /** Told when somebody else answered at the address of a Service, at most once an hour; see foreign-answers.ts. */
  readonly onStranger?: () => void
}

type Life = {
  readonly incarnation: string
  readonly stop: AbortController
  readonly probing: Set<string>
  readonly answered: Map<string, URL>
  readonly signs: ServiceSigns
  /** When the first address answered. */
  reachedAt?: number
}

const addresses = ({ status }: MCPInstance): string[] => [
  ...new Set([status?.podURL, status?.url].filter((url) => url !== undefined)),
]

/** How long to wait with the probe of an address. */
const delayOf = ({ status }: MCPInstance, address: string): number =>
  status?.url !== undefined && address !== status.url && isTrue(status.conditions, "Ready") ? serviceLeadMs : 0

/** Makes an empty reach. Close it: its probes end. */
export const createReach = (deps: ReachDeps): Reach => {
  const { clock, probe, isWanted, onReached } = deps
  const lives = new Map<string, Life>()
  const strangers = createStrangers(clock, deps.onStranger ?? (() => {}))
  let closed = false

  const forget = (name: string, incarnation?: string): void => {
    const life = lives.get(name)
    if (life === undefined || (incarnation !== undefined && life.incarnation !== incarnation)) return
    life.stop.abort()
    lives.delete(name)
  }

  const lifeOf = (instance: MCPInstance, incarnation: string): Life => {
    const { name } = instance.metadata
    const known = lives.get(name)
    if (known?.incarnation === incarnation) return known
    forget(name)
    const life: Life = { incarnation, stop: new AbortController(), probing: new Set(), answered: new Map(), signs: {} }
    lives.set(name, life)
    return life
  }

  const goesOn = (name: string, { stop, reachedAt }: Life): boolean => {
    if (stop.signal.aborted) return false
    return isWanted(name) || (reachedAt !== undefined && clock.now() - reachedAt < serviceTrialMs)
  }

  /** Those who would rather use the Service have waited long enough. */
  const afterLag = async (name: string, { stop }: Life): Promise<void> => {
    await clock.sleep(serviceLagMs, stop.signal).catch(() => {})
    if (!stop.signal.aborted) onReached(name)
  }

  /** One probe: true if the server itself has answered. */
  const ask = async ({ spec, status }: MCPInstance, life: Life, url: URL, address: string): Promise<boolean> => {
    const { signal } = life.stop
    const podURL = status?.podURL
    const { healthPath: path, hostHeader } = spec
    const health = path === undefined ? undefined : { path, hostHeader }
    if (address === podURL || podURL === undefined) return (await probe(url, health, signal)) === "answered"
    // before it is Ready only a connection: a stranger gets no request
    const isReady = life.signs.readyAt !== undefined
    const probed = await probe(url, isReady ? health : undefined, signal)
    const isOpen = async () =>
      life.answered.has(podURL) || (await probe(new URL(podURL), undefined, signal)) === "answered"
    return strangers.judge(life.signs, probed, probed === "answered" && !isReady && (await isOpen()))
  }

  const pursue = async (instance: MCPInstance, life: Life, address: string): Promise<void> => {
    const { name } = instance.metadata
    const url = new URL(address)
    const delay = delayOf(instance, address)
    if (delay > 0) await clock.sleep(delay, life.stop.signal).catch(() => {})
    if (delay > 0 && (life.stop.signal.aborted || life.reachedAt !== undefined)) return
    let pause = firstPauseMs
    do {
      if (await ask(instance, life, url, address)) {
        if (life.stop.signal.aborted) return
        life.answered.set(address, url)
        life.reachedAt ??= clock.now()
        if (address !== instance.status?.url) void afterLag(name, life)
        return onReached(name)
      }
      await clock.sleep(pause, life.stop.signal).catch(() => {})
      pause = Math.min(pause * 1.5, longestPauseMs)
    } while (goesOn(name, life))
  }

  const current = ({ metadata, status }: MCPInstance): Life | undefined => {
    const life = lives.get(metadata.name)
    return status === undefined || life?.incarnation !== status.incarnation ? undefined : life
  }

  const podURL = ({ status }: MCPInstance, { answered, reachedAt }: Life, early: boolean): URL | undefined => {
    if (!early && reachedAt !== undefined && clock.now() - reachedAt < serviceLagMs) return undefined
    return answered.get(status?.podURL ?? "")
  }

  const ensure = (instance: MCPInstance): void => {
    const { incarnation } = instance.status ?? {}
    if (closed || incarnation === undefined) return
    const life = lifeOf(instance, incarnation)
    if (isTrue(instance.status?.conditions, "Ready")) life.signs.readyAt ??= clock.now()
    if (life.answered.has(instance.status?.url ?? "")) return
    for (const address of addresses(instance)) {
      if (life.probing.has(address) || life.answered.has(address) || !URL.canParse(address)) continue
      life.probing.add(address)
      void pursue(instance, life, address).finally(() => life.probing.delete(address))
    }
  }

  return {
    url: (instance, early) => {
      const life = current(instance)
      return life?.answered.get(instance.status?.url ?? "") ?? (life && podURL(instance, life, early))
    },
    ensure,
    forget,
    close: () => {
      closed = true
      for (const name of [...lives.keys()]) forget(name)
    },
  }
}
