/** Generates loads in a thread of its own, and measures what they cost a process. */
import { once } from "node:events"
import { Worker } from "node:worker_threads"
import type { Counted, LoadPlan } from "./load-run.ts"
import type { FromThread, ToThread } from "./load-thread.ts"

/** A load, and the process whose CPU time it costs. */
export type Load = LoadPlan & { readonly process?: { cpu(): number } }

/** Result of a run of a load. */
export type LoadResult = Counted & {
  /** Answers per second. */
  readonly perSecond: number
  /** CPU time of the process per request, microseconds; NaN without a process. */
  readonly cpu: number
}

/** Generates loads, one at a time. Its thread lives until it is closed, so that its own code is warm. */
export type LoadGenerator = {
  /**
   * Opens the connections, sends one request on each that does not count, then the load. Throws if an answer is not as
   * expected, or a connection breaks.
   */
  run(load: Load): Promise<LoadResult>
  close(): Promise<void>
}

const receive = async <K extends FromThread["kind"]>(thread: Worker, kind: K) => {
  const [message]: [FromThread] = (await once(thread, "message")) as [FromThread]
  if (message.kind === "failed") throw new Error(message.error)
  if (message.kind !== kind) throw new Error(`the thread of the load sent ${message.kind} instead of ${kind}`)
  return message as Extract<FromThread, { readonly kind: K }>
}

/** Starts the thread of a generator. */
export const startGenerator = (): LoadGenerator => {
  const thread = new Worker(new URL("./load-thread.ts", import.meta.url))
  const post = (message: ToThread) => thread.postMessage(message)
  return {
    run: async ({ process: measured, ...plan }) => {
      post({ kind: "open", plan })
      await receive(thread, "opened")
      const before = measured?.cpu() ?? Number.NaN
      post({ kind: "go" })
      const { counted } = await receive(thread, "counted")
      const after = measured?.cpu() ?? Number.NaN
      return {
        ...counted,
        perSecond: counted.requests / counted.seconds,
        cpu: (after - before) / counted.requests,
      }
    },
    close: async () => {
      await thread.terminate()
    },
  }
}
