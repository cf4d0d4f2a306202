import { parseDuration } from "../api/duration.ts"
import { AppError, hasCode } from "../errors.ts"
import type { Message } from "../mcp/message.ts"
import { factsOf } from "../mcp/methods.ts"
import { mirroredOf } from "../mcp/mirrored-headers.ts"
import type { PlacementPort } from "../placement/port.ts"
import type { ClockPort } from "../ports/clock.ts"
import { realSignal } from "../waiting/in-progress.ts"
import type { Exchanged, Keyed, Placed } from "./pipeline.ts"
import { endsSessionsAlone, isSameIncarnation, sessionGone } from "./session/find-server.ts"
import type { Reopener } from "./session/reopen.ts"
import type { OpenSession } from "./session/session.ts"
import { callServer } from "./wire/call-server.ts"
import { ensureAnswer } from "./wire/remote-answer.ts"
import type { Upstream } from "./wire/upstream.ts"
import { isDialFailure, type UpstreamAnswer } from "./wire/upstream-answer.ts"

/** What {@link exchange} depends on. */
export type ExchangeDeps = {
  readonly upstream: Upstream
  readonly placement: PlacementPort
  readonly reopener: Reopener
  /** Finds the server again, after the first one could not be reached or did not know the session. */
  readonly findServer: (input: Keyed) => Placed | Promise<Placed>
  readonly clock: ClockPort
  /** For targets without a requestTimeout of their own, milliseconds. */
  readonly requestTimeoutMs: number
}

type Sent = Pick<Exchanged, "placed" | "answer">

/** Waits before each repetition, milliseconds: as many repetitions as entries. */
const retryDelaysMs: readonly number[] = [100, 400]

/** True if all messages are requests that can be sent twice without harm (`repeatable` in src/mcp/methods.ts). */
export const isRepeatable = (messages: readonly Message[]): boolean =>
  messages.length > 0 &&
  messages.every((message) => message.kind === "request" && factsOf(message.method).repeatable === true)

/** The error if a repetition is safe, else UpstreamInterrupted, which does not ask the client to retry. */
const toInterrupted = (error: AppError, { messages }: Placed): AppError => {
  if (isDialFailure(error) || isRepeatable(messages)) return error
  const { phase = "head" } = error.data ?? {}
  return new AppError("UpstreamInterrupted", { detail: error.message, data: { phase }, cause: error.cause })
}

/** How long the head of an answer may take, milliseconds: by the target, else by the configuration. */
const requestTimeoutOf = ({ target }: Placed, { requestTimeoutMs }: ExchangeDeps): number => {
  const { requestTimeout } = target.spec
  return (requestTimeout === undefined ? undefined : parseDuration(requestTimeout)) ?? requestTimeoutMs
}

const send = (deps: ExchangeDeps, placed: Placed): Promise<UpstreamAnswer> => {
  const { placement, verb, headers, body, signal, upstreamSession: session } = placed
  return callServer(deps.upstream, placed, {
    placement,
    verb,
    headers,
    session,
    body,
    signal,
    mirrored: mirroredOf(placed, headers),
    headersTimeoutMs: requestTimeoutOf(placed, deps),
    lane: placed.openStream ? "stream" : "call",
  })
}

/**
 * True if nothing was sent, or if a connection broke that had been used before and the messages are repeatable. A remote
 * server that lets us wait for a connection is not asked again: its client has waited for 5 s already.
 */
const mayRetry = (error: AppError, placed: Placed): boolean => {
  if (isDialFailure(error)) return placed.placement.remote === undefined || error.data?.slow !== true
  return error.data?.reused === true && isRepeatable(placed.messages)
}

/**
 * After a failed connection: reports the address as unreachable. Throws SessionNotFound if the incarnation of a
 * stateful session is over.
 */
const afterFailure = async (deps: ExchangeDeps, placed: Placed, error: AppError): Promise<void> => {
  if (!isDialFailure(error)) return
  deps.placement.reportUnreachable(placed.placement)
  if (placed.session === undefined || placed.target.spec.statefulness !== "stateful") return
  if ((await currentOf(deps, placed)) !== placed.session.incarnation) throw sessionGone()
}

/** After a first attempt that failed: sends the request again for as long as that is safe. Throws the last error. */
const sendAgain = async (deps: ExchangeDeps, first: Placed, firstError: unknown): Promise<Sent> => {
  let placed = first
  let error = firstError
  for (let attempt = 0; ; attempt++) {
    const delay = retryDelaysMs[attempt]
    if (!hasCode(error, "UpstreamUnreachable")) throw error
    if (!mayRetry(error, placed)) throw toInterrupted(error, placed)
    await afterFailure(deps, placed, error)
    if (delay === undefined) throw error
    await deps.clock.sleep(delay, realSignal(placed.signal))
    placed = await deps.findServer(placed)
    try {
      return { placed, answer: await send(deps, placed) }
    } catch (next) {
      error = next
    }
  }
}

/**
 * After a remote server has refused the login: if the credentials have changed since they were read, sends the request
 * once more with those that count now. The server has not carried out what it refused.
 */
const sendRenewed = async (deps: ExchangeDeps, refused: Placed, error: AppError): Promise<Sent> => {
  const { placement, signal } = refused
  const isLogin = error.data?.upstream_status === 401
  // if the credentials cannot be read now, the server's refusal is what the client must know
  if (!isLogin || !(await deps.placement.renew(placement, realSignal(signal)).catch(() => false))) throw error
  signal.throwIfAborted()
  const placed = await deps.findServer(refused)
  return { placed, answer: await send(deps, placed) }
}

/** Sends the request, again where that helps. Throws the last error. */
const sendUntilAnswered = async (deps: ExchangeDeps, first: Placed): Promise<Sent> => {
  try {
    return { placed: first, answer: await send(deps, first) }
  } catch (error) {
    return hasCode(error, "UpstreamLoginRejected")
      ? await sendRenewed(deps, first, error)
      : await sendAgain(deps, first, error)
  }
}

type Verdict = "pass" | "ended" | "again"

/** True for statuses that servers return for an unknown session, but for other reasons too. */
const isDoubtful = ({ status }: UpstreamAnswer): boolean => status === 404 || status === 400

/** How old what is known of a remote server may be to judge its answer, milliseconds: no answer causes a read each. */
const knownMs = 5_000

/** The current incarnation; of a remote server the placement's, if nobody can tell: its answer is there already. */
const currentOf = async (
  { placement: port }: ExchangeDeps,
  { placement, signal }: Placed,
): Promise<string | undefined> => {
  try {
    return await port.currentIncarnation(placement, realSignal(signal), knownMs)
  } catch (error) {
    if (placement.remote !== undefined && hasCode(error, "ClusterUnavailable")) return placement.incarnation
    throw error
  }
}

/**
 * What to do with a doubtful status to a request with a session. `pass`: the incarnation still runs, so the answer is
 * the server's decision. Otherwise the session is over: `ended` for a stateful target, `again` for a stateless one.
 */
const judge = async (deps: ExchangeDeps, { placed, answer }: Sent, session: OpenSession): Promise<Verdict> => {
  const { placement, target } = placed
  const isKnown = placement.remote !== undefined && answer.status === 404
  // a remote server ends sessions alone: after its 404 nothing depends on whether the credentials have changed too
  const current = isKnown ? placement.incarnation : await currentOf(deps, placed)
  const stateless = target.spec.statefulness === "stateless"
  if (current !== placement.incarnation) return stateless ? "again" : "ended"
  // the server ended a session that we had opened again: open another one, because the client knows only its first
  // session
  const mayEndAlone = endsSessionsAlone(target) || !isSameIncarnation(session, placement)
  return stateless && answer.status === 404 && mayEndAlone ? "again" : "pass"
}

/**
 * Where a session is after its server did not know it any more. A server that runs on gets the session again on the same
 * incarnation, if sessions of such servers end alone.
 */
const findAfterEnd = async (deps: ExchangeDeps, before: Placed, session: OpenSession): Promise<Placed> => {
  const placed = await deps.findServer(before)
  if (!endsSessionsAlone(before.target) || !isSameIncarnation(session, placed.placement)) return placed
  return { ...placed, upstreamSession: await deps.reopener.reopen(session, placed.placement, before) }
}

/**
 * After a doubtful answer: sends the request once more if the session turns out to be over in its server, to the next
 * incarnation or with a session that is opened again.
 */
const settleSession = async (deps: ExchangeDeps, sent: Sent, session: OpenSession): Promise<Sent> => {
  const verdict = await judge(deps, sent, session)
  if (verdict === "pass") return sent
  sent.answer.abort()
  if (verdict === "ended") throw sessionGone()
  deps.reopener.forget(session, sent.placed.upstreamSession)
  const placed = await findAfterEnd(deps, sent.placed, session)
  if (isSameIncarnation(session, placed.placement) && placed.upstreamSession === session.upstreamId) {
    throw new AppError("InstanceStarting", {
      detail: "This replica does not know the session's server yet.",
      retryAfterSeconds: 1,
    })
  }
  try {
    return { placed, answer: await send(deps, placed) }
  } catch (error) {
    return sendAgain(deps, placed, error)
  }
}

/** An open call, which counts as use of its instance. When the call is sent to another instance, the use moves there. */
class Use {
  readonly #deps: ExchangeDeps
  #end: () => void

  constructor(deps: ExchangeDeps, { placement }: Placed) {
    this.#deps = deps
    this.#end = deps.placement.beginCall(placement)
  }

  /** The same, with a findServer after which the use has moved. */
  deps(): ExchangeDeps {
    const findServer: ExchangeDeps["findServer"] = async (input) => {
      const placed = await this.#deps.findServer(input)
      this.end()
      this.#end = this.#deps.placement.beginCall(placed.placement)
      return placed
    }
    return { ...this.#deps, findServer }
  }

  end(): void {
    this.#end()
  }
}

/**
 * Sends a request to its server and waits for the head of the answer; repeats it where that is safe, at the server's
 * next incarnation if necessary. A call counts as use of its instance until the exchange is closed. Throws
 * SessionNotFound, UpstreamUnreachable, UpstreamInterrupted, UpstreamTimeout, UpstreamInvalid, what finding a server
 * throws, and for remote servers AddressNotAllowed, UpstreamUntrusted, UpstreamLoginRejected and UpstreamBusy.
 */
export const exchange = async (deps: ExchangeDeps, first: Placed): Promise<Exchanged> => {
  const isCall = first.verb === "POST" && !first.openStream
  const use = isCall ? new Use(deps, first) : undefined
  const moving = use?.deps() ?? deps
  try {
    let { placed, answer } = await sendUntilAnswered(moving, first)
    if (first.session !== undefined && isDoubtful(answer))
      ({ placed, answer } = await settleSession(moving, { placed, answer }, first.session))
    if (placed.placement.remote !== undefined) answer = await ensureAnswer(placed, answer, deps.clock)
    const close = (): void => {
      answer.abort()
      use?.end()
    }
    return { placed, answer, close }
  } catch (error) {
    use?.end()
    throw error
  }
}
