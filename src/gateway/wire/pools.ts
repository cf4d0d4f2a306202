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

/** A pool that is in use until released. */
export type Lease<P> = { readonly pool: P; readonly release: () => void }

/** Connection pools: one per incarnation (and address, and lane), closed when the next incarnation appears. */
type Pools<P> = {
  lease(key: PoolKey): Lease<P>
  /** Ends all connections. */
  close(): Promise<void>
}

const sweepMs = 30_000
const idleMs = 60_000

type Entry<P> = { readonly pool: P; active: number; usedAt: number }
type Home<P> = { readonly incarnation: string; readonly entries: Map<string, Entry<P>> }

/** Creates the pools; `open` creates one for an origin. Pools that were not used for a minute are closed. */
export const createPools = <P extends Pool>(open: (origin: string) => P, clock: ClockPort): Pools<P> => {
  const homes = new Map<string, Home<P>>()
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
    for (const [instance, home] of homes) {
      for (const [key, entry] of home.entries) {
        if (entry.active > 0 || entry.usedAt > limit) continue
        home.entries.delete(key)
        retire(entry)
      }
      if (home.entries.size === 0) homes.delete(instance)
    }
    cancelSweep = homes.size === 0 ? undefined : clock.timer(sweepMs, sweep)
  }
  const homeOf = ({ instance, incarnation }: PoolKey): Home<P> => {
    const known = homes.get(instance)
    if (known?.incarnation === incarnation) return known
    for (const entry of known?.entries.values() ?? []) retire(entry)
    const home: Home<P> = { incarnation, entries: new Map() }
    homes.set(instance, home)
    cancelSweep ??= clock.timer(sweepMs, sweep)
    return home
  }
  const lease = (key: PoolKey): Lease<P> => {
    const { entries } = homeOf(key)
    const name = key.lane === "call" ? key.origin : `${key.origin} ${key.lane}`
    let entry = entries.get(name)
    if (entry === undefined) {
      entry = { pool: open(key.origin), active: 0, usedAt: 0 }
      entries.set(name, entry)
    }
    const used = entry
    used.active++
    return {
      pool: used.pool,
      release: () => {
        used.active--
        used.usedAt = clock.now()
      },
    }
  }
  const close = async (): Promise<void> => {
    cancelSweep?.()
    const pools = [
      ...[...homes.values()].flatMap((home) => [...home.entries.values()].map((each) => each.pool)),
      ...closing,
    ]
    homes.clear()
    await Promise.allSettled(pools.map((pool) => pool.destroy()))
  }
  return { lease, close }
}
