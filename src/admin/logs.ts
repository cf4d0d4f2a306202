import type { MCPInstance } from "../api/mcp-instance.ts"
import { createMasker, mask } from "../credentials/mask.ts"
import { readComposition } from "../credentials/secret.ts"
import { AppError, hasCode, isAbort } from "../errors.ts"
import type { Answer, Call, Handler } from "./call.ts"
import { requireInstance } from "./instances.ts"
import { flagOf, numberOf } from "./page.ts"

const defaultTail = 500
const maxTail = 10_000
/** Most bytes of an answer that does not follow. */
const maxBytes = 4 * 1024 * 1024
/** How long a log is followed, in milliseconds; the client may ask again. */
const followMs = 3_600_000

const secretsOf = async ({ deps, signal }: Call, instance: MCPInstance): Promise<readonly string[]> => {
  const secrets = await readComposition(deps.cluster, instance, { signal })
  if (secrets !== undefined) return secrets
  throw new AppError("ClusterUnavailable", {
    detail: "The log cannot be shown: the Secret whose values must be masked in it is gone.",
  })
}

/** True for what a cluster says of a Pod that has no log yet, or none any more. */
const isWithoutLog = (error: unknown): boolean => hasCode(error, "ApiInvalid", "ApiNotFound")

const readLog = async (call: Call, instance: MCPInstance, podName: string): Promise<string> => {
  const { deps, query, signal } = call
  const { namespace } = deps
  const secrets = await secretsOf(call, instance)
  const part = {
    tailLines: numberOf(query, "tail", { default: defaultTail, max: maxTail }),
    previous: flagOf(query, "previous"),
    limitBytes: maxBytes,
  }
  try {
    const text = await deps.cluster.podLogs({ namespace, name: podName }, part, { signal })
    // a read that was cut may have cut a secret in its last line
    const whole = Buffer.byteLength(text) >= maxBytes ? text.slice(0, text.lastIndexOf("\n") + 1) : text
    return mask(whole, secrets)
  } catch (error) {
    if (isWithoutLog(error)) return ""
    throw error
  }
}

/** Most lines, and most characters of one, that tell why something failed. */
const fewLines = 20
const shortLine = 1_000

/** The last lines of an instance's log, secret values masked; of the life before if the current one is silent. */
export const lastLines = async (call: Call, instance: MCPInstance): Promise<readonly string[]> => {
  const { deps, signal } = call
  const { podName: name } = instance.status ?? {}
  if (name === undefined) return []
  const secrets = await secretsOf(call, instance)
  const read = (previous: boolean) =>
    deps.cluster.podLogs({ namespace: deps.namespace, name }, { tailLines: fewLines, previous }, { signal })
  const current = await read(false)
  const text = mask(current.trim() === "" ? await read(true) : current, secrets)
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .slice(-fewLines)
    .map((line) => line.slice(0, shortLine))
}

async function* follow(
  call: Call,
  { podName, secrets }: { readonly podName: string; readonly secrets: readonly string[] },
  signal: AbortSignal,
): AsyncGenerator<string> {
  const { cluster, namespace } = call.deps
  const tailLines = numberOf(call.query, "tail", { default: defaultTail, max: maxTail })
  const masker = createMasker(secrets)
  try {
    for await (const piece of cluster.followLogs({ namespace, name: podName }, { tailLines }, { signal })) {
      const shown = masker.push(piece)
      if (shown !== "") yield shown
    }
    yield masker.end()
  } catch (error) {
    if (!signal.aborted && !isWithoutLog(error) && !isAbort(error)) throw error
  }
}

/** A body that ends with its pieces, and ends them when nobody reads it any more. */
const toBody = (start: (signal: AbortSignal) => AsyncGenerator<string>, call: Call): ReadableStream<Uint8Array> => {
  const stop = new AbortController()
  const pieces = start(stop.signal)
  const cancel = call.deps.clock.timer(followMs, () => stop.abort())
  const encoder = new TextEncoder()
  return new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      const { done, value } = await pieces.next()
      if (done !== true) return controller.enqueue(encoder.encode(value))
      cancel()
      controller.close()
    },
    cancel: () => {
      cancel()
      stop.abort()
    },
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
  const secrets = await secretsOf(call, instance)
  return { text: toBody((signal) => follow(call, { podName, secrets }, signal), call) }
}
