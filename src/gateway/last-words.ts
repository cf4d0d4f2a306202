import { AppError } from "../errors.ts"
import { toRpcError } from "./answer.ts"
import { isRepeatable } from "./exchange.ts"
import type { Placed } from "./pipeline.ts"
import type { PlacementPort } from "./placement/port.ts"

/** What an event stream still says when it ends too early, so that its client need not wait for what never comes. */
export type LastWords = {
  /** Its server is gone. undefined = nothing: the stream is cut, and the client may take it up again. */
  serverGone(): Promise<string | undefined>
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

/** The last words of a stream that answers a call. */
const ofCall = (placed: Placed, { currentIncarnation }: PlacementPort): LastWords => ({
  serverGone: async () => {
    // while the server's life goes on the stream is only broken
    if ((await currentIncarnation(placed.placement, placed.signal)) === placed.placement.incarnation) return undefined
    const detail = "The server was ended before it had answered."
    const code = isRepeatable(placed.messages) ? "UpstreamUnreachable" : "UpstreamInterrupted"
    return errorEvent(placed, new AppError(code, { detail, data: { phase: "body" } }))
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
  serverGone: async () => undefined,
  stopped: () => {
    const meta = `{"io.modelcontextprotocol/subscriptionId":${idText}}`
    return toEvent(`{"jsonrpc":"2.0","id":${idText},"result":{"resultType":"complete","_meta":${meta}}}`)
  },
  unreadable: (error) => errorEvent(placed, error),
})

/** The last words of a request's answer; undefined if it has none, as the legacy era's GET. */
export const lastWordsOf = (placed: Placed, placement: PlacementPort): LastWords | undefined => {
  const idText = placed.reading?.idText
  if (idText === undefined) return undefined
  return placed.openStream ? ofSubscription(placed, idText) : ofCall(placed, placement)
}
