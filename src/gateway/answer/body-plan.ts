import type { IncomingHttpHeaders } from "node:http"
import { AppError } from "../../errors.ts"
import type { Turns } from "../../intake/turns.ts"
import { type BodyFilter, filterEvents, filterJson, type PolicyNow } from "../../mcp/tool-filter.ts"
import type { Placed } from "../pipeline.ts"
import type { BodySink, UpstreamAnswer } from "../wire/upstream-answer.ts"

/** An event stream, a JSON body, or something that is no MCP message. */
type BodyKind = "events" | "json" | "other"

/** How an answer's body goes on. */
export type BodyPlan = {
  readonly kind: BodyKind
  readonly filter: BodyFilter | undefined
  /** The type that the client is told, where it is not the server's own words: what was filtered is read as nothing else. */
  readonly type?: string
}

/** Names of codings that change nothing: `identity` (RFC 9110 §12.5.3), and what some servers say instead. */
const noCodings: readonly string[] = ["", "identity", "none"]

/** How a body is compressed, as its server says it; undefined if it is not. */
export const codingOf = ({ "content-encoding": header = "" }: IncomingHttpHeaders): string | undefined =>
  header.split(",").some((coding) => !noCodings.includes(coding.trim().toLowerCase())) ? header : undefined

const kindOf = ({ status, headers }: UpstreamAnswer): BodyKind => {
  const type = String(headers["content-type"] ?? "").toLowerCase()
  if (type.startsWith("text/event-stream")) return "events"
  return type.startsWith("application/json") || status < 300 ? "json" : "other"
}

const plainType = /^(?:application\/json|text\/(?:event-stream|plain|html))(?=[; ]|$)/i
const utf8Events = /^text\/event-stream(?:; ?charset="?utf-8"?)?$/i

const filteredTypes: Readonly<Record<"events" | "json", string>> = {
  events: "text/event-stream",
  json: "application/json",
}

/** Plans how a body goes on under the tool policy as it is now. Throws UpstreamInvalid for a body that cannot be read. */
export const planFor = (answer: UpstreamAnswer, policyNow: PolicyNow): BodyPlan => {
  const kind = kindOf(answer)
  const type = String(answer.headers["content-type"] ?? "")
  const coding = codingOf(answer.headers)
  const policy = policyNow()
  if (policy === undefined) {
    const isReadable = coding === undefined && utf8Events.test(type)
    return { kind, filter: kind === "events" ? filterEvents(policyNow, isReadable) : undefined }
  }
  if (kind === "other") return { kind, filter: undefined, type: plainType.exec(type)?.[0] ?? "text/plain" }
  if (coding !== undefined) {
    const detail = "The server compressed its answer unasked, so the tool policy cannot be applied to it."
    throw new AppError("UpstreamInvalid", { detail })
  }
  return { kind, type: filteredTypes[kind], filter: kind === "events" ? filterEvents(policyNow) : filterJson(policy) }
}

/**
 * The status with which an answer goes on without its body: what answers no request (notifications, responses, the end of a
 * session) has no body that matters (MCP 2025-11-25, Streamable HTTP: 202), and servers put all sorts of text into it.
 * Undefined if the body belongs to the answer.
 */
export const bodilessStatus = ({ verb, messages }: Placed, { status }: UpstreamAnswer): number | undefined => {
  if (status < 200 || status >= 300) return undefined
  if (verb === "DELETE") return status
  if (verb === "GET" || messages.some(({ kind }) => kind === "request")) return undefined
  return 202
}

/**
 * The answer with a body that comes no faster than its sink's work leaves turns of the event loop to others: in a turn that
 * is spent its pieces, and its end, wait for a later one of their owner, in order. Once `signal` is aborted nothing waits.
 */
export const paced = (
  answer: UpstreamAnswer,
  turns: Turns,
  { owner, signal }: { readonly owner: string; readonly signal: AbortSignal },
): UpstreamAnswer => {
  const late: (() => void)[] = []
  let isLate = false
  /** False while the sink wants no more, until it resumes. */
  let wants = true

  const catchUp = async (sink: BodySink): Promise<void> => {
    try {
      for (let step = late.shift(); step !== undefined; step = late.shift()) {
        await turns.next(owner, signal)
        step()
      }
      isLate = false
      if (wants) answer.resume()
    } catch {
      sink.fail(signal.reason)
    }
  }
  const give = (sink: BodySink, chunk: Buffer): boolean => {
    wants = turns.measure(() => sink.data(chunk))
    return wants
  }
  const inOrder = (sink: BodySink, step: () => void): void => {
    late.push(step)
    if (isLate) return
    isLate = true
    void catchUp(sink)
  }
  return {
    status: answer.status,
    headers: answer.headers,
    consume: (sink) =>
      answer.consume({
        data: (chunk) => {
          if (!isLate && !turns.isSpent()) return give(sink, chunk)
          inOrder(sink, () => give(sink, chunk))
          return false
        },
        end: () => (isLate ? inOrder(sink, sink.end) : sink.end()),
        fail: (error) => (isLate && !signal.aborted ? inOrder(sink, () => sink.fail(error)) : sink.fail(error)),
      }),
    resume: () => {
      wants = true
      if (!isLate) answer.resume()
    },
    abort: () => answer.abort(),
  }
}
