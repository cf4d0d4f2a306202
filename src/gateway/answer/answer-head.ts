import type { Params } from "../../mcp/message.ts"
import type { Placement } from "../../placement/port.ts"
import { steps } from "../../signals/start.ts"
import { targetUID } from "../keying.ts"
import type { Placed } from "../pipeline.ts"
import type { SessionSealer } from "../session/session.ts"
import { toClientHeaders } from "../wire/headers.ts"
import type { UpstreamAnswer } from "../wire/upstream-answer.ts"
import { type BodyPlan, codingOf } from "./body-plan.ts"
import { requestIdHeader } from "./error-answer.ts"

const initializeParams = ({ messages, target }: Placed): Params | undefined => {
  const [message] = messages
  if (target.spec.statefulness !== "stateless" || message?.kind !== "request") return undefined
  return message.method === "initialize" && message.params.protocolVersion !== undefined ? message.params : undefined
}

/** The session id that the client gets: the one it has, or a sealed new one. */
const sessionFor = (placed: Placed, answer: UpstreamAnswer, sealer: SessionSealer): string | undefined => {
  const { "mcp-session-id": header } = answer.headers
  // an empty one could not come back: a header without a value is none (RFC 9110 §5.5 allows it, MCP's visible ASCII not)
  if (header === undefined || header === "" || placed.era === "modern") return undefined
  const upstreamId = String(header)
  if (placed.session !== undefined && upstreamId === placed.upstreamSession) return placed.session.sealed
  const owner = { identity: placed.identity, targetUID: targetUID(placed.target) }
  return sealer.seal(owner, placed.placement, { upstreamId, initialize: initializeParams(placed) })
}

/**
 * How long a cold answer was waited for, and the start steps known by then (W3C Server-Timing), milliseconds; undefined of a
 * warm one.
 */
const serverTiming = ({ timings = {}, waitedMs }: Placement): string | undefined => {
  // an API server keeps them in the order of their names
  const told = steps.flatMap((name) => {
    const seconds = timings[name]
    return seconds === undefined ? [] : [{ name, ms: seconds * 1_000 }]
  })
  const all = waitedMs === undefined ? told : [...told, { name: "wait", ms: waitedMs }]
  return all.length === 0 ? undefined : all.map(({ name, ms }) => `${name};dur=${Math.round(ms)}`).join(", ")
}

/** What both heads below begin with: what every answer from upstream tells. */
const commonHead = (placed: Placed, answer: UpstreamAnswer, sealer: SessionSealer): string[] => {
  const head = [requestIdHeader, placed.requestId]
  const session = sessionFor(placed, answer, sealer)
  if (session !== undefined) head.push("mcp-session-id", session)
  const timing = serverTiming(placed.placement)
  if (timing !== undefined) head.push("server-timing", timing)
  return head
}

/** The head of an answer without a body, as a flat list of names and values. Throws UpstreamInvalid. */
export const bodilessHead = (placed: Placed, answer: UpstreamAnswer, sealer: SessionSealer): string[] => [
  ...commonHead(placed, answer, sealer),
  ...(answer.status === 204 && placed.verb === "DELETE" ? [] : ["content-length", "0"]),
]

/** Statuses that have no body, so that a length would be taken for that of the next answer's (RFC 9110 §8.6). */
const withoutBody: readonly number[] = [204, 304]

/** The head of an answer whose body goes on as planned, as a flat list of names and values. Throws UpstreamInvalid. */
export const headFor = (
  placed: Placed,
  answer: UpstreamAnswer,
  { kind, filter, type }: BodyPlan,
  sealer: SessionSealer,
): string[] => {
  const head = toClientHeaders(type === undefined ? answer.headers : { ...answer.headers, "content-type": type })
  head.push(...commonHead(placed, answer, sealer), "x-content-type-options", "nosniff")
  const coding = codingOf(answer.headers)
  if (coding !== undefined) head.push("content-encoding", coding)
  const length = withoutBody.includes(answer.status) ? undefined : answer.headers["content-length"]
  // a filter may shorten the body
  if (filter === undefined && length !== undefined) head.push("content-length", String(length))
  if (kind === "events" || length === undefined) head.push("cache-control", "no-store", "x-accel-buffering", "no")
  return head
}
