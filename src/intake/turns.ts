/** Shares out the turns of the event loop among work on foreign text that takes milliseconds. */
export type Turns = {
  /** True once the work that was measured in this turn has taken its time: more of it waits for {@link next}. */
  isSpent(): boolean
  /** Does work now, and counts how long it takes. */
  measure<T>(task: () => T): T
  /**
   * Waits for a later turn, in each of which one goes on: owners by turns, and of one owner whoever came first. So however
   * much one owner has to do, others wait no longer than a turn for each owner. Rejects with the signal's reason.
   */
  next(owner: string, signal: AbortSignal): Promise<void>
}

/** How long such work may take in one turn until the next piece of it waits, milliseconds. */
const turnMs = 50

type Waiting = { readonly go: () => void }

/**
 * Makes turns; see {@link loopTurns}. One answer of 4 MiB takes up to 200 ms to filter, and a server can complete many at
 * the same moment: done in one turn they would add up for everybody else.
 */
export const createTurns = (now: () => number = () => performance.now()): Turns => {
  /** Who waits, by owner; the owner who is next stands first. */
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
    // behind all others
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
        // less than that adds up to nothing worth a turn of its own
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

/** The turns of this process: it has one event loop, so whatever work on foreign text takes milliseconds shares these. */
export const loopTurns: Turns = createTurns()
