/** What a program does about its memory while its role runs: V8 by itself collects no garbage while nothing happens. */
import { collectGarbage, collectYoungGarbage } from "../adapters/system/garbage.ts"
import { boundHeapGrowth } from "../adapters/system/heap-growth.ts"
import type { RunningRole } from "./role.ts"

/** Bounds how V8 enlarges its heap; before anything else, because V8 learns from the start of a program. */
export const boundMemory = (): void => void boundHeapGrowth()

/** How the process stands. */
type Standing = {
  /** Bytes of the heap, garbage among them. */
  readonly used: number
  /** The same right after the last collection that was asked for. */
  readonly kept: number
  /** CPU time since the last look, as a share of that time. */
  readonly busy: number
}

/**
 * Less garbage is not worth a collection: V8 forgets with it what it has compiled for objects of which there are none at
 * the moment, and the next 20,000 calls take up to twice the CPU time. The load of an ordinary minute leaves less.
 */
const leastGarbage = 100 * 2 ** 20
/**
 * A process that works more than this does not stop for a collection; V8 collects while it works. At rest a role uses
 * 0.5 to 2%, on a slow machine.
 */
const mostBusy = 0.05

/**
 * True if a process is at rest with so much garbage that it collects it. It is blocked for about a millisecond for each
 * megabyte that is in use.
 */
export const isLittered = ({ used, kept, busy }: Standing): boolean =>
  busy <= mostBusy && used - kept >= Math.max(leastGarbage, kept / 2)

/** Time between two looks, milliseconds. */
const lookMs = 5_000

/** At so many looks after a collection the pages that it has emptied are returned: V8 holds them for some seconds. */
const returningLooks = 3

/**
 * Keeps the memory of a role's process small, until the process ends. Collects what the start has left, and later
 * whatever is left when the process rests, as after thousands of streams were closed.
 */
export const keepMemorySmall = ({ ready }: Pick<RunningRole, "ready">): void => {
  let kept = Number.POSITIVE_INFINITY
  let spent = process.cpuUsage()
  let returning = 0
  const collect = (): void => {
    collectGarbage()
    kept = process.memoryUsage().heapUsed
    returning = returningLooks
    // only the next full collection takes the emptied pages from the heap
    setImmediate(collectGarbage)
  }
  const look = (): void => {
    const { user, system } = process.cpuUsage(spent)
    spent = process.cpuUsage()
    const busy = (user + system) / (lookMs * 1_000)
    if (isLittered({ used: process.memoryUsage().heapUsed, kept, busy })) collect()
    else if (returning > 0) {
      returning--
      collectYoungGarbage()
    }
  }
  // also before the first load: V8 lets a heap that was never collected grow without a limit that fits it
  ready.then(collect, () => {})
  setInterval(look, lookMs).unref()
}
