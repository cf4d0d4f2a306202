/** The thread that generates a load (load.ts). */
import { parentPort } from "node:worker_threads"
import { type Counted, type LoadPlan, type OpenRun, openRun } from "./load-run.ts"

/** Messages to the thread: open the connections of a load, then send it. */
export type ToThread = { readonly kind: "open"; readonly plan: LoadPlan } | { readonly kind: "go" }

/** Messages of the thread, one for each message that it gets. */
export type FromThread =
  | { readonly kind: "opened" }
  | { readonly kind: "counted"; readonly counted: Counted }
  | { readonly kind: "failed"; readonly error: string }

let run: OpenRun | undefined

const handle = async (message: ToThread): Promise<FromThread> => {
  try {
    if (message.kind === "open") {
      run = await openRun(message.plan)
      return { kind: "opened" }
    }
    if (run === undefined) throw new Error("no run is open")
    const counted = await run.go()
    run.close()
    return { kind: "counted", counted }
  } catch (error) {
    run?.close()
    return { kind: "failed", error: error instanceof Error ? error.message : String(error) }
  }
}

parentPort?.on("message", async (message: ToThread) => parentPort?.postMessage(await handle(message)))
