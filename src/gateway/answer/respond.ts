import { AppError } from "../../errors.ts"
import { ownerOf } from "../../identity/identity.ts"
import type { Turns } from "../../intake/turns.ts"
import type { ToolPolicy } from "../../mcp/tool-policy.ts"
import type { PlacementPort } from "../../placement/port.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { Logger } from "../../ports/telemetry.ts"
import { type ExchangeDeps, exchange } from "../exchange.ts"
import type { Answered, Exchanged, Placed } from "../pipeline.ts"
import type { SessionSealer } from "../session/session.ts"
import { dropBody, type UpstreamAnswer } from "../wire/upstream-answer.ts"
import { bodilessHead, headFor } from "./answer-head.ts"
import { bodilessStatus, codingOf, paced, planFor } from "./body-plan.ts"
import { brokenOff, lastWordsOf } from "./last-words.ts"
import { type AnswerSink, pump } from "./stream.ts"

/** What responding asks. */
type RespondDeps = {
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

const checkStatus = (answer: UpstreamAnswer): void => {
  if (answer.status > 599)
    throw new AppError("UpstreamInvalid", { detail: `The server answered with HTTP status ${answer.status}.` })
  if (answer.status !== 401) return
  throw new AppError("UpstreamUnauthorized", { detail: "The server answered 401 to the gateway." })
}

type Relayed = Pick<Answered, "status" | "ending">

/** Answers without the server's body, which is read for its connection's sake. */
const relayHead = async (
  { sealer, clock }: RespondDeps,
  { placed, answer }: Exchanged,
  { sink, status }: { readonly sink: AnswerSink; readonly status: number },
): Promise<Relayed> => {
  sink.writeHead(status, bodilessHead(placed, answer, sealer))
  sink.end()
  await dropBody(answer, clock)
  return { status, ending: "complete" }
}

/** Hands on head and body. */
const relay = async (deps: RespondDeps, exchanged: Exchanged, sink: AnswerSink): Promise<Relayed> => {
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
  const writeHead = (): void => void sink.writeHead(status, head)
  if (placed.openStream && events && deps.isLeaving()) {
    writeHead()
    sink.end()
    return { status, ending: "stopped" }
  }
  const paces = { owner: ownerOf(placed.identity), signal }
  const ending = await pump(plan.type === undefined ? answer : paced(answer, deps.turns, paces), sink, {
    clock: deps.clock,
    writeHead,
    signal,
    events,
    holdHead: plan.kind === "json" && plan.filter !== undefined && !placed.openStream,
    silenceMs: deps.silenceMs,
    filter: plan.filter,
    onBytes: touch,
    lastWords: lastWordsOf(placed, deps),
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

/**
 * Sends the request to its server and hands the answer to the client, both as they are. Throws only while nothing has
 * been written; whatever goes wrong later ends the client's stream and is told in the outcome.
 */
export const respond =
  (deps: RespondDeps) =>
  async (first: Placed, sink: AnswerSink): Promise<Answered> => {
    const exchanged = await exchange(deps.exchange, first)
    const answeredAt = deps.clock.now()
    try {
      return { ...(await relay(deps, exchanged, sink)), answeredAt, placed: exchanged.placed }
    } finally {
      exchanged.close()
    }
  }
