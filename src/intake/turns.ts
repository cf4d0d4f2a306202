/** Shares out the turns of the event loop among work on foreign text that takes milliseconds. */
export type Turns = {
  /** True once the work that was measured in this turn has taken its time: more of it waits for {@link next}. */
  isSpent(): boolean
  /** Does work now, and counts how long it takes. */
  measure<T>(task: () => T): T
  /** Waits for a later turn: one who waits in each, whoever came first goes first. Rejects with the signal's reason. */
  next(signal: AbortSignal): Promise<void>
}

/** How long such work may take in one turn until the next piece of it waits, milliseconds. */
const turnMs = 50

type Waiting = { readonly go: () => void }

/**
 * Makes turns for one process. One answer of 4 MiB takes up to 200 ms to filter, and a server can complete many at the same
 * moment: done in one turn they would add up for everybody else.
 */
export const createTurns = (now: () => number = () => performance.now()): Turns => {
  const queue = new Set<Waiting>()
  let spentMs = 0
  let isTurning = false

  const turn = (): void => {
    isTurning = false
    spentMs = 0
    const [first] = queue
    if (first === undefined) return
    queue.delete(first)
    first.go()
    arrange()
  }
  const arrange = (): void => {
    if (isTurning) return
    isTurning = true
    setImmediate(turn)
  }
  return {
    isSpent: () => queue.size > 0 || spentMs >= turnMs,
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
    next: (signal) =>
      new Promise((resolve, reject) => {
        const leave = (): void => {
          queue.delete(waiting)
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
        queue.add(waiting)
        arrange()
      }),
  }
}
