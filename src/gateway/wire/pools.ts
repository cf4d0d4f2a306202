import { type buildConnector, Pool } from "undici"
import { AppError } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"

const connectTimeoutMs = 2_000
/**
 * How long an idle connection is kept if the server sends no Keep-Alive header, milliseconds: less than Node's default
 * of 5 s, because a request fails on a connection that the server closes first.
 */
const keepAliveMs = 4_000
const longestKeepAliveMs = 60_000
const keepAliveMarginMs = 1_000

/** A pool of connections to one address. */
type Closable = {
  /** Refuses new requests; resolves when the running ones have ended. */
  close(): Promise<void>
  /** Ends all requests and connections now. */
  destroy(): Promise<void>
}

/** Which pool a request uses. */
type PoolKey = {
  readonly instance: string
  readonly incarnation: string
  /** `http://host:port`. */
  readonly origin: string
  /**
   * Streams stay open for hours and have connections of their own: searching for a free connection among thousands of
   * busy ones would slow down every call.
   */
  readonly lane: "call" | "stream"
  /** Present if the server is outside of the cluster: certificates (PEM) that may sign its own; see RemoteWay. */
  readonly remote?: { readonly ca: string | undefined } | undefined
}

/** A pool that is in use until released, once for each {@link Pools.lease}. */
export type Lease<P> = { readonly pool: P; release(): void }

/** Connection pools: one per incarnation (and address, and lane), closed when the next incarnation appears. */
type Pools<P> = {
  lease(key: PoolKey): Lease<P>
  /** Ends all connections. */
  close(): Promise<void>
}

/**
 * Options of the connections to servers. The silence of a body has no limit. The limit for the head of an answer is that
 * of each exchange, because undici's default would end a call after five minutes.
 */
export const connectionOptions: Pool.Options = {
  pipelining: 1,
  connect: { timeout: connectTimeoutMs },
  bodyTimeout: 0,
  headersTimeout: 0,
  keepAliveTimeout: keepAliveMs,
  keepAliveMaxTimeout: longestKeepAliveMs,
  keepAliveTimeoutThreshold: keepAliveMarginMs,
}

/** Makes what opens connections to servers outside of the cluster; `ca` as in RemoteWay. */
export type ConnectRemote = (ca: string | undefined) => buildConnector.connector

/** Makes the function that opens pools: to servers in the cluster directly, to all others through `connectRemote`. */
export const createOpening =
  (connectRemote: ConnectRemote | undefined) =>
  ({ origin, remote }: PoolKey): Pool => {
    if (remote === undefined) return new Pool(origin, connectionOptions)
    if (connectRemote === undefined)
      throw new AppError("Internal", { detail: "This process cannot call servers outside of the cluster." })
    return new Pool(origin, { ...connectionOptions, connect: connectRemote(remote.ca) })
  }

const sweepMs = 30_000
const idleMs = 60_000

type Entry<P> = Lease<P> & { active: number; usedAt: number }
/** The pools of an instance, all of them for its newest incarnation. */
type Group<P> = { readonly incarnation: string; readonly entries: Map<string, Entry<P>> }

/** Creates the pools; `open` creates one for the key of its first request. Pools that were not used for a minute are closed. */
export const createPools = <P extends Closable>(open: (key: PoolKey) => P, clock: ClockPort): Pools<P> => {
  const groups = new Map<string, Group<P>>()
  const closing = new Set<P>()
  let cancelSweep: (() => void) | undefined

  const retire = (entry: Entry<P>): void => {
    closing.add(entry.pool)
    void entry.pool
      .close()
      .catch(() => {})
      .finally(() => closing.delete(entry.pool))
  }
  const sweep = (): void => {
    const limit = clock.now() - idleMs
    for (const [instance, group] of groups) {
      for (const [key, entry] of group.entries) {
        if (entry.active > 0 || entry.usedAt > limit) continue
        group.entries.delete(key)
        retire(entry)
      }
      if (group.entries.size === 0) groups.delete(instance)
    }
    cancelSweep = groups.size === 0 ? undefined : clock.timer(sweepMs, sweep)
  }
  const groupOf = ({ instance, incarnation }: PoolKey): Group<P> => {
    const known = groups.get(instance)
    if (known?.incarnation === incarnation) return known
    for (const entry of known?.entries.values() ?? []) retire(entry)
    const group: Group<P> = { incarnation, entries: new Map() }
    groups.set(instance, group)
    cancelSweep ??= clock.timer(sweepMs, sweep)
    return group
  }
  /** The entry is the lease of all who use it: an object for each of them was garbage of each request. */
  const openEntry = (key: PoolKey): Entry<P> => {
    const entry: Entry<P> = {
      pool: open(key),
      active: 0,
      usedAt: 0,
      release: () => {
        entry.active--
        entry.usedAt = clock.now()
      },
    }
    return entry
  }
  const lease = (key: PoolKey): Lease<P> => {
    const { entries } = groupOf(key)
    const name = key.lane === "call" ? key.origin : `${key.origin} ${key.lane}`
    let entry = entries.get(name)
    if (entry === undefined) {
      entry = openEntry(key)
      entries.set(name, entry)
    }
    entry.active++
    return entry
  }
  const close = async (): Promise<void> => {
    cancelSweep?.()
    const pools = [
      ...[...groups.values()].flatMap((group) => [...group.entries.values()].map((each) => each.pool)),
      ...closing,
    ]
    groups.clear()
    await Promise.allSettled(pools.map((pool) => pool.destroy()))
  }
  return { lease, close }
}
