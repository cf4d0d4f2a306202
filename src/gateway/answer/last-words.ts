import { AppError } from "../../errors.ts"
import { isRecord } from "../../mcp/message.ts"
import { endsBetweenEvents, isMessage, parseEvents } from "../../mcp/sse.ts"
import type { PlacementPort } from "../../placement/port.ts"
import { isRepeatable } from "../exchange.ts"
import type { Placed } from "../pipeline.ts"
import { toRpcError } from "./error-answer.ts"

/** Knows whether an event stream has given the answer to its request. */
export type AnswerWatch = {
  /** Hears each piece that goes to the client. */
  sent(chunk: Buffer): void
  /** Whether the answer was among the events that are complete by now; unknown if one of them was too long to be looked at. */
  answered(): "yes" | "no" | "unknown"
}

/** Most bytes of the newest events that are held to be looked at; a longer answer is not recognized. */
const mostHeld = 64 * 2 ** 10

const parsed = (data: string): unknown => {
  try {
    return JSON.parse(data)
  } catch {
    return undefined
  }
}

/** Some servers answer a number with its text, and an error without an id: there are clients that read both. */
const answers = (value: unknown, id: unknown): boolean =>
  isRecord(value) && String(value.id ?? id) === String(id) && ("result" in value || "error" in value)

const hasAnswer = (text: string, id: unknown): boolean =>
  parseEvents(text).some((event) => event.data !== undefined && isMessage(event) && answers(parsed(event.data), id))

/**
 * Watches for the answer to the request with this id, as JSON. What went by is parsed only where it can be one, so that a
 * stream of other messages costs next to nothing.
 */
export const createAnswerWatch = (idText: string): AnswerWatch => {
  const id: unknown = JSON.parse(idText)
  let isAnswered = false
  let isUnseen = false
  let held: Buffer[] = []
  let bytes = 0
  let tail = ""
  const look = (): void => {
    const isLong = bytes > mostHeld
    const [first] = held
    const whole = isLong || held.length < 2 ? first : Buffer.concat(held)
    isUnseen ||= isLong
    held = []
    bytes = 0
    if (whole?.includes('"result"') || whole?.includes('"error"')) isAnswered = hasAnswer(whole.toString(), id)
  }
  return {
    sent: (chunk) => {
      if (isAnswered) return
      bytes += chunk.length
      if (bytes > mostHeld) held = []
      else held.push(chunk)
      tail = (tail + chunk.toString("latin1", Math.max(0, chunk.length - 4))).slice(-4)
      if (endsBetweenEvents(tail)) look()
    },
    answered: () => {
      if (!isAnswered) look()
      if (isAnswered) return "yes"
      return isUnseen ? "unknown" : "no"
    },
  }
}

/** What an event stream still says when it ends too early, so that its client need not wait for what never comes. */
export type LastWords = {
  /** Hears what goes to the client. */
  sent(chunk: Buffer): void
  /** True once the answer itself has gone to the client: then nothing more is said of the call. */
  isAnswered(): boolean
  /** Its server has ended it in order. undefined = nothing: for all that can be known the answer was in it. */
  serverEnded(): string | undefined
  /**
   * Its server has broken it off. undefined = nothing: the stream is cut, and the client may take it up again, which makes
   * sense only if it is `resumable` by the ids of its events and the server lives on.
   */
  serverGone(resumable: boolean): Promise<string | undefined>
  /**
   * This gateway ends the stream for a reason. `resumable`: the client could take it up again by the ids of its events,
   * which is good for nothing but a gateway that stops.
   */
  stopped(reason: AppError, resumable: boolean): string | undefined
  /** The rest of the server's answer cannot be read, so that its client would wait for it in vain. */
  unreadable(error: AppError): string
}

const toEvent = (message: string): string => `event: message\ndata: ${message}\n\n`

const errorEvent = (placed: Placed, error: AppError): string =>
  toEvent(toRpcError(error, placed, { requestId: placed.requestId, idText: placed.reading?.idText }).body)

/** What the last words are made of. */
type LastWordsDeps = { readonly placement: Pick<PlacementPort, "livesOn"> }

/** What a request hears whose server broke off in the middle of its answer: «ask again» only where that is safe. */
export const brokenOff = ({ messages }: Placed): AppError =>
  new AppError(isRepeatable(messages) ? "UpstreamUnreachable" : "UpstreamInterrupted", {
    detail: "The server broke off before it had answered.",
    data: { phase: "body" },
  })

/** The last words of a stream that answers a call. */
const ofCall = (placed: Placed, deps: LastWordsDeps, watch: AnswerWatch): LastWords => ({
  sent: watch.sent,
  isAnswered: () => watch.answered() === "yes",
  serverEnded: () => (watch.answered() === "no" ? errorEvent(placed, brokenOff(placed)) : undefined),
  serverGone: async (resumable) => {
    const mayGoOn = resumable && placed.session !== undefined
    if (mayGoOn && (await deps.placement.livesOn(placed.placement, placed.signal))) return undefined
    return errorEvent(placed, brokenOff(placed))
  },
  stopped: (reason, resumable) => {
    if (reason.code !== "ShuttingDown") return errorEvent(placed, reason)
    if (resumable) return undefined
    const detail = "This replica stopped before the server had answered."
    return errorEvent(placed, new AppError("ShuttingDown", { detail, data: { phase: "body" } }))
  },
  unreadable: (error) => errorEvent(placed, error),
})

/** A subscription ends in order with an empty result; without one the client takes its stream for broken. */
const ofSubscription = (placed: Placed, idText: string): LastWords => ({
  sent: () => {},
  isAnswered: () => false,
  serverEnded: () => undefined,
  serverGone: async () => undefined,
  stopped: () => {
    const meta = `{"io.modelcontextprotocol/subscriptionId":${idText}}`
    return toEvent(`{"jsonrpc":"2.0","id":${idText},"result":{"resultType":"complete","_meta":${meta}}}`)
  },
  unreadable: (error) => errorEvent(placed, error),
})

/** The last words of a request's answer; undefined if it has none, as the legacy era's GET. */
export const lastWordsOf = (placed: Placed, deps: LastWordsDeps): LastWords | undefined => {
  const idText = placed.reading?.idText
  if (idText === undefined) return undefined
  return placed.openStream ? ofSubscription(placed, idText) : ofCall(placed, deps, createAnswerWatch(idText))
}
