import { AppError } from "../../errors.ts"
import { ownerOf } from "../../identity/identity.ts"
import type { Turns } from "../../intake/turns.ts"
import type { Params } from "../../mcp/message.ts"
import type { ToolPolicy } from "../../mcp/tool-policy.ts"
import type { Placement, PlacementPort } from "../../placement/port.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { Logger } from "../../ports/telemetry.ts"
import { startSteps } from "../../signals/start.ts"
import { LazySignal } from "../../waiting/in-progress.ts"
import { type ExchangeDeps, exchange } from "../exchange.ts"
import type { Answered, Ending, Exchanged, Placed } from "../pipeline.ts"
import { type SessionSealer, targetUID } from "../session/session.ts"
import { toClientHeaders } from "../wire/call-server.ts"
import { dropBody, type UpstreamAnswer } from "../wire/upstream-answer.ts"
import { type BodyPlan, bodilessStatus, codingOf, lengthOf, needsPace, paced, planFor } from "./body-plan.ts"
import { requestIdHeader } from "./error-answer.ts"
import { brokenOff, finalEventOf } from "./final-event.ts"
import { type AnswerSink, pump } from "./stream.ts"

const initializeParams = ({ messages, target }: Placed): Params | undefined => {
  const [message] = messages
  if (target.spec.statefulness !== "stateless" || message?.kind !== "request") return undefined
  return message.method === "initialize" && message.params.protocolVersion !== undefined ? message.params : undefined
}

/**
 * The session id that the client gets: a sealed one, if the server names another session than the client's. Servers
 * repeat the id with every answer, and clients need it once (MCP 2025-11-25, Session Management).
 */
const sessionFor = (placed: Placed, answer: UpstreamAnswer, sealer: SessionSealer): string | undefined => {
  const { "mcp-session-id": header } = answer.headers
  // an empty id is no session: a client could not send it back (RFC 9110 §5.5 allows it, MCP's visible ASCII does not)
  if (header === undefined || header === "" || placed.era === "modern") return undefined
  const upstreamId = String(header)
  if (placed.session !== undefined && upstreamId === placed.upstreamSession) return undefined
  const owner = { identity: placed.identity, targetUID: targetUID(placed.target) }
  return sealer.seal(owner, placed.placement, { upstreamId, initialize: initializeParams(placed) })
}

/**
 * The Server-Timing header (W3C) of a request that waited for its instance: the known start steps and the whole wait,
 * in milliseconds; undefined for a warm instance.
 */
const serverTiming = ({ timings = {}, waitedMs }: Placement): string | undefined => {
  // in the order of the start: an API server sorts the fields by name
  const known = startSteps.flatMap((name) => {
    const seconds = timings[name]
    return seconds === undefined ? [] : [{ name, ms: seconds * 1_000 }]
  })
  const all = waitedMs === undefined ? known : [...known, { name: "wait", ms: waitedMs }]
  return all.length === 0 ? undefined : all.map(({ name, ms }) => `${name};dur=${Math.round(ms)}`).join(", ")
}

/** Adds the headers of every answer from upstream: request id, session id, Server-Timing. Throws UpstreamInvalid. */
const addCommon = (head: string[], placed: Placed, answer: UpstreamAnswer, sealer: SessionSealer): string[] => {
  head.push(requestIdHeader, placed.requestId)
  const session = sessionFor(placed, answer, sealer)
  if (session !== undefined) head.push("mcp-session-id", session)
  const timing = serverTiming(placed.placement)
  if (timing !== undefined) head.push("server-timing", timing)
  return head
}

/** The head of an answer without a body, as a flat list of names and values. Throws UpstreamInvalid. */
const bodilessHead = (placed: Placed, answer: UpstreamAnswer, sealer: SessionSealer): string[] => [
  ...addCommon([], placed, answer, sealer),
  ...(answer.status === 204 && placed.verb === "DELETE" ? [] : ["content-length", "0"]),
]

/** Statuses without a body: a Content-Length must not be passed on (RFC 9110 §8.6). */
const withoutBody: readonly number[] = [204, 304]

/**
 * The head of an answer whose body is passed on as planned, as a flat list of names and values. Throws UpstreamInvalid.
 */
const headFor = (
  placed: Placed,
  answer: UpstreamAnswer,
  { kind, filter, type }: BodyPlan,
  sealer: SessionSealer,
): string[] => {
  const head = addCommon(toClientHeaders(answer.headers, type), placed, answer, sealer)
  head.push("x-content-type-options", "nosniff")
  const coding = codingOf(answer.headers)
  if (coding !== undefined) head.push("content-encoding", coding)
  const length = withoutBody.includes(answer.status) ? undefined : answer.headers["content-length"]
  // a filter may shorten the body
  if (filter === undefined && length !== undefined) head.push("content-length", String(length))
  if (kind === "events" || length === undefined) head.push("cache-control", "no-store", "x-accel-buffering", "no")
  return head
}

type RespondDeps = {
  readonly exchange: ExchangeDeps
  readonly placement: PlacementPort
  readonly sealer: SessionSealer
  readonly clock: ClockPort
  readonly log: Logger
  /** Silence after which an event stream gets a comment, milliseconds. */
  readonly silenceMs: number
  /** The current tool policy of the request's target, which may have changed since the request was permitted. */
  readonly toolsNow: (placed: Placed) => ToolPolicy | undefined
  /** Shares the turns of the event loop among answers whose messages are read. */
  readonly turns: Turns
  /**
   * True once the gateway drains: a stream without a call that begins now is ended at once, so that its client opens it
   * at another replica.
   */
  readonly isLeaving: () => boolean
}

const checkStatus = (answer: UpstreamAnswer): void => {
  if (answer.status > 599)
    throw new AppError("UpstreamInvalid", { detail: `The server answered with HTTP status ${answer.status}.` })
  if (answer.status !== 401) return
  throw new AppError("UpstreamUnauthorized", { detail: "The server answered 401 to the gateway." })
}

/** What is written of an answer: its status, and how its body ends. */
type Relayed = { readonly status: number; readonly ending: Ending | Promise<Ending> }

/** Answers without the server's body. The body is still read, so that its connection can be used again. */
const relayHead = (
  { sealer, clock }: RespondDeps,
  { placed, answer }: Exchanged,
  { sink, status }: { readonly sink: AnswerSink; readonly status: number },
): Relayed => {
  sink.writeHead(status, bodilessHead(placed, answer, sealer))
  sink.end()
  return { status, ending: dropBody(answer, clock).then(() => "complete") }
}

/** Passes head and body on. Throws, or rejects by its ending, only before anything was written. */
const relay = (deps: RespondDeps, exchanged: Exchanged, sink: AnswerSink): Relayed => {
  const { placed, answer } = exchanged
  const { signal, placement } = placed
  checkStatus(answer)
  const { status } = answer
  const bodiless = bodilessStatus(placed, answer)
  if (bodiless !== undefined) return relayHead(deps, exchanged, { sink, status: bodiless })
  const plan = planFor(answer, () => deps.toolsNow(placed))
  const events = plan.kind === "events" && codingOf(answer.headers) === undefined
  const head = headFor(placed, answer, plan, deps.sealer)
  const touch = placed.openStream ? () => deps.placement.touchStream(placement) : undefined
  touch?.()
  // long-lived: disable keep-alive, so that no client reuses the connection while we close it
  if (placed.openStream) sink.shouldKeepAlive = false
  const writeHead = (): void => {
    // a filter that passed the whole body did not shorten it
    if (plan.filter?.isWhole?.()) head.push("content-length", String(lengthOf(answer)))
    sink.writeHead(status, head)
  }
  if (placed.openStream && events && deps.isLeaving()) {
    writeHead()
    sink.end()
    return { status, ending: "stopped" }
  }
  const body = needsPace(answer, plan) ? paced(answer, deps.turns, { owner: ownerOf(placed.identity), signal }) : answer
  const ending = pump(body, sink, {
    clock: deps.clock,
    writeHead,
    signal,
    events,
    holdHead: plan.kind === "json" && plan.filter !== undefined && !placed.openStream,
    silenceMs: deps.silenceMs,
    filter: plan.filter,
    onBytes: touch,
    finalEvent: events ? finalEventOf(placed, deps) : undefined,
    brokenOff: () => brokenOff(placed),
    onUnreadable: (error) =>
      deps.log.warn("The answer was cut: the tool policy cannot be applied to it.", {
        request_id: placed.requestId,
        target: placed.targetName,
        error,
      }),
  })
  return { status, ending }
}

/** Why a stream without a call of a remote server ends: what comes next would be of a login that is over. */
const loginOver = (): AppError =>
  new AppError("SessionNotFound", { detail: "The credentials or the server of this target have changed." })

const nothing = (): void => {}

/**
 * Calls `onOver` when the login is over that a stream without a call of a remote server belongs to. The returned function
 * ends the waiting for that.
 */
const followLogin = ({ placement: { remote }, openStream }: Placed, onOver: () => void): (() => void) =>
  remote === undefined || !openStream ? nothing : remote.follow(onOver)

/** Ends a stream together with its login. */
const endWithLogin = (placed: Placed): (() => void) =>
  followLogin(placed, () => {
    if (placed.signal instanceof LazySignal) placed.signal.abort(loginOver())
  })

/**
 * Sends the request to its server and streams the answer to the client. Throws only while nothing has been written; a
 * later failure ends the client's stream and is reported as `ending`.
 */
export const respond =
  (deps: RespondDeps) =>
  async (first: Placed, sink: AnswerSink): Promise<Answered> => {
    // a server may send the head of a stream after minutes: until then this keeps what its login was known by
    const release = followLogin(first, nothing)
    let exchanged: Exchanged
    try {
      exchanged = await exchange(deps.exchange, first)
    } catch (error) {
      release()
      throw error
    }
    const answeredAt = deps.clock.now()
    const unfollow = endWithLogin(exchanged.placed)
    release()
    try {
      exchanged.placed.signal.throwIfAborted()
      const { status, ending } = relay(deps, exchanged, sink)
      return { status, ending: await ending, answeredAt, placed: exchanged.placed }
    } finally {
      unfollow()
      exchanged.close()
    }
  }
