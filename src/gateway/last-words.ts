import { AppError } from "../errors.ts"
import { toRpcError } from "./answer.ts"
import { type AnswerWatch, createAnswerWatch } from "./answer-watch.ts"
import { isRepeatable } from "./exchange.ts"
import type { LivesOn } from "./lives.ts"
import type { Placed } from "./pipeline.ts"

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

const errorEvent = ({ requestId, reading, request }: Placed, error: AppError): string =>
  toEvent(toRpcError(error, request, { requestId, idText: reading?.idText }).body)

/** What the last words are made of. */
export type LastWordsDeps = { readonly livesOn: LivesOn }

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
    if (mayGoOn && (await deps.livesOn(placed.placement, placed.signal))) return undefined
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
