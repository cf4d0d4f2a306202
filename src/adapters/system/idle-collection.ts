import { getHeapStatistics } from "node:v8"
import type { ClockPort } from "../../ports/clock.ts"
import { collectGarbage } from "./garbage.ts"

/** What the process uses now. */
type Usage = {
  /** Memory of V8's heap, garbage included, in bytes. */
  readonly heapBytes: number
  /** CPU time since the start of the process, in milliseconds. */
  readonly cpuMs: number
}

/** Dependencies of {@link collectWhenIdle}; by default those of this process. */
type IdleCollectionDeps = {
  readonly clock: ClockPort
  readonly usage?: () => Usage
  readonly collect?: () => void
}

/** Time between two looks, milliseconds. */
const lookMs = 10_000
/** CPU time between two looks up to which the process is idle, milliseconds: much less than real work takes. */
const idleMs = 500
/** How much the heap must have grown since the last collection, bytes: less is not worth the pause. */
const grownBytes = 32 * 2 ** 20

const usageNow = (): Usage => {
  const { user, system } = process.cpuUsage()
  return { heapBytes: getHeapStatistics().total_heap_size, cpuMs: (user + system) / 1_000 }
}

/**
 * Collects all garbage when the process has become idle after work that made its heap grow. V8 collects by what is
 * allocated, so it would keep the garbage of a burst of work for as long as nothing more is done. The collection takes
 * about a millisecond for each megabyte in use: only for a process that nobody waits for. Returns the function that
 * ends it.
 */
export const collectWhenIdle = ({
  clock,
  usage = usageNow,
  collect = collectGarbage,
}: IdleCollectionDeps): (() => void) => {
  let { heapBytes: least, cpuMs: before } = usage()
  const look = (): void => {
    const { heapBytes, cpuMs } = usage()
    const isIdle = cpuMs - before <= idleMs
    before = cpuMs
    // V8 has collected by itself
    least = Math.min(least, heapBytes)
    if (isIdle && heapBytes - least >= grownBytes) {
      collect()
      const after = usage()
      least = after.heapBytes
      before = after.cpuMs
    }
    cancel = clock.timer(lookMs, look)
  }
  let cancel = clock.timer(lookMs, look)
  return () => cancel()
}
