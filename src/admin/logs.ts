import type { MCPInstance } from "../api/kinds/mcp-instance.ts"
import { createMasker, mask, maskRead, pushInTurns } from "../credentials/mask.ts"
import type { NeedleLease } from "../credentials/needle-share.ts"
import { readComposition } from "../credentials/secret.ts"
import { AppError, hasCode, isAbort } from "../errors.ts"
import { ownerOf } from "../identity/identity.ts"
import type { LogStreamQuery } from "../ports/cluster.ts"
import type { Answer, Call, Handler } from "./call.ts"
import { isVisible, requireInstance } from "./instances.ts"
import { flagOf, numberOf } from "./page.ts"

const defaultTail = 500
const maxTail = 10_000
/** Most bytes of an answer that does not follow; what it holds of them is one piece. */
const maxBytes = 4 * 1024 * 1024
/** Bytes by which a read that was cut inside a character may be shorter than its limit. */
const longestCharacter = 3
/** How long a log may be read, in milliseconds; the client may ask again. */
const longestMs = 3_600_000

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
    const text = await maskRead(current.trim() === "" ? await read(true) : current, needles, {
      ...{ limitBytes: fewBytes, owner: ownerOf(call.identity), signal },
    })
    return text
      .split("\n")
      .filter((line) => line.trim() !== "")
      .slice(-fewLines)
      .map((line) => line.slice(0, shortLine))
  } finally {
    end()
  }
}

/** A text of an instance's server, secret values masked. */
export const maskedFor = async (call: Call, instance: MCPInstance, text: string): Promise<string> => {
  const { needles, end } = await needlesOf(call, instance)
  try {
    return await mask(text, needles, { owner: ownerOf(call.identity), signal: call.signal }, { cut: true })
  } finally {
    end()
  }
}

/** What is read of a log, and what must be masked in it. */
type Reading = { readonly podName: string; readonly lease: NeedleLease; readonly query: LogStreamQuery }

/** What stands where bytes were no character, e.g. at the end of a log that was cut inside one. */
const noCharacter = "\uFFFD"

/** A log's pieces as they come, masked: nothing of it is held but one piece and a few characters. */
async function* maskedPieces(
  call: Call,
  { podName, lease, query }: Reading,
  signal: AbortSignal,
): AsyncGenerator<string> {
  const { cluster, namespace } = call.deps
  const by = { owner: ownerOf(call.identity), signal }
  const masker = createMasker(lease.needles)
  const left = { bytes: query.limitBytes ?? Number.POSITIVE_INFINITY, rest: "" }
  for await (const text of cluster.streamLogs({ namespace, name: podName }, query, { signal })) {
    left.bytes -= Buffer.byteLength(text)
    const whole = left.rest + text
    left.rest = whole.endsWith(noCharacter) ? noCharacter : ""
    for await (const shown of pushInTurns(masker, whole.slice(0, whole.length - left.rest.length), by))
      if (shown !== "") yield shown
  }
  // the end of a character that was cut would keep the beginning of a secret before it from being known as one
  const cut = left.bytes <= longestCharacter
  yield (cut ? "" : masker.push(left.rest)) + masker.end({ cut })
}

/** {@link maskedPieces}, which end where there is no log, or nobody to read it any more. */
async function* piecesOf(call: Call, reading: Reading, signal: AbortSignal): AsyncGenerator<string> {
  try {
    yield* maskedPieces(call, reading, signal)
  } catch (error) {
    if (!signal.aborted && !isWithoutLog(error) && !isAbort(error)) throw error
  }
}

/** Ends what reads an instance's log in time: after an hour, with the caller's token, or when access is taken away. */
const endInTime = (call: Call, instance: MCPInstance, end: () => void): (() => void) => {
  const { deps, identity } = call
  const left = (identity.expiresAtMs ?? Number.POSITIVE_INFINITY) - deps.clock.now()
  const cancel = deps.clock.timer(Math.min(longestMs, left), end)
  const unsubscribe = deps.targets.subscribe(() => {
    if (!isVisible(call, instance)) end()
  })
  return () => {
    cancel()
    unsubscribe()
  }
}

/** Pieces of a log, and what ends them: called once or more when nobody reads them any more, or may. */
type Open = { readonly pieces: AsyncGenerator<string>; readonly finish: () => void }

const open = (call: Call, instance: MCPInstance, reading: Reading): Open => {
  const stop = new AbortController()
  const finish = (): void => {
    keep()
    stop.abort()
    reading.lease.end()
  }
  const keep = endInTime(call, instance, finish)
  return { pieces: piecesOf(call, reading, stop.signal), finish }
}

/**
 * The first piece of a log that is there, before anything is answered: what fails until then has a status of its own. It has
 * the time of a call; the signal says nothing of what comes behind it. Rejects with the signal's reason.
 */
const firstOf = async ({ signal }: Call, { pieces, finish }: Open): Promise<string> => {
  signal.addEventListener("abort", finish, { once: true })
  try {
    const { value = "" } = await pieces.next()
    signal.throwIfAborted()
    return value
  } catch (error) {
    finish()
    throw error
  } finally {
    signal.removeEventListener("abort", finish)
  }
}

/** A body of pieces, which ends with them. */
const toBody = ({ pieces, finish }: Open, first: string): ReadableStream<Uint8Array> => {
  const encoder = new TextEncoder()
  return new ReadableStream<Uint8Array>({
    start: (controller) => {
      if (first !== "") controller.enqueue(encoder.encode(first))
    },
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

/** Which part of a log a caller asks for. Throws InvalidParams. */
const queryOf = ({ query }: Call): LogStreamQuery => {
  const tailLines = numberOf(query, "tail", { default: defaultTail, max: maxTail })
  const previous = flagOf(query, "previous")
  // a life that has ended is whole already
  const follow = flagOf(query, "follow") && !previous
  return follow ? { tailLines, follow } : { tailLines, previous, limitBytes: maxBytes }
}

/** GET /api/instances/{name}/logs: the container's log, secret values masked. Empty before its first start. */
export const instanceLogs: Handler = async (call): Promise<Answer> => {
  const instance = await requireInstance(call)
  const { podName } = instance.status ?? {}
  const query = queryOf(call)
  if (podName === undefined) return { text: "" }
  const opened = open(call, instance, { podName, lease: await needlesOf(call, instance), query })
  // a server that is followed may say nothing for hours
  return { text: toBody(opened, query.follow === true ? "" : await firstOf(call, opened)) }
}
