import type { ClockPort } from "../ports/clock.ts"

/** Called by a queue with what happens in it, for metrics. */
export type QueueObserver = {
  /** How many keys wait to be worked on. */
  depth(count: number): void
  /** A key was added. */
  added(): void
  /** The work on a key begins after the key waited for this long. */
  started(waitedMs: number): void
  /** The work on a key ended after this long. */
  finished(workedMs: number): void
  /** A key will be tried again after an error. */
  retried(): void
}

/** Options of a queue. */
type QueueOptions = {
  readonly clock: ClockPort
  /** Most keys that are worked on at the same time. */
  readonly workers: number
  /**
   * Works on a key. Returns after how many milliseconds to do so again; undefined = only when the key is added again.
   */
  readonly work: (key: string, signal: AbortSignal) => Promise<number | undefined>
  /** Milliseconds before the `attempt`-th (from 1) consecutive failure of a key is tried again. */
  readonly backoff: (attempt: number, error: unknown) => number
  readonly onError: (key: string, error: unknown) => void
  readonly observer: QueueObserver
}

/** A queue of keys. A key is worked on by one worker at a time, and waits at most once. */
export type Queue = {
  /** Works on the key as soon as a worker is free; if it is being worked on, once more after that. */
  add(key: string): void
  /** Adds the key after a delay; of several delays the earliest counts. */
  addAfter(key: string, ms: number): void
  /** Forgets the delays and failures of a key whose object was deleted. */
  forget(key: string): void
  /** Milliseconds since the oldest work that still runs began; 0 while nothing runs. */
  longestMs(): number
  /** Aborts running work and resolves when it has ended. */
  close(): Promise<void>
}

/** Makes an empty queue. It starts work as soon as a key is added. */
export const createQueue = (options: QueueOptions): Queue => {
  const { clock, observer } = options
  const ending = new AbortController()
  const waiting = new Map<string, number>()
  const working = new Map<string, Promise<void>>()
  const again = new Set<string>()
  const delayed = new Map<string, { at: number; cancel: () => void }>()
  const failures = new Map<string, number>()
  /** When the work on each key began, in this order. */
  const begun = new Map<string, number>()

  const cancelDelay = (key: string): void => {
    delayed.get(key)?.cancel()
    delayed.delete(key)
  }
  const addAfter = (key: string, ms: number): void => {
    const at = clock.now() + ms
    const before = delayed.get(key)
    if (ending.signal.aborted || (before !== undefined && before.at <= at)) return
    before?.cancel()
    const cancel = clock.timer(ms, () => {
      delayed.delete(key)
      add(key)
    })
    delayed.set(key, { at, cancel })
  }
  const attempt = async (key: string): Promise<void> => {
    try {
      const after = await options.work(key, ending.signal)
      failures.delete(key)
      if (after !== undefined) addAfter(key, after)
    } catch (error) {
      if (ending.signal.aborted) return
      const count = (failures.get(key) ?? 0) + 1
      failures.set(key, count)
      options.onError(key, error)
      observer.retried()
      addAfter(key, options.backoff(count, error))
    }
  }
  const run = async (key: string, since: number): Promise<void> => {
    const from = clock.now()
    begun.set(key, from)
    observer.started(from - since)
    cancelDelay(key)
    await attempt(key)
    observer.finished(clock.now() - from)
    working.delete(key)
    begun.delete(key)
    if (again.delete(key)) add(key)
    fill()
  }
  const fill = (): void => {
    for (const [key, since] of waiting) {
      if (working.size >= options.workers || ending.signal.aborted) break
      waiting.delete(key)
      // begins in a microtask, so that `working` has the key before its work begins
      working.set(
        key,
        Promise.resolve().then(() => run(key, since)),
      )
    }
    observer.depth(waiting.size)
  }
  const add = (key: string): void => {
    if (ending.signal.aborted) return
    observer.added()
    if (working.has(key)) again.add(key)
    else if (!waiting.has(key)) waiting.set(key, clock.now())
    fill()
  }

  return {
    add,
    addAfter,
    forget: (key) => {
      cancelDelay(key)
      failures.delete(key)
    },
    longestMs: () => {
      const [first] = begun.values()
      return first === undefined ? 0 : clock.now() - first
    },
    close: async () => {
      ending.abort()
      for (const key of [...delayed.keys()]) cancelDelay(key)
      waiting.clear()
      await Promise.all(working.values())
    },
  }
}
