import { AppError } from "../errors.ts"
import { ownerOf } from "../identity/owner.ts"
import type { Turns } from "../intake/turns.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { Logger } from "../ports/telemetry.ts"
import { bodilessHead, headFor } from "./answer-head.ts"
import { bodilessStatus, codingOf, planFor } from "./body-plan.ts"
import { dropBody } from "./drop-body.ts"
import { type ExchangeDeps, type Exchanged, exchange } from "./exchange.ts"
import { brokenOff, lastWordsOf } from "./last-words.ts"
import type { LivesOn } from "./lives.ts"
import { paced } from "./paced.ts"
import type { Placed } from "./pipeline.ts"
import type { PlacementPort } from "./placement/port.ts"
import type { SessionSealer } from "./session.ts"
import { type Ending, pump } from "./stream.ts"
import type { ToolPolicy } from "./tool-policy.ts"
import type { UpstreamAnswer } from "./upstream-answer.ts"

/** What responding asks. */
export type RespondDeps = {
  readonly exchange: ExchangeDeps
  readonly placement: PlacementPort
  readonly livesOn: LivesOn
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

const checkStatus = (answer: UpstreamAnswer): void => {
  if (answer.status > 599)
    throw new AppError("UpstreamInvalid", { detail: `The server answered with HTTP status ${answer.status}.` })
  if (answer.status !== 401) return
  throw new AppError("UpstreamUnauthorized", { detail: "The server answered 401 to the gateway." })
}

type Relayed = Pick<Outcome, "status" | "ending">

/** Answers without the server's body, which is read for its connection's sake. */
const relayHead = async (
  { sealer, clock }: RespondDeps,
  { placed, answer }: Exchanged,
  status: number,
): Promise<Relayed> => {
  placed.response.writeHead(status, bodilessHead(placed, answer, sealer))
  placed.response.end()
  await dropBody(answer, clock)
  return { status, ending: "complete" }
}

/** Hands on head and body. */
const relay = async (deps: RespondDeps, { placed, answer }: Exchanged): Promise<Relayed> => {
  const { response, signal, placement } = placed
  checkStatus(answer)
  const { status } = answer
  const bodiless = bodilessStatus(placed, answer)
  if (bodiless !== undefined) return relayHead(deps, { placed, answer }, bodiless)
  const plan = planFor(answer, () => deps.toolsNow(placed))
  const events = plan.kind === "events" && codingOf(answer.headers) === undefined
  const head = headFor(placed, answer, plan, deps.sealer)
  const touch = placed.openStream ? () => deps.placement.touchStream(placement) : undefined
  touch?.()
  // it lives long and ends when a gateway goes: on a connection of its own nobody sends the next request just then
  if (placed.openStream) response.shouldKeepAlive = false
  const writeHead = (): void => void response.writeHead(status, head)
  if (placed.openStream && events && deps.isLeaving()) {
    writeHead()
    response.end()
    return { status, ending: "stopped" }
  }
  const paces = { owner: ownerOf(placed.identity), signal }
  const ending = await pump(plan.type === undefined ? answer : paced(answer, deps.turns, paces), response, {
    clock: deps.clock,
    writeHead,
    signal,
    events,
    holdHead: plan.kind === "json" && plan.filter !== undefined && !placed.openStream,
    silenceMs: deps.silenceMs,
    filter: plan.filter,
    onBytes: touch,
    lastWords: events ? lastWordsOf(placed, deps) : undefined,
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
        return { ...(await relay(deps, exchanged)), answeredAt, placed: exchanged.placed }
      } finally {
        exchanged.answer.abort()
      }
    } finally {
      use?.end()
    }
  }
