import type { MCPInstance } from "../api/kinds/mcp-instance.ts"
import { installerContainer } from "../api/kinds/pod.ts"
import { createMasker, mask, maskRead, pushInTurns } from "../credentials/mask.ts"
import type { NeedleLease } from "../credentials/needle-share.ts"
import { readComposition } from "../credentials/secret.ts"
import { AppError, hasCode, isAbort } from "../errors.ts"
import { ownerOf } from "../identity/identity.ts"
import type { LogQuery, LogStreamQuery } from "../ports/cluster.ts"
import type { Answer, Call, Handler } from "./call.ts"
import { isVisible, requireInstance } from "./instances.ts"
import { flagOf, numberOf } from "./page.ts"

const defaultTail = 500
const maxTail = 10_000
/** Maximum number of bytes read for a response without `follow`. They are streamed: only one piece is in memory. */
const maxBytes = 4 * 1024 * 1024
/** A read that was cut inside a UTF-8 character may be shorter than its limit by this many bytes. */
const longestCharacter = 3
/** How long a log may be followed, in milliseconds; the client may then request it again. */
const longestMs = 3_600_000

/**
 * Search patterns for the secret values in an instance's log; the caller must end the lease. Throws ClusterUnavailable
 * if the instance's Secret was deleted: an unmasked log must not be shown.
 */
const needlesOf = async ({ deps, identity, signal }: Call, instance: MCPInstance): Promise<NeedleLease> => {
  const secrets = await readComposition(deps.cluster, instance, { signal })
  if (secrets !== undefined) return await deps.needles.take(ownerOf(identity), secrets, signal)
  throw new AppError("ClusterUnavailable", {
    detail: "The log cannot be shown: the Secret whose values must be masked in it was deleted.",
  })
}

/** True for the cluster's errors about a Pod without a log: its container has not started, or the Pod was deleted. */
const isWithoutLog = (error: unknown): boolean => hasCode(error, "ApiInvalid", "ApiNotFound")

/** The logs about the installation of the server's package, the newest first; none for other servers. */
const installerPart = ({ spec }: MCPInstance): readonly LogQuery[] =>
  spec.package === undefined
    ? []
    : [{ container: installerContainer }, { container: installerContainer, previous: true }]

/** Limits of the log lines in a test result: lines, bytes, and characters of one line. */
const fewLines = 20
const fewBytes = 64 * 1024
const shortLine = 1_000

/**
 * The last lines of an instance's log, masked; those of the previous container if the current one has written nothing,
 * and those of the installer if the server has not run.
 */
export const lastLines = async (call: Call, instance: MCPInstance): Promise<readonly string[]> => {
  const { deps, signal } = call
  const { podName: name } = instance.status ?? {}
  if (name === undefined) return []
  const part = { tailLines: fewLines, limitBytes: fewBytes }
  const read = (query: LogQuery): Promise<string> =>
    deps.cluster.podLogs({ namespace: deps.namespace, name }, { ...part, ...query }, { signal }).catch((error) => {
      // the server of a package has no log before the package is installed
      if (instance.spec.package !== undefined && isWithoutLog(error)) return ""
      throw error
    })
  const { needles, end } = await needlesOf(call, instance)
  try {
    const parts: LogQuery[] = [{}, { previous: true }, ...installerPart(instance)]
    let found = ""
    for (const each of parts) if (found.trim() === "") found = await read(each)
    const text = await maskRead(found, needles, {
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

/** Masks the instance's secret values in a text that its server sent. */
export const maskedFor = async (call: Call, instance: MCPInstance, text: string): Promise<string> => {
  const { needles, end } = await needlesOf(call, instance)
  try {
    return await mask(text, needles, { owner: ownerOf(call.identity), signal: call.signal }, { cut: true })
  } finally {
    end()
  }
}

/** A Pod's log to read, and the search patterns to mask in it. */
type Reading = { readonly podName: string; readonly lease: NeedleLease; readonly query: LogStreamQuery }

/** The replacement character, in place of bytes that are not valid UTF-8, e.g. of a character that was cut. */
const noCharacter = "\uFFFD"

/** The pieces of a log, masked. Only one piece and the beginning of a possible secret are kept in memory. */
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
  // a cut character at the end is dropped: with it, a cut secret before it would not be recognized and masked
  const cut = left.bytes <= longestCharacter
  yield (cut ? "" : masker.push(left.rest)) + masker.end({ cut })
}

/** {@link maskedPieces}; ends without an error if the Pod has no log or the reading was aborted. */
async function* piecesOf(call: Call, reading: Reading, signal: AbortSignal): AsyncGenerator<string> {
  try {
    yield* maskedPieces(call, reading, signal)
  } catch (error) {
    if (!signal.aborted && !isWithoutLog(error) && !isAbort(error)) throw error
  }
}

/**
 * Calls `end` after an hour, when the caller's token expires, or when the caller loses access to the target. The
 * returned function cancels this.
 */
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

/** Pieces of a log, and `finish`, which ends the reading and releases everything; may be called more than once. */
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
 * Reads the first piece of a log before the response begins, so that an error until then becomes an error response. The
 * call's timeout applies to the first piece only. Rejects with the signal's reason at the timeout.
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

/** A response body that sends `first`, then the other pieces. */
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

/** The part of the log that the query asks for. Throws InvalidParams. */
const queryOf = ({ query }: Call): LogStreamQuery => {
  const tailLines = numberOf(query, "tail", { default: defaultTail, max: maxTail })
  const previous = flagOf(query, "previous")
  // the log of the previous container is complete, so there is nothing to follow
  const follow = flagOf(query, "follow") && !previous
  const container = flagOf(query, "installer") ? { container: installerContainer } : {}
  return { ...container, ...(follow ? { tailLines, follow } : { tailLines, previous, limitBytes: maxBytes }) }
}

/** GET /api/instances/{name}/logs: the container's log, secret values masked. Empty before its first start. */
export const instanceLogs: Handler = async (call): Promise<Answer> => {
  const instance = await requireInstance(call)
  const { podName } = instance.status ?? {}
  const query = queryOf(call)
  if (podName === undefined) return { text: "" }
  const opened = open(call, instance, { podName, lease: await needlesOf(call, instance), query })
  // with follow, do not wait for a first piece: a server may log nothing for hours
  return { text: toBody(opened, query.follow === true ? "" : await firstOf(call, opened)) }
}
