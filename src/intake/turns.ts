import type { Signal } from "../waiting/in-progress.ts"

/** Shares the turns of the event loop among tasks that read foreign text and take milliseconds. */
export type Turns = {
  /**
   * True once the measured tasks have used the time of this turn, or while others wait: then the caller must await
   * {@link next} before its task.
   */
  isSpent(): boolean
  /** Runs a task now, and counts how long it takes. */
  measure<T>(task: () => T): T
  /**
   * Waits for a later turn. In each turn one waiting task continues: owners alternate, and the tasks of one owner keep
   * their order. So an owner with many tasks delays others by at most one turn for each owner. Rejects with the
   * signal's reason.
   */
  next(owner: string, signal: Signal): Promise<void>
}

/** The time for such tasks in one turn, milliseconds. Once it is used, the next task waits. */
const turnMs = 50

/**
 * A text of more bytes takes milliseconds to read, so the time for such texts in one turn is bounded. Shorter ones need
 * less time than sharing the turns.
 */
export const heavyBytes = 16 * 1_024

type Waiting = { readonly go: () => void }

/**
 * Creates turns; see {@link loopTurns}. One answer of 4 MiB takes up to 200 ms to filter, and a server can complete
 * many at the same moment: in one turn they would block all other requests for the sum of these times.
 */
export const createTurns = (now: () => number = () => performance.now()): Turns => {
  /** Waiting tasks by owner; the next owner is the first. */
  const lines = new Map<string, Set<Waiting>>()
  let spentMs = 0
  let isTurning = false

  const turn = (): void => {
    isTurning = false
    spentMs = 0
    const [first] = lines
    if (first === undefined) return
    const [owner, line] = first
    const [waiting] = line
    lines.delete(owner)
    if (waiting !== undefined) line.delete(waiting)
    // this owner is now the last
    if (line.size > 0) lines.set(owner, line)
    waiting?.go()
    arrange()
  }
  const arrange = (): void => {
    if (isTurning) return
    isTurning = true
    setImmediate(turn)
  }
  return {
    isSpent: () => lines.size > 0 || spentMs >= turnMs,
    measure: (task) => {
      const begun = now()
      try {
        return task()
      } finally {
        spentMs += now() - begun
        // shorter times are only added up: they need no turn of their own
        if (spentMs >= 1) arrange()
      }
    },
    next: (owner, signal) =>
      new Promise((resolve, reject) => {
        const leave = (): void => {
          const line = lines.get(owner)
          line?.delete(waiting)
          if (line?.size === 0) lines.delete(owner)
          reject(signal.reason)
        }
        const waiting: Waiting = {
          go: () => {
            signal.removeEventListener("abort", leave)
            resolve()
          },
        }
        if (signal.aborted) return leave()
        signal.addEventListener("abort", leave, { once: true })
        const line = lines.get(owner) ?? new Set()
        lines.set(owner, line.add(waiting))
        arrange()
      }),
  }
}

/**
 * The turns of this process, which has one event loop: all tasks that read foreign text and take milliseconds share
 * them.
 */
export const loopTurns: Turns = createTurns()
