import { AppError } from "../errors.ts"
import { createGrowingBuffer } from "../intake/growing-buffer.ts"
import { createEventSplitter, isMessage, parseEvents } from "../mcp/sse.ts"
import type { ClockPort } from "../ports/clock.ts"
import { dropBody } from "./drop-body.ts"
import { clientOrigin, type ProxyTrust, toUpstreamHeaders } from "./headers.ts"
import { identityHeadersFor } from "./identity-headers.ts"
import { isRecord } from "./message.ts"
import type { Keyed } from "./pipeline.ts"
import type { Placement } from "./placement/port.ts"
import type { OpenSession } from "./session.ts"
import type { Upstream } from "./upstream.ts"
import type { UpstreamAnswer } from "./upstream-answer.ts"

/**
 * Opens sessions of stateless targets again when their instance was replaced, and remembers which session of the server
 * now stands for the id that the client knows: clients do not reliably adopt a changed id.
 */
export type Reinitializer = {
  /**
   * The session that stands for the client's on this life of the server, opened if need be; one attempt at a time for
   * each id. Undefined if the server has no sessions. Throws SessionNotFound, UpstreamInvalid and what upstream throws.
   */
  reopen(session: OpenSession, placement: Placement, input: Keyed): Promise<string | undefined>
  /** True if the session was opened again on this life of the server, or is about to be. */
  isOpen(session: OpenSession, placement: Placement): boolean
  /** Forgets what stands for the session, because the server does not know it any more. */
  forget(session: OpenSession): void
}

/** Longest time for the handshake. */
const timeoutMs = 30_000
const rememberedSessions = 10_000
const maxAnswerBytes = 2 ** 20
const requestId = "reflow-reopen"

const refused = (detail: string): AppError =>
  new AppError("UpstreamInvalid", { detail: `The session could not be opened again: ${detail}.` })

const parseAnswer = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new AppError("UpstreamInvalid", { detail: "The server's initialize answer is not JSON.", cause })
  }
}

const isAnswer = (value: unknown): value is Readonly<Record<string, unknown>> =>
  isRecord(value) && value.id === requestId

/** Reads the answer to our initialize from a JSON body or an event stream. Rejects with UpstreamInvalid. */
export const readAnswer = (answer: UpstreamAnswer): Promise<unknown> =>
  new Promise((resolve, reject) => {
    const events = String(answer.headers["content-type"] ?? "").startsWith("text/event-stream")
    const splitter = createEventSplitter(maxAnswerBytes, () => refused("the answer is too long"))
    const body = createGrowingBuffer()
    let size = 0
    const look = (chunk: Buffer): void => {
      size += chunk.length
      if (size > maxAnswerBytes) throw refused("the answer is too long")
      if (!events) body.add(chunk)
      for (const event of events ? parseEvents(splitter.push(chunk).toString()) : []) {
        const { data = "" } = event
        const message = data === "" || !isMessage(event) ? undefined : parseAnswer(data)
        if (isAnswer(message)) resolve(message)
      }
    }
    const attempt = (task: () => void): void => {
      try {
        task()
      } catch (error) {
        reject(error)
        answer.abort()
      }
    }
    answer.consume({
      data: (chunk) => {
        attempt(() => look(chunk))
        return true
      },
      end: () =>
        attempt(() => {
          if (!events) resolve(parseAnswer(body.take().toString()))
          else reject(refused("the server ended the stream without an answer"))
        }),
      fail: reject,
    })
  })

type Handshake = {
  readonly upstream: Upstream
  readonly trusts: ProxyTrust
  readonly clock: ClockPort
  readonly signal: AbortSignal
}

const send = (
  { upstream, trusts, signal }: Handshake,
  input: Keyed,
  to: { readonly placement: Placement; readonly session: string | undefined; readonly version: string | undefined },
  message: object,
): Promise<UpstreamAnswer> => {
  const headers = {
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    ...(to.version === undefined ? {} : { "mcp-protocol-version": to.version }),
  }
  return upstream.send({
    placement: to.placement,
    verb: "POST",
    headers: toUpstreamHeaders(headers, {
      session: to.session,
      origin: clientOrigin(input.request, trusts),
      host: input.target.spec.hostHeader,
      identity: identityHeadersFor(input),
    }),
    body: Buffer.from(JSON.stringify({ jsonrpc: "2.0", ...message })),
    headersTimeoutMs: timeoutMs,
    lane: "call",
    signal,
  })
}

const handshake = async (by: Handshake, session: OpenSession, placement: Placement, input: Keyed) => {
  const { initialize: params } = session
  const opening = { placement, session: undefined, version: undefined }
  const answer = await send(by, input, opening, { id: requestId, method: "initialize", params })
  const message = await readAnswer(answer)
  answer.abort()
  if (answer.status !== 200 || !isAnswer(message) || !isRecord(message.result)) {
    throw refused(`the server answered ${answer.status} to initialize`)
  }
  const { "mcp-session-id": header } = answer.headers
  const id = header === undefined ? undefined : String(header)
  const { protocolVersion } = message.result
  const opened = {
    placement,
    session: id,
    version: typeof protocolVersion === "string" ? protocolVersion : undefined,
  }
  const noted = await send(by, input, opened, { method: "notifications/initialized" })
  void dropBody(noted, by.clock)
  if (noted.status >= 300) throw refused(`the server answered ${noted.status} to notifications/initialized`)
  return id
}

type Entry = { readonly incarnation: string; readonly id: Promise<string | undefined> }

/** Waits for a shared attempt no longer than the client of this request does. */
export const whileThere = <T>(attempt: Promise<T>, signal: AbortSignal): Promise<T> =>
  new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    if (signal.aborted) return onAbort()
    signal.addEventListener("abort", onAbort, { once: true })
    attempt.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort))
  })

/** Makes the reinitializer. An attempt goes on when the client that caused it leaves: its next request needs it. */
export const createReinitializer = (deps: {
  readonly upstream: Upstream
  readonly trusts: ProxyTrust
  readonly clock: ClockPort
}): Reinitializer => {
  const entries = new Map<string, Entry>()

  const start = (session: OpenSession, placement: Placement, input: Keyed): Entry => {
    const limit = new AbortController()
    const cancel = deps.clock.timer(timeoutMs, () => limit.abort(refused("the server took too long")))
    const id = handshake({ ...deps, signal: limit.signal }, session, placement, input).finally(cancel)
    const entry = { incarnation: placement.incarnation, id }
    id.catch(() => {
      if (entries.get(session.sealed) === entry) entries.delete(session.sealed)
    })
    const [oldest] = entries.size >= rememberedSessions ? entries.keys() : []
    if (oldest !== undefined) entries.delete(oldest)
    entries.set(session.sealed, entry)
    return entry
  }
  const find = (session: OpenSession, placement: Placement): Entry | undefined => {
    const entry = entries.get(session.sealed)
    return entry?.incarnation === placement.incarnation ? entry : undefined
  }
  return {
    reopen: async (session, placement, input) => {
      if (session.initialize === undefined) {
        throw new AppError("SessionNotFound", { detail: "The session's server is gone." })
      }
      const entry = find(session, placement) ?? start(session, placement, input)
      return whileThere(entry.id, input.signal)
    },
    isOpen: (session, placement) => find(session, placement) !== undefined,
    forget: (session) => void entries.delete(session.sealed),
  }
}
