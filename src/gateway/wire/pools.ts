import type { ClockPort } from "../../ports/clock.ts"

/** A pool of connections to one address. */
type Pool = {
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
}

/** A pool that is in use until released, once for each {@link Pools.lease}. */
export type Lease<P> = { readonly pool: P; release(): void }

/** Connection pools: one per incarnation (and address, and lane), closed when the next incarnation appears. */
type Pools<P> = {
  lease(key: PoolKey): Lease<P>
  /** Ends all connections. */
  close(): Promise<void>
}

const sweepMs = 30_000
const idleMs = 60_000

type Entry<P> = Lease<P> & { active: number; usedAt: number }
/** The pools of an instance, all of them for its newest incarnation. */
type Group<P> = { readonly incarnation: string; readonly entries: Map<string, Entry<P>> }

/** Creates the pools; `open` creates one for an origin. Pools that were not used for a minute are closed. */
export const createPools = <P extends Pool>(open: (origin: string) => P, clock: ClockPort): Pools<P> => {
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
  const openEntry = (origin: string): Entry<P> => {
    const entry: Entry<P> = {
      pool: open(origin),
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
      entry = openEntry(key.origin)
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
