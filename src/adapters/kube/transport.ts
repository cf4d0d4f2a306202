import { type Dispatcher, request } from "undici"
import { AppError, hasCode } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { Counter, Logger } from "../../ports/telemetry.ts"
import type { Connection } from "./connection.ts"
import { toApiError } from "./status.ts"

/** One call to the API server. */
export type Call = {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE"
  /** Path with query, e.g. `/api/v1/namespaces/reflow/pods?limit=500`. */
  readonly path: string
  readonly body?: unknown
  readonly contentType?: string
  /** For messages: verb and object, e.g. `get pods reflow/x`. */
  readonly what: string
  /** True if the body or the answer may hold secret values. */
  readonly isSecret?: boolean
  readonly signal?: AbortSignal | undefined
}

/** What the transport needs. */
export type TransportDeps = {
  readonly connection: Connection
  readonly clock: ClockPort
  readonly log: Logger
  readonly requests: Counter
}

/** A thin JSON transport: deadline, retries, errors of the code table. */
export type Transport = {
  /** The parsed answer. Throws an `Api…` error, or `ClusterUnavailable` when the server could not be asked. */
  json(call: Call): Promise<unknown>
  /** The answer as text (logs). */
  text(call: Call): Promise<string>
  /** An open stream (watches): the head has come, no deadline on the body. */
  stream(call: Call): Promise<Dispatcher.ResponseData["body"]>
}

/** A call that takes longer than this is given up; a watch's head too. */
const deadlineMs = 10_000
const attempts = 4

const unavailable = (call: Call, cause: unknown): AppError =>
  new AppError("ClusterUnavailable", { detail: `${call.what}: the API server does not answer.`, cause })

/** 429 was never processed; anything else of a POST may have been, so only calls that may be repeated are. */
const mayRepeat = (call: Call, error: unknown): error is AppError =>
  hasCode(error, "ApiTooManyRequests") || (hasCode(error, "ClusterUnavailable") && call.method !== "POST")

/** Makes the transport. */
export const createTransport = ({ connection, clock, log, requests }: TransportDeps): Transport => {
  const send = async (call: Call, signal: AbortSignal): Promise<Dispatcher.ResponseData> => {
    const { headers, dispatcher } = await connection.authenticate()
    const sent = await request(`${connection.server}${call.path}`, {
      method: call.method,
      dispatcher,
      signal,
      headers: {
        ...headers,
        accept: "application/json",
        "user-agent": "reflow-gateway",
        ...(call.body === undefined ? {} : { "content-type": call.contentType ?? "application/json" }),
      },
      ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
    })
    requests.inc({ verb: call.method, code: String(sent.statusCode) })
    const warning = sent.headers.warning
    if (warning !== undefined)
      log.warn("the API server warns", { what: call.what, warning: String(warning).slice(0, 500) })
    return sent
  }

  const refused = async (call: Call, answer: Dispatcher.ResponseData): Promise<AppError> => {
    const error = toApiError(answer.statusCode, await answer.body.text(), call.what, call.isSecret === true)
    const after = Number(answer.headers["retry-after"])
    if (!Number.isFinite(after) || error.retryAfterSeconds !== undefined) return error
    return new AppError(error.code, { detail: error.message, data: error.data ?? {}, retryAfterSeconds: after })
  }

  /** One attempt: aborts with the caller's signal, or at the deadline while `until` has not been reached. */
  const attempt = async <T>(call: Call, read: (answer: Dispatcher.ResponseData) => Promise<T>): Promise<T> => {
    const own = new AbortController()
    const cancel = clock.timer(deadlineMs, () =>
      own.abort(new AppError("ClusterUnavailable", { detail: `${call.what}: no answer within 10 s.` })),
    )
    const signal = call.signal === undefined ? own.signal : AbortSignal.any([call.signal, own.signal])
    try {
      const answer = await send(call, signal)
      if (answer.statusCode >= 300) throw await refused(call, answer)
      return await read(answer)
    } catch (error) {
      call.signal?.throwIfAborted()
      throw hasCode(error, ...apiCodes) ? error : unavailable(call, error)
    } finally {
      cancel()
    }
  }

  const repeated = async <T>(call: Call, once: () => Promise<T>): Promise<T> => {
    for (let turn = 1; ; turn++) {
      try {
        return await once()
      } catch (error) {
        if (turn === attempts || !mayRepeat(call, error)) throw error
        const waitMs =
          error.retryAfterSeconds === undefined
            ? 100 * 2 ** turn * (0.75 + Math.random() / 2)
            : error.retryAfterSeconds * 1_000
        log.debug("repeating a call to the API server", { what: call.what, code: error.code, waitMs })
        await clock.sleep(Math.min(waitMs, 5_000), call.signal)
      }
    }
  }

  return {
    json: (call) => repeated(call, () => attempt(call, (answer) => answer.body.json())),
    text: (call) => repeated(call, () => attempt(call, (answer) => answer.body.text())),
    stream: async (call) => {
      const own = new AbortController()
      const cancel = clock.timer(deadlineMs, () =>
        own.abort(new AppError("ClusterUnavailable", { detail: `${call.what}: no head within 10 s.` })),
      )
      const signal = call.signal === undefined ? own.signal : AbortSignal.any([call.signal, own.signal])
      try {
        const answer = await send(call, signal)
        if (answer.statusCode >= 300) throw await refused(call, answer)
        return answer.body
      } catch (error) {
        call.signal?.throwIfAborted()
        throw hasCode(error, ...apiCodes) ? error : unavailable(call, error)
      } finally {
        cancel()
      }
    },
  }
}

const apiCodes = [
  "ApiInvalid",
  "ApiForbidden",
  "ApiNotFound",
  "ApiConflict",
  "ApiAlreadyExists",
  "ApiGone",
  "ApiTooManyRequests",
  "ClusterUnavailable",
] as const
