/** Runs a task of each key once at a time. */
export type SingleFlight<T> = (key: string, task: () => Promise<T>) => Promise<T>

/** Makes a runner of tasks: those who come while the task of their key runs share its outcome. */
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
