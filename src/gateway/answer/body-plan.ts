import type { IncomingHttpHeaders } from "node:http"
import { AppError } from "../../errors.ts"
import { declaredLength } from "../../intake/bodies.ts"
import { heavyBytes, type Turns } from "../../intake/turns.ts"
import { filterJson } from "../../mcp/json-filter.ts"
import { type BodyFilter, filterEvents, type PolicyNow } from "../../mcp/tool-filter.ts"
import type { Signal } from "../../waiting/in-progress.ts"
import type { Placed } from "../pipeline.ts"
import type { BodySink, UpstreamAnswer } from "../wire/upstream-answer.ts"

/** An event stream, a JSON body, or something that is no MCP message. */
type BodyKind = "events" | "json" | "other"

/** How an answer's body is passed to the client. */
export type BodyPlan = {
  readonly kind: BodyKind
  /** Applies the tool policy; undefined: the body is passed on unchanged. */
  readonly filter: BodyFilter | undefined
  /**
   * The Content-Type for the client; absent: the server's own. Set under a tool policy, so that clients read the body
   * as the type that it was filtered as.
   */
  readonly type?: string
}

/**
 * Content-Encodings that change nothing: `identity` (RFC 9110 §12.5.3), and values that some servers send instead of
 * it.
 */
const noCodings: readonly string[] = ["", "identity", "none"]

/** The Content-Encoding of a body as its server sent it; undefined if the body is not compressed. */
export const codingOf = ({ "content-encoding": header }: IncomingHttpHeaders): string | undefined =>
  header?.split(",").some((coding) => !noCodings.includes(coding.trim().toLowerCase())) ? header : undefined

const kindOf = ({ status, headers }: UpstreamAnswer): BodyKind => {
  const type = String(headers["content-type"] ?? "").toLowerCase()
  if (type.startsWith("text/event-stream")) return "events"
  return type.startsWith("application/json") || status < 300 ? "json" : "other"
}

/** The body's length by its header; undefined if the server sent none. */
export const lengthOf = ({ headers }: Pick<UpstreamAnswer, "headers">): number | undefined =>
  declaredLength(headers["content-length"])

const plainType = /^(?:application\/json|text\/(?:event-stream|plain|html))(?=[; ]|$)/i
const utf8Events = /^text\/event-stream(?:; ?charset="?utf-8"?)?$/i

const filteredTypes: Readonly<Record<"events" | "json", string>> = {
  events: "text/event-stream",
  json: "application/json",
}

/**
 * Plans how a body is passed on under the current tool policy. Throws UpstreamInvalid for a compressed body that the
 * policy would have to read.
 */
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
  const filter = kind === "events" ? filterEvents(policyNow) : filterJson(policy, lengthOf(answer))
  return { kind, type: filteredTypes[kind], filter }
}

/**
 * The status of an answer that is passed on without its body; undefined if the body belongs to the answer. The answer
 * to a DELETE, or to a POST without a request, has no meaningful body (MCP 2025-11-25, Streamable HTTP: 202), and
 * servers put arbitrary text into it.
 */
export const bodilessStatus = ({ verb, messages }: Placed, { status }: UpstreamAnswer): number | undefined => {
  if (status < 200 || status >= 300) return undefined
  if (verb === "DELETE") return status
  if (verb === "GET" || messages.some(({ kind }) => kind === "request")) return undefined
  return 202
}

/** True if a body under a tool policy is {@link paced}: not a short one, whose length is known. */
export const needsPace = (answer: UpstreamAnswer, { type }: BodyPlan): boolean =>
  type !== undefined && (lengthOf(answer) ?? heavyBytes) >= heavyBytes

/**
 * Delays the body of an answer, so that the work of its sink leaves turns of the event loop to others. Once the time of
 * a turn is spent, the next pieces and the end wait, in order, for later turns of `owner`. Once `signal` is aborted,
 * the sink fails without waiting.
 */
export const paced = (
  answer: UpstreamAnswer,
  turns: Turns,
  { owner, signal }: { readonly owner: string; readonly signal: Signal },
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
        end: () => (isLate ? inOrder(sink, () => sink.end()) : sink.end()),
        fail: (error) => (isLate && !signal.aborted ? inOrder(sink, () => sink.fail(error)) : sink.fail(error)),
      }),
    resume: () => {
      wants = true
      if (!isLate) answer.resume()
    },
    abort: () => answer.abort(),
  }
}
