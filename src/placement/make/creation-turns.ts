import type { ClockPort } from "../../ports/clock.ts"
import { creationsBusy } from "../refusals.ts"

/**
 * Most creations whose writes run at once. A creation is two writes, some 10 ms each, so four at once are more than
 * operator and kubelets start; with more, more creations meet one of another gateway for the same instance.
 */
const mostAtOnce = 4
/**
 * Longest turn, milliseconds. A creation that takes longer goes on beside the next one: if a webhook makes each write
 * slow, users must not wait for each other.
 */
const longestTurnMs = 500
/** Longest wait for a turn, milliseconds: there are too many creations then for one more. */
const longestWaitMs = 30_000

/**
 * Runs a creation's writes when it is its turn, and resolves with the task's result. There are {@link mostAtOnce} turns
 * at a time, each of half a second at most. The task gets true if it has waited for its turn.
 * @throws InstanceStarting after 30 s without a turn; the signal's reason; the task's error
 */
export type CreationTurns = <T>(owner: string, task: (waited: boolean) => Promise<T>, signal: AbortSignal) => Promise<T>

/** One creation that waits; `start` gives it its turn. */
type Waiting = { readonly start: () => void }
/** The waiting creations of one owner, in order of arrival. */
type Queue = { readonly owner: string; readonly waiting: Set<Waiting> }

/** The waiting creations, by owner. Taking one gives each owner the same chance, however many creations it has. */
const createQueues = (random: () => number) => {
  const queues: Queue[] = []
  const byOwner = new Map<string, Queue>()

  const remove = (queue: Queue, waiting: Waiting): boolean => {
    if (!queue.waiting.delete(waiting)) return false
    if (queue.waiting.size > 0) return true
    byOwner.delete(queue.owner)
    const last = queues.pop()
    if (last !== undefined && last !== queue) queues[queues.indexOf(queue)] = last
    return true
  }

  return {
    add: (owner: string, waiting: Waiting): Queue => {
      const queue = byOwner.get(owner) ?? { owner, waiting: new Set() }
      if (queue.waiting.size === 0) {
        byOwner.set(owner, queue)
        queues.push(queue)
      }
      queue.waiting.add(waiting)
      return queue
    },
    /** Removes a creation; false if it does not wait any more. */
    remove,
    /** Removes and returns the first creation of an owner chosen at random; undefined if none waits. */
    take: (): Waiting | undefined => {
      const queue = queues[Math.floor(random() * queues.length)]
      const [first] = queue?.waiting ?? []
      if (queue === undefined || first === undefined) return undefined
      remove(queue, first)
      return first
    },
  }
}

/**
 * Makes the turns of one gateway. When many users come at once, each gateway makes their instances in another order:
 * so a gateway whose turn comes finds most instances made by another gateway already, and writes nothing.
 * `random` returns a number from 0 (inclusive) to 1; default Math.random.
 */
export const createCreationTurns = (deps: {
  readonly clock: ClockPort
  readonly random?: () => number
}): CreationTurns => {
  const queues = createQueues(deps.random ?? Math.random)
  let running = 0

  const wait = (owner: string, signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      const end = (): void => {
        cancel()
        signal.removeEventListener("abort", onAbort)
      }
      const leave = (error: unknown): void => {
        if (!queues.remove(queue, waiting)) return
        end()
        reject(error)
      }
      const start = (): void => {
        end()
        resolve()
      }
      const waiting = { start }
      const queue = queues.add(owner, waiting)
      const cancel = deps.clock.timer(longestWaitMs, () => leave(creationsBusy()))
      const onAbort = (): void => leave(signal.reason)
      signal.addEventListener("abort", onAbort, { once: true })
    })

  /** Begins a turn. The returned function, or the end of the longest turn, passes it to the next creation, once. */
  const begin = (): (() => void) => {
    let passed = false
    const pass = (): void => {
      if (passed) return
      passed = true
      cancel()
      const next = queues.take()
      if (next === undefined) running--
      else next.start()
    }
    const cancel = deps.clock.timer(longestTurnMs, pass)
    return pass
  }

  return async (owner, task, signal) => {
    signal.throwIfAborted()
    const waits = running >= mostAtOnce
    if (waits) await wait(owner, signal)
    else running++
    const pass = begin()
    try {
      return await task(waits)
    } finally {
      pass()
    }
  }
}
