/** Runs at most one task of each key at a time. */
type SingleFlight<T> = (key: string, task: () => Promise<T>) => Promise<T>

/** Makes a runner of tasks: a call while a task of the same key runs gets that task's result, or its error. */
export const createSingleFlight = <T>(): SingleFlight<T> => {
  const running = new Map<string, Promise<T>>()
  return (key, task) => {
    const known = running.get(key)
    if (known !== undefined) return known
    const started = task().finally(() => running.delete(key))
    running.set(key, started)
    return started
  }
}
