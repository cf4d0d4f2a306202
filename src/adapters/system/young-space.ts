import { PerformanceObserver } from "node:perf_hooks"
import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8"

/** Largest half of the space for young objects, in bytes. */
const mostHalf = 8 * 2 ** 20

/**
 * By how much V8 may multiply the space for young objects when it enlarges it next; 1 = not at all.
 * @param bytes what the space takes now, both halves together
 */
export const growthFactor = (bytes: number): number =>
  Math.max(1, Math.min(2, Math.floor(mostHalf / Math.max(1, bytes / 2))))

const youngBytes = (): number =>
  getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space")?.space_size ?? 0

/**
 * Keeps V8 from enlarging its space for young objects to more than twice 8 MiB; by default it goes up to twice 32 MiB,
 * which stay resident. `--max-semi-space-size` would do that for a process that begins, but not for one that runs: there
 * V8 only asks how much the space may grow. So this is decided again after each collection. Without it, a gateway has 30
 * to 40 MiB more after a load, and spends as much CPU time; with twice 4 MiB it spends more. Does nothing on an engine
 * that reports no collections. Returns how to stop.
 */
export const boundYoungSpace = (): (() => void) => {
  let factor = 0
  const observer = new PerformanceObserver(() => {
    const next = growthFactor(youngBytes())
    if (next === factor) return
    factor = next
    setFlagsFromString(`--semi-space-growth-factor=${factor}`)
  })
  observer.observe({ entryTypes: ["gc"] })
  return () => observer.disconnect()
}
