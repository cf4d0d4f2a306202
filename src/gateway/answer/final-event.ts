import { AppError } from "../../errors.ts"
import { isRecord } from "../../mcp/message.ts"
import { endsBetweenEvents, isMessage, parseEvents } from "../../mcp/sse.ts"
import type { PlacementPort } from "../../placement/port.ts"
import { realSignal } from "../../waiting/in-progress.ts"
import { isRepeatable } from "../exchange.ts"
import type { Placed } from "../pipeline.ts"
import { toRpcError } from "./error-answer.ts"

/** Detects whether an event stream has carried the answer to its request. */
type AnswerWatch = {
  /** Must be called with each piece that goes to the client, in order. */
  sent(chunk: Buffer): void
  /**
   * Whether the answer was among the events that are complete by now; `unknown` if one of the events was too long to be
   * read.
   */
  answered(): "yes" | "no" | "unknown"
}

/** Most bytes that are buffered from one event boundary to the next; an answer in more bytes is not recognized. */
const mostHeld = 64 * 2 ** 10

const parsed = (data: string): unknown => {
  try {
    return JSON.parse(data)
  } catch {
    return undefined
  }
}

/**
 * Compares ids as text and accepts a missing id: some servers return a numeric id as a string, or an error without an
 * id, and some clients accept both.
 */
const answers = (value: unknown, id: unknown): boolean =>
  isRecord(value) && String(value.id ?? id) === String(id) && ("result" in value || "error" in value)

const hasAnswer = (text: string, id: unknown): boolean =>
  parseEvents(text).some((event) => event.data !== undefined && isMessage(event) && answers(parsed(event.data), id))

/**
 * Watches for the answer to the request with this id (JSON source). Only events with the text `"result"` or `"error"`
 * are parsed, so that a stream of other messages costs next to nothing.
 */
const createAnswerWatch = (idText: string): AnswerWatch => {
  const id: unknown = JSON.parse(idText)
  let isAnswered = false
  let isUnseen = false
  let held: Buffer[] = []
  let bytes = 0
  let tail = ""
  const check = (): void => {
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
      if (endsBetweenEvents(tail)) check()
    },
    answered: () => {
      if (!isAnswered) check()
      if (isAnswered) return "yes"
      return isUnseen ? "unknown" : "no"
    },
  }
}

/**
 * Makes the last event of an event stream that ends before the answer to its request, so that the client does not wait
 * for an answer that never comes.
 */
export type FinalEvent = {
  /** Must be called with each piece that goes to the client, in order. */
  sent(chunk: Buffer): void
  /** True once the answer itself has gone to the client: then no event is added. */
  isAnswered(): boolean
  /**
   * The event for a stream that its server ended regularly. undefined: none, because the answer was, or may have been,
   * in the stream.
   */
  serverEnded(): string | undefined
  /**
   * The event for a stream that its server broke off. undefined: none; the stream is cut, and the client may resume it.
   * A resumption can succeed only if the events have ids (`resumable`) and the server's incarnation still runs.
   */
  serverGone(resumable: boolean): Promise<string | undefined>
  /**
   * The event for a stream that this gateway ends for `reason`. undefined: none, if this replica shuts down and the
   * client can resume the stream at another replica by the ids of its events (`resumable`).
   */
  stopped(reason: AppError, resumable: boolean): string | undefined
  /** The event for a server's answer whose rest cannot be read. */
  unreadable(error: AppError): string
}

const toEvent = (message: string): string => `event: message\ndata: ${message}\n\n`

const errorEvent = (placed: Placed, error: AppError): string =>
  toEvent(toRpcError(error, placed, { requestId: placed.requestId, idText: placed.reading?.idText }).body)

type FinalEventDeps = { readonly placement: Pick<PlacementPort, "stillRuns"> }

/**
 * The error of a request whose server broke off during its answer. It asks the client to retry only where a repetition
 * is safe.
 */
export const brokenOff = ({ messages }: Placed): AppError =>
  new AppError(isRepeatable(messages) ? "UpstreamUnreachable" : "UpstreamInterrupted", {
    detail: "The server broke off before it had answered.",
    data: { phase: "body" },
  })

/** For the stream that answers a call. */
const ofCall = (placed: Placed, deps: FinalEventDeps, watch: AnswerWatch): FinalEvent => ({
  sent: watch.sent,
  isAnswered: () => watch.answered() === "yes",
  serverEnded: () => (watch.answered() === "no" ? errorEvent(placed, brokenOff(placed)) : undefined),
  serverGone: async (resumable) => {
    const mayGoOn = resumable && placed.session !== undefined
    if (mayGoOn && (await deps.placement.stillRuns(placed.placement, realSignal(placed.signal)))) return undefined
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

/** For a subscription: it ends regularly with an empty result, without which clients take the stream for broken. */
const ofSubscription = (placed: Placed, idText: string): FinalEvent => ({
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

/**
 * The {@link FinalEvent} for a request's event stream; undefined for a stream without a request id, as the legacy era's
 * GET.
 */
export const finalEventOf = (placed: Placed, deps: FinalEventDeps): FinalEvent | undefined => {
  const idText = placed.reading?.idText
  if (idText === undefined) return undefined
  return placed.openStream ? ofSubscription(placed, idText) : ofCall(placed, deps, createAnswerWatch(idText))
}
