/** Runs tasks, a bounded number of them at a time. Of those that wait, the one of the lowest rank is next. */
export type Turns = <T>(rank: number, task: () => Promise<T>) => Promise<T>

type Waiting = { readonly rank: number; readonly begin: () => void }

/** Where a task of this rank belongs in a list that is sorted from the last turn to the next one. */
const placeOf = (rank: number, sorted: readonly Waiting[]): number => {
  let [from, to] = [0, sorted.length]
  while (from < to) {
    const middle = (from + to) >> 1
    if ((sorted[middle]?.rank ?? 0) > rank) from = middle + 1
    else to = middle
  }
  return from
}

/** Makes turns for at most `most` tasks at a time. A task that waits cannot be taken back: it must end by itself. */
export const createTurns = (most: number): Turns => {
  const waiting: Waiting[] = []
  let running = 0

  const wait = (rank: number): Promise<void> =>
    new Promise((begin) => waiting.splice(placeOf(rank, waiting), 0, { rank, begin }))
  /** Passes the turn on; `running` stays the same then, so that no newcomer comes in between. */
  const leave = (): void => {
    const next = waiting.pop()
    if (next === undefined) running--
    else next.begin()
  }

  return async (rank, task) => {
    if (running < most) running++
    else await wait(rank)
    try {
      return await task()
    } finally {
      leave()
    }
  }
}
