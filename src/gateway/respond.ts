import { AppError } from "../errors.ts"
import { ownerOf } from "../identity/owner.ts"
import type { Turns } from "../intake/turns.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { Logger } from "../ports/telemetry.ts"
import { requestIdHeader } from "./answer.ts"
import { type ExchangeDeps, type Exchanged, exchange } from "./exchange.ts"
import { toClientHeaders } from "./headers.ts"
import { targetUID } from "./keying.ts"
import { lastWordsOf } from "./last-words.ts"
import type { Params } from "./message.ts"
import { paced } from "./paced.ts"
import type { Placed } from "./pipeline.ts"
import type { PlacementPort } from "./placement/port.ts"
import type { SessionSealer } from "./session.ts"
import { type Ending, pump } from "./stream.ts"
import { type BodyFilter, filterEvents, filterJson, type PolicyNow } from "./tool-filter.ts"
import type { ToolPolicy } from "./tool-policy.ts"
import type { UpstreamAnswer } from "./upstream.ts"

/** What responding asks. */
export type RespondDeps = {
  readonly exchange: ExchangeDeps
  readonly placement: PlacementPort
  readonly sealer: SessionSealer
  readonly clock: ClockPort
  readonly log: Logger
  /** Silence after which an event stream gets a comment, milliseconds. */
  readonly silenceMs: number
  /** The tool policy of the request's target as it is now, which may have changed since the request was permitted. */
  readonly toolsNow: (placed: Placed) => ToolPolicy | undefined
  /** Among which answers whose messages are read share the turns of the event loop. */
  readonly turns: Turns
  /** True once the gateway is about to end: a stream without a call that begins now ends at once, and comes back elsewhere. */
  readonly isLeaving: () => boolean
}

/** How a request was answered from upstream. */
export type Outcome = {
  readonly status: number
  readonly ending: Ending
  /** When the head of the server's answer was there, milliseconds since the epoch. */
  readonly answeredAt: number
  readonly placed: Placed
}

/** An event stream, a JSON body, or something that is no MCP message. */
type BodyKind = "events" | "json" | "other"

const kindOf = ({ status, headers }: UpstreamAnswer): BodyKind => {
  const type = String(headers["content-type"] ?? "").toLowerCase()
  if (type.startsWith("text/event-stream")) return "events"
  return type.startsWith("application/json") || status < 300 ? "json" : "other"
}

/** How an answer's body goes on. */
type BodyPlan = {
  readonly kind: BodyKind
  readonly filter: BodyFilter | undefined
  /** The type that the client is told, where it is not the server's own words: what was filtered is read as nothing else. */
  readonly type?: string
}

const plainType = /^(?:application\/json|text\/(?:event-stream|plain|html))(?=[; ]|$)/i
const utf8Events = /^text\/event-stream(?:; ?charset="?utf-8"?)?$/i

const filteredTypes: Readonly<Record<"events" | "json", string>> = {
  events: "text/event-stream",
  json: "application/json",
}

/** Plans how a body goes on under the tool policy as it is now. Throws UpstreamInvalid for a body that cannot be read. */
const planFor = (answer: UpstreamAnswer, policyNow: PolicyNow): BodyPlan => {
  const kind = kindOf(answer)
  const { "content-type": type = "", "content-encoding": encoding } = answer.headers
  const policy = policyNow()
  if (policy === undefined) {
    const isReadable = encoding === undefined && utf8Events.test(String(type))
    return { kind, filter: kind === "events" ? filterEvents(policyNow, isReadable) : undefined }
  }
  if (kind === "other") return { kind, filter: undefined, type: plainType.exec(String(type))?.[0] ?? "text/plain" }
  if (encoding !== undefined) {
    const detail = "The server compressed its answer unasked, so the tool policy cannot be applied to it."
    throw new AppError("UpstreamInvalid", { detail })
  }
  return { kind, type: filteredTypes[kind], filter: kind === "events" ? filterEvents(policyNow) : filterJson(policy) }
}

const initializeParams = ({ messages, target }: Placed): Params | undefined => {
  const [message] = messages
  if (target.spec.statefulness !== "stateless" || message?.kind !== "request") return undefined
  return message.method === "initialize" && message.params.protocolVersion !== undefined ? message.params : undefined
}

/** The session id that the client gets: the one it has, or a sealed new one. */
const sessionHeader = (placed: Placed, answer: UpstreamAnswer, sealer: SessionSealer): string | undefined => {
  const { "mcp-session-id": header } = answer.headers
  if (header === undefined || placed.era === "modern") return undefined
  const upstreamId = String(header)
  if (placed.session !== undefined && upstreamId === placed.upstreamSession) return placed.session.sealed
  const owner = { identity: placed.identity, targetUID: targetUID(placed.target) }
  return sealer.seal(owner, placed.placement, { upstreamId, initialize: initializeParams(placed) })
}

/** The start steps of a cold answer (W3C Server-Timing), milliseconds. */
const serverTiming = (timings: Readonly<Record<string, number>>): string =>
  Object.entries(timings)
    .map(([step, seconds]) => `${step};dur=${Math.round(seconds * 1_000)}`)
    .join(", ")

const headFor = (
  placed: Placed,
  answer: UpstreamAnswer,
  { kind, filter, type, session }: BodyPlan & { readonly session: string | undefined },
): string[] => {
  const events = kind === "events"
  const head = toClientHeaders(type === undefined ? answer.headers : { ...answer.headers, "content-type": type })
  head.push(requestIdHeader, placed.requestId)
  const length = answer.headers["content-length"]
  // a filter may shorten the body
  if (filter === undefined && length !== undefined) head.push("content-length", String(length))
  if (session !== undefined) head.push("mcp-session-id", session)
  if (events || length === undefined) head.push("cache-control", "no-store", "x-accel-buffering", "no")
  const { timings } = placed.placement
  if (timings !== undefined) head.push("server-timing", serverTiming(timings))
  return head
}

const checkAuthorized = (answer: UpstreamAnswer): void => {
  if (answer.status !== 401) return
  throw new AppError("UpstreamUnauthorized", { detail: "The server answered 401 to the gateway." })
}

/** Hands on head and body. */
const relay = async (deps: RespondDeps, { placed, answer }: Exchanged): Promise<Ending> => {
  const { response, signal, placement } = placed
  checkAuthorized(answer)
  const plan = planFor(answer, () => deps.toolsNow(placed))
  const events = plan.kind === "events" && answer.headers["content-encoding"] === undefined
  const head = headFor(placed, answer, { ...plan, session: sessionHeader(placed, answer, deps.sealer) })
  const touch = placed.openStream ? () => deps.placement.touchStream(placement) : undefined
  touch?.()
  // it lives long and ends when a gateway goes: on a connection of its own nobody sends the next request just then
  if (placed.openStream) response.shouldKeepAlive = false
  const writeHead = (): void => void response.writeHead(answer.status, head)
  if (placed.openStream && events && deps.isLeaving()) {
    writeHead()
    response.end()
    return "stopped"
  }
  return pump(
    plan.type === undefined ? answer : paced(answer, deps.turns, { owner: ownerOf(placed.identity), signal }),
    response,
    {
      clock: deps.clock,
      writeHead,
      signal,
      events,
      silenceMs: deps.silenceMs,
      filter: plan.filter,
      onBytes: touch,
      lastWords: lastWordsOf(placed, deps.placement),
      onUnreadable: (error) =>
        deps.log.warn("The answer was cut: the tool policy cannot be applied to it.", {
          request_id: placed.requestId,
          target: placed.targetName,
          error,
        }),
    },
  )
}

/**
 * Counts an open call as use of the instance that has it. `place` is the exchange's own, which may find another instance
 * while the call is on its way.
 */
const followUse = ({ exchange, placement }: RespondDeps, first: Placed) => {
  let end = placement.beginCall(first.placement)
  const place: ExchangeDeps["place"] = async (input) => {
    const placed = await exchange.place(input)
    end()
    end = placement.beginCall(placed.placement)
    return placed
  }
  return { place, end: () => end() }
}

/**
 * Sends the request to its server and hands the answer to the client, both as they are. Throws only while nothing has
 * been written; whatever goes wrong later ends the client's stream and is told in the outcome.
 */
export const respond =
  (deps: RespondDeps) =>
  async (first: Placed): Promise<Outcome> => {
    const isCall = first.verb === "POST" && !first.openStream
    const use = isCall ? followUse(deps, first) : undefined
    try {
      const exchanged = await exchange(
        use === undefined ? deps.exchange : { ...deps.exchange, place: use.place },
        first,
      )
      const answeredAt = deps.clock.now()
      try {
        const ending = await relay(deps, exchanged)
        return { status: exchanged.answer.status, ending, answeredAt, placed: exchanged.placed }
      } finally {
        exchanged.answer.abort()
      }
    } finally {
      use?.end()
    }
  }
