import { type Dispatcher, request } from "undici"
import { AppError, isAppError } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { Counter, Logger } from "../../ports/telemetry.ts"
import type { Connection, Use } from "./connection.ts"
import { toApiError } from "./status.ts"

/** One call to the API server. */
export type Call = {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE"
  /** Path with query, e.g. `/api/v1/namespaces/reflow/pods?limit=500`. */
  readonly path: string
  /** Sent as JSON. */
  readonly body?: unknown
  /** Default `application/json`. */
  readonly contentType?: string
  /** Verb and object for messages, e.g. `get pods reflow/x`. */
  readonly what: string
  /** True if the body or the answer may hold secret values. */
  readonly isSecret?: boolean
  readonly signal?: AbortSignal | undefined
}

/** Dependencies of an exchange. */
export type ExchangeDeps = {
  readonly connection: Connection
  readonly clock: ClockPort
  readonly log: Logger
  /** Counts calls by `method` and `code`; `<error>` = no response came. */
  readonly requests: Counter
  /** Name of this client, as the audit log shows it. */
  readonly userAgent: string
  /** Aborts all calls. The reason is an AppError. */
  readonly closing: AbortSignal
}

/** How long one exchange may take, in milliseconds. */
export type Patience = {
  /** Until the response begins. */
  readonly headMs: number
  /** Until the response has ended; Infinity = no limit. */
  readonly wholeMs: number
}

/** If a call fails after this long without any response, its connections are replaced, milliseconds. */
const suspectMs = 2_000
const maxWarnings = 500

type Answer = Dispatcher.ResponseData
type Read<T> = (answer: Answer) => Promise<T>

/**
 * One attempt at a call: sends it, and passes the response to `read`. A status of 300 or more is thrown as an error.
 */
export type Exchange = <T>(call: Call, use: Use, patience: Patience, read: Read<T>) => Promise<T>

const unanswered = (call: Call, why: string, cause?: unknown): AppError =>
  new AppError("ClusterUnavailable", { detail: `${call.what}: ${why}.`, cause })

/**
 * Logs each warning of the API server once, e.g. about a field that its CRD does not have; at most {@link maxWarnings}.
 */
const createWarnings = (log: Logger) => {
  const logged = new Set<string>()
  return (call: Call, header: string | string[] | undefined): void => {
    if (header === undefined) return
    const warning = String(header).slice(0, 500)
    if (logged.has(warning) || logged.size >= maxWarnings) return
    logged.add(warning)
    log.warn("the API server warns", { what: call.what, warning })
  }
}

/** A signal with a time limit that can be set again, combined with the signals of the call and of `closing`. */
const createLimit = (clock: ClockPort, call: Call, closing: AbortSignal) => {
  const late = new AbortController()
  let cancel = (): void => {}
  return {
    signal: AbortSignal.any([late.signal, closing, ...(call.signal === undefined ? [] : [call.signal])]),
    set: (ms: number): void => {
      cancel()
      if (ms === Infinity) return
      cancel = clock.timer(ms, () => late.abort(unanswered(call, "the API server does not answer in time")))
    },
    end: () => cancel(),
  }
}

const refusalOf = async (call: Call, { statusCode, headers, body }: Answer): Promise<AppError> => {
  const after = Number(headers["retry-after"] ?? Number.NaN)
  return toApiError({
    status: statusCode,
    body: await body.text(),
    what: call.what,
    isSecret: call.isSecret === true,
    ...(Number.isFinite(after) ? { retryAfterSeconds: after } : {}),
  })
}

const send = async (
  { connection, requests, userAgent }: ExchangeDeps,
  call: Call,
  credentials: { readonly headers: Readonly<Record<string, string>>; readonly dispatcher: Dispatcher },
  signal: AbortSignal,
): Promise<Answer> => {
  const hasBody = call.body !== undefined
  try {
    const answer = await request(`${connection.server}${call.path}`, {
      method: call.method,
      dispatcher: credentials.dispatcher,
      signal,
      headers: {
        ...credentials.headers,
        accept: "application/json",
        "user-agent": userAgent,
        ...(hasBody ? { "content-type": call.contentType ?? "application/json" } : {}),
      },
      ...(hasBody ? { body: JSON.stringify(call.body) } : {}),
    })
    requests.inc({ method: call.method, code: String(answer.statusCode) })
    return answer
  } catch (error) {
    requests.inc({ method: call.method, code: "<error>" })
    throw error
  }
}

/**
 * Makes the exchange. It rejects with an error of the code table, or with the reason of the call's own signal. An abort
 * also ends a body that is still being read.
 */
export const createExchange = (deps: ExchangeDeps): Exchange => {
  const { connection, clock, closing } = deps
  const warn = createWarnings(deps.log)

  return async (call, use, { headMs, wholeMs }, read) => {
    call.signal?.throwIfAborted()
    closing.throwIfAborted()
    const limit = createLimit(clock, call, closing)
    const started = clock.now()
    let silent: Dispatcher | undefined
    limit.set(headMs)
    try {
      const credentials = await connection.authenticate(use)
      silent = credentials.dispatcher
      const answer = await send(deps, call, credentials, limit.signal)
      silent = undefined
      limit.set(wholeMs - (clock.now() - started))
      warn(call, answer.headers.warning)
      if (answer.statusCode >= 300) throw await refusalOf(call, answer)
      return await read(answer)
    } catch (error) {
      if (silent !== undefined && clock.now() - started >= suspectMs) connection.reconnect(silent)
      limit.signal.throwIfAborted()
      throw isAppError(error) ? error : unanswered(call, "the API server cannot be reached", error)
    } finally {
      limit.end()
    }
  }
}
