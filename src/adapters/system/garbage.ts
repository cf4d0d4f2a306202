import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

/** V8's collector; undefined on an engine that does not offer it. */
const exposed = (): (() => void) | undefined => {
  try {
    setFlagsFromString("--expose-gc")
    const collect: unknown = runInNewContext("gc")
    return typeof collect === "function" ? () => collect() : undefined
  } catch {
    return undefined
  }
}

let collector: (() => void) | undefined | "unknown" = "unknown"

/**
 * Collects all garbage at once, and gives its memory back to the operating system. Takes about a millisecond for each
 * megabyte that is in use, during which nothing else runs: only for a moment that has left very much garbage, which V8
 * would keep for minutes otherwise. Does nothing on an engine without such a call.
 */
export const collectGarbage = (): void => {
  if (collector === "unknown") collector = exposed()
  collector?.()
}

/**
 * Lets V8's heap grow by this much over what is in use, in percent, before the garbage is collected again. By default V8
 * chooses up to four times what is in use, the more the faster garbage is made. Does nothing on an engine without such
 * a setting.
 */
export const limitHeapGrowth = (percent: number): void => {
  try {
    setFlagsFromString(`--heap-growing-percent=${percent}`)
  } catch {
    // the heap then grows as the engine likes
  }
}
