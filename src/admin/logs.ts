import type { MCPInstance } from "../api/mcp-instance.ts"
import { createMasker, inTurns, maskRead } from "../credentials/mask.ts"
import type { NeedleLease } from "../credentials/needle-share.ts"
import { readComposition } from "../credentials/secret.ts"
import { AppError, hasCode, isAbort } from "../errors.ts"
import { ownerOf } from "../identity/owner.ts"
import type { Answer, Call, Handler } from "./call.ts"
import { isVisible, requireInstance } from "./instances.ts"
import { flagOf, numberOf } from "./page.ts"

const defaultTail = 500
const maxTail = 10_000
/** Most bytes of an answer that does not follow. */
const maxBytes = 4 * 1024 * 1024
/** How long a log is followed, in milliseconds; the client may ask again. */
const followMs = 3_600_000

/** What must be masked in an instance's log; end the lease. */
const needlesOf = async ({ deps, identity, signal }: Call, instance: MCPInstance): Promise<NeedleLease> => {
  const secrets = await readComposition(deps.cluster, instance, { signal })
  if (secrets !== undefined) return await deps.needles.take(ownerOf(identity), secrets, signal)
  throw new AppError("ClusterUnavailable", {
    detail: "The log cannot be shown: the Secret whose values must be masked in it is gone.",
  })
}

/** True for what a cluster says of a Pod that has no log yet, or none any more. */
const isWithoutLog = (error: unknown): boolean => hasCode(error, "ApiInvalid", "ApiNotFound")

const readLog = async (call: Call, instance: MCPInstance, podName: string): Promise<string> => {
  const { deps, query, signal } = call
  const { namespace } = deps
  const part = {
    tailLines: numberOf(query, "tail", { default: defaultTail, max: maxTail }),
    previous: flagOf(query, "previous"),
    limitBytes: maxBytes,
  }
  const { needles, end } = await needlesOf(call, instance)
  try {
    const text = await deps.cluster.podLogs({ namespace, name: podName }, part, { signal })
    return await maskRead(text, needles, maxBytes)
  } catch (error) {
    if (isWithoutLog(error)) return ""
    throw error
  } finally {
    end()
  }
}

/** Most lines, bytes, and characters of one line, that tell why something failed. */
const fewLines = 20
const fewBytes = 64 * 1024
const shortLine = 1_000

/** The last lines of an instance's log, secret values masked; of the life before if the current one is silent. */
export const lastLines = async (call: Call, instance: MCPInstance): Promise<readonly string[]> => {
  const { deps, signal } = call
  const { podName: name } = instance.status ?? {}
  if (name === undefined) return []
  const part = { tailLines: fewLines, limitBytes: fewBytes }
  const read = (previous: boolean) =>
    deps.cluster.podLogs({ namespace: deps.namespace, name }, { ...part, previous }, { signal })
  const { needles, end } = await needlesOf(call, instance)
  try {
    const current = await read(false)
    const text = await maskRead(current.trim() === "" ? await read(true) : current, needles, fewBytes)
    return text
      .split("\n")
      .filter((line) => line.trim() !== "")
      .slice(-fewLines)
      .map((line) => line.slice(0, shortLine))
  } finally {
    end()
  }
}

async function* follow(
  call: Call,
  { podName, lease }: { readonly podName: string; readonly lease: NeedleLease },
  signal: AbortSignal,
): AsyncGenerator<string> {
  const { cluster, namespace } = call.deps
  const tailLines = numberOf(call.query, "tail", { default: defaultTail, max: maxTail })
  const masker = createMasker(lease.needles)
  try {
    for await (const text of cluster.followLogs({ namespace, name: podName }, { tailLines }, { signal }))
      for await (const piece of inTurns(text)) {
        const shown = masker.push(piece)
        if (shown !== "") yield shown
      }
    yield masker.end()
  } catch (error) {
    if (!signal.aborted && !isWithoutLog(error) && !isAbort(error)) throw error
  }
}

type Pieces = {
  readonly start: (signal: AbortSignal) => AsyncGenerator<string>
  /** Called once or more when no piece is asked for any more. */
  readonly over: () => void
}

/** Ends what follows an instance's log in time: after an hour, with the caller's token, or when access is taken away. */
const endInTime = (call: Call, instance: MCPInstance, end: () => void): (() => void) => {
  const { deps, identity } = call
  const left = (identity.expiresAtMs ?? Number.POSITIVE_INFINITY) - deps.clock.now()
  const cancel = deps.clock.timer(Math.min(followMs, left), end)
  const unsubscribe = deps.targets.subscribe(() => {
    if (!isVisible(call, instance)) end()
  })
  return () => {
    cancel()
    unsubscribe()
  }
}

/** A body that ends with its pieces, and ends them when nobody reads it any more or may. */
const toBody = ({ start, over }: Pieces, call: Call, instance: MCPInstance): ReadableStream<Uint8Array> => {
  const stop = new AbortController()
  const pieces = start(stop.signal)
  const finish = (): void => {
    keep()
    stop.abort()
    over()
  }
  const keep = endInTime(call, instance, finish)
  const encoder = new TextEncoder()
  return new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      try {
        const { done, value } = await pieces.next()
        if (done !== true) return controller.enqueue(encoder.encode(value))
        controller.close()
        finish()
      } catch (error) {
        finish()
        throw error
      }
    },
    cancel: finish,
  })
}

/** GET /api/instances/{name}/logs: the container's log, secret values masked. Empty before its first start. */
export const instanceLogs: Handler = async (call): Promise<Answer> => {
  const instance = await requireInstance(call)
  const { podName } = instance.status ?? {}
  // a life that has ended is whole already
  const follows = flagOf(call.query, "follow") && !flagOf(call.query, "previous")
  numberOf(call.query, "tail", { default: defaultTail, max: maxTail })
  if (podName === undefined) return { text: "" }
  if (!follows) return { text: await readLog(call, instance, podName) }
  const lease = await needlesOf(call, instance)
  return {
    text: toBody({ start: (signal) => follow(call, { podName, lease }, signal), over: lease.end }, call, instance),
  }
}
