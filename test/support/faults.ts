import type { Call, Intercept } from "../../src/adapters/memory/client.ts"
import type { WatchFrame } from "../../src/adapters/reflector.ts"
import { AppError, type ErrorCode } from "../../src/errors.ts"
import type { ClockPort } from "../../src/ports/clock.ts"

/** Which calls a fault meets. */
export type FaultPlace = { readonly verb?: Call["verb"]; readonly kind?: string; readonly name?: string }

/** What goes wrong. */
export type Fault = FaultPlace & {
  /** Code of the error; default `ClusterUnavailable`. */
  readonly code?: ErrorCode
  /** How many matching calls pass before; default 0. */
  readonly after?: number
  /** How many matching calls fail; default 1. */
  readonly times?: number
  /** True: the call takes effect, but its answer is lost. */
  readonly answerLost?: boolean
}

/** Faults between a client and the embedded cluster. Pass it as the client's `intercept`. */
export type Faults = Intercept & {
  /** Lets coming calls fail. The returned function lifts the fault. */
  fail(fault: Fault): () => void
  /** Holds each frame of each watch back for `ms` from when the cluster sent it; 0 = no more for those yet to come. */
  lag(ms: number): void
  /** Ends all open watches, as a server does that restarts; with a code, by an ERROR frame. */
  dropWatches(code?: number): void
  /** Every call so far, oldest first. */
  readonly calls: readonly Call[]
}

const meets = (place: FaultPlace, call: Call): boolean =>
  (place.verb ?? call.verb) === call.verb &&
  (place.kind ?? call.kind) === call.kind &&
  (place.name ?? call.name) === call.name

/** Frames that came, each with the time when it may go on; read to the end by the watch they belong to. */
const createQueue = () => {
  const frames: { readonly due: number; readonly frame: WatchFrame }[] = []
  let wake = (): void => {}
  let ended = false
  return {
    frames,
    push: (frame: WatchFrame, due: number) => {
      frames.push({ frame, due })
      wake()
    },
    end: () => {
      ended = true
      wake()
    },
    isEnded: () => ended,
    more: () =>
      new Promise<void>((resolve) => {
        wake = resolve
      }),
  }
}

/** Makes faults that wait on `clock`. */
export const createFaults = (clock: ClockPort): Faults => {
  const active = new Set<Fault & { passed: number; failed: number }>()
  const calls: Call[] = []
  const drops = new Set<(code?: number) => void>()
  let lagMs = 0

  const next = (call: Call): Fault | undefined => {
    for (const fault of active) {
      if (!meets(fault, call) || fault.passed++ < (fault.after ?? 0)) continue
      if (++fault.failed >= (fault.times ?? 1)) active.delete(fault)
      return fault
    }
    return undefined
  }

  async function* frames(source: AsyncIterable<WatchFrame>, _call: Call, signal: AbortSignal) {
    const queue = createQueue()
    const drop = (code?: number): void => {
      if (code !== undefined) queue.push({ type: "ERROR", object: { code } }, clock.now())
      queue.end()
    }
    drops.add(drop)
    signal.addEventListener("abort", queue.end, { once: true })
    const pump = (async () => {
      for await (const frame of source) {
        if (queue.isEnded()) return
        queue.push(frame, clock.now() + lagMs)
      }
      queue.end()
    })()
    pump.catch(() => queue.end())
    try {
      for (;;) {
        const head = queue.frames.shift()
        if (head !== undefined) {
          if (head.due > clock.now()) await clock.sleep(head.due - clock.now(), signal)
          yield head.frame
        } else if (queue.isEnded()) return
        else await queue.more()
      }
    } finally {
      drops.delete(drop)
    }
  }

  return {
    calls,
    call: async (call, run) => {
      calls.push(call)
      const fault = next(call)
      if (fault === undefined) return run()
      if (fault.answerLost === true) await run()
      throw new AppError(fault.code ?? "ClusterUnavailable", {
        detail: `fault: ${call.verb} ${call.kind} ${call.name}`,
      })
    },
    frames,
    fail: (fault) => {
      const entry = { ...fault, passed: 0, failed: 0 }
      active.add(entry)
      return () => void active.delete(entry)
    },
    lag: (ms) => {
      lagMs = ms
    },
    dropWatches: (code) => {
      for (const drop of [...drops]) drop(code)
    },
  }
}
