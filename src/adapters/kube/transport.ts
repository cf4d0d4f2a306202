import type { Dispatcher } from "undici"
import type { Kind, KubeObject } from "../../api/kinds/kind.ts"
import { AppError, hasCode } from "../../errors.ts"
import type { ObjectRef, Selection } from "../../ports/cluster.ts"
import { type Call, createExchange, type Exchange, type ExchangeDeps, type Patience } from "./exchange.ts"

/** HTTP calls to the API server, with a deadline, retries and errors of the code table. */
export type Transport = {
  /**
   * The parsed answer. Throws an `Api…` error, or `ClusterUnavailable` if the API server cannot be reached or fails.
   */
  json(call: Call): Promise<unknown>
  /** The answer as text (logs). */
  text(call: Call): Promise<string>
  /**
   * An open stream (watches): resolves at the response's head; the body has no deadline. Not retried: the reflector
   * does that.
   */
  watch(call: Call): Promise<Dispatcher.ResponseData["body"]>
  /** An open stream (logs), like {@link watch}, but with retries until the response's head has come. */
  stream(call: Call): Promise<Dispatcher.ResponseData["body"]>
}

/** Dependencies of the transport. */
type TransportDeps = ExchangeDeps & {
  /** A number from 0 to 1, for the jitter between attempts; default Math.random. */
  readonly random?: () => number
}

/** Longest time of a call with all its attempts, milliseconds. */
const deadlineMs = 10_000
/**
 * A GET whose response does not begin within this time, milliseconds, is retried, because its connection may be broken.
 * A write gets the whole deadline: a slow write may still take effect.
 */
const readHeadMs = 5_000
const attempts = 4
const firstWaitMs = 200
/** Shortest time between two reloads of the credentials, milliseconds. */
const reloadMs = 10_000

/** Error codes of a connection that was never established, so the request was not sent. */
const neverSent = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "UND_ERR_CONNECT_TIMEOUT",
])

const causeCode = ({ cause }: AppError): unknown =>
  typeof cause === "object" && cause !== null && "code" in cause ? cause.code : undefined

/**
 * True if a call may be retried: always after 429 or an answer with Retry-After, since the server has not processed it.
 * After other failures a POST is retried only if it was never sent, because a second create would fail with "already
 * exists".
 */
const mayRepeat = (call: Call, error: unknown): error is AppError => {
  if (hasCode(error, "ApiTooManyRequests")) return true
  if (!hasCode(error, "ClusterUnavailable")) return false
  return call.method !== "POST" || error.retryAfterSeconds !== undefined || neverSent.has(String(causeCode(error)))
}

const isUnauthorized = (error: unknown): boolean => hasCode(error, "ApiForbidden") && error.data?.status === 401

const parse = (call: Call, text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    // without the cause: its message quotes the text, which may hold a secret
    throw new AppError("ClusterUnavailable", { detail: `${call.what}: the answer is no JSON.` })
  }
}

/**
 * Runs an attempt once more after a 401, with reloaded credentials: tokens and certificates are renewed in their files.
 */
const createRenewal = ({ connection, clock, log }: ExchangeDeps) => {
  let generation = 0
  let reloadedAt = Number.NEGATIVE_INFINITY
  const reload = (): void => {
    if (clock.now() - reloadedAt < reloadMs) return
    reloadedAt = clock.now()
    try {
      connection.reload()
      generation += 1
      log.info("the API server refused the credentials; they are read again")
    } catch (error) {
      log.warn("the credentials could not be read again", { error })
    }
  }
  return async <T>(run: () => Promise<T>): Promise<T> => {
    const attempted = generation
    try {
      return await run()
    } catch (error) {
      if (isUnauthorized(error) && attempted === generation) reload()
      if (!isUnauthorized(error) || attempted === generation) throw error
      return run()
    }
  }
}

/** Repeats attempts until one succeeds, must not be retried, was the fourth, or no time is left. */
const createRepeat = ({ clock, log, closing, random = Math.random }: TransportDeps) => {
  return async <T>(call: Call, once: (patience: Patience) => Promise<T>): Promise<T> => {
    const end = clock.now() + deadlineMs
    for (let turn = 1; ; turn++) {
      const left = end - clock.now()
      try {
        return await once({ headMs: call.method === "GET" ? Math.min(readHeadMs, left) : left, wholeMs: left })
      } catch (error) {
        if (turn === attempts || closing.aborted || !mayRepeat(call, error)) throw error
        const backoffMs = firstWaitMs * 2 ** (turn - 1) * (0.75 + random() / 2)
        const waitMs = error.retryAfterSeconds === undefined ? backoffMs : error.retryAfterSeconds * 1_000
        if (clock.now() + waitMs >= end) throw error
        log.debug("a call to the API server is repeated", { what: call.what, code: error.code, waitMs })
        await clock.sleep(waitMs, call.signal)
      }
    }
  }
}

/** Makes the transport. */
export const createTransport = (deps: TransportDeps): Transport => {
  const exchange: Exchange = createExchange(deps)
  const renewed = createRenewal(deps)
  const repeated = createRepeat(deps)

  const text = (call: Call): Promise<string> =>
    repeated(call, (patience) => renewed(() => exchange(call, "call", patience, ({ body }) => body.text())))
  const open = (call: Call, headMs: number): Promise<Dispatcher.ResponseData["body"]> =>
    renewed(() => exchange(call, "watch", { headMs, wholeMs: Number.POSITIVE_INFINITY }, async ({ body }) => body))
  return {
    text,
    json: (call) =>
      repeated(call, (patience) =>
        renewed(() => exchange(call, "call", patience, async ({ body }) => parse(call, await body.text()))),
      ),
    watch: (call) => open(call, deadlineMs),
    stream: (call) => repeated(call, ({ headMs }) => open(call, headMs)),
  }
}

type Query = Readonly<Record<string, string | number | boolean | undefined>>

const withQuery = (path: string, query: Query): string => {
  const parameters = new URLSearchParams()
  for (const [key, value] of Object.entries(query)) if (value !== undefined) parameters.set(key, String(value))
  const text = parameters.toString()
  return text === "" ? path : `${path}?${text}`
}

/** Path of a kind's collection in a namespace, e.g. `/apis/mcp.reflow.io/v1alpha1/namespaces/reflow/mcpinstances`. */
export const collectionPath = <T extends KubeObject>(kind: Kind<T>, namespace: string, query: Query = {}): string => {
  const root = kind.apiVersion.includes("/") ? `/apis/${kind.apiVersion}` : `/api/${kind.apiVersion}`
  return withQuery(`${root}/namespaces/${encodeURIComponent(namespace)}/${kind.plural}`, query)
}

/** Path of one object, or of a subresource of it. */
export const objectPath = <T extends KubeObject>(
  kind: Kind<T>,
  ref: ObjectRef,
  query: Query = {},
  subresource?: "status" | "log",
): string => {
  const path = `${collectionPath(kind, ref.namespace)}/${encodeURIComponent(ref.name)}`
  return withQuery(subresource === undefined ? path : `${path}/${subresource}`, query)
}

/** The query of a list or watch. */
export const selectionQuery = (selection: Selection): Query => ({
  labelSelector: selection.labelSelector,
  fieldSelector: selection.fieldSelector,
})
