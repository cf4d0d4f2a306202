import { type AppError, type ErrorCode, errorTable, isAppError } from "../../errors.ts"
import { createLogNames, type LogNames } from "../../identity/subject-key.ts"
import type { Message } from "../../mcp/message.ts"
import type { TelemetryPort } from "../../ports/telemetry.ts"
import type { Answered, Known } from "../pipeline.ts"
import { clientLeft, createRequestMetrics } from "./request-metrics.ts"

/** What was decided on a request: `none` if it ended before anything was, e.g. because its body is no JSON. */
type Decision = "allowed" | "denied" | "none"

/** Errors by which identity and policy refuse. */
const denials: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "Unauthenticated",
  "Forbidden",
  "TargetNotFound",
  "UnknownTool",
  "SubjectKeyDenied",
  "HostNotAllowed",
  "OriginNotAllowed",
])

/** What was decided on a request that came so far and, if so, failed with `error`. */
const decisionOf = (known: Pick<Known, "messages">, error: AppError | undefined): Decision => {
  if (error !== undefined && denials.has(error.code)) return "denied"
  return known.messages === undefined ? "none" : "allowed"
}

/** What became of a request: answered by its server, or by us with an error. `now` in milliseconds since the epoch. */
type Verdict = {
  readonly known: Known
  readonly now: number
  readonly outcome?: Answered
  readonly error?: AppError
  /** True if the client left before there was an answer. */
  readonly left?: boolean
}

/** A request that never became an MCP request. */
type Refusal = {
  /** What is known of it; nothing, if it could not be read. */
  readonly request: { readonly method?: string | undefined; readonly url?: string | undefined }
  readonly requestId: string
  readonly error: AppError
}

/** Writes one line for each request and counts it. Bodies, arguments, tokens and session ids never appear. */
type Audit = {
  /** A request came in; the returned function says what became of it (once). */
  begin(): (verdict: Verdict) => void
  /** A request was refused before it was one. */
  refuse(refusal: Refusal): void
}

/** Most tools of a batch that a line names. */
const maxTools = 20

type Call = Exclude<Message, { kind: "response" }>
const isCall = (message: Message): message is Call => message.kind !== "response"
const toolOf = ({ method, params }: Call): string | undefined =>
  method === "tools/call" && typeof params.name === "string" ? params.name.slice(0, 128) : undefined

/**
 * The method and tool that the body asks for, denied ones too; of a batch the first method and all tools. Short, so that
 * the line stays short whatever was sent.
 */
const messageFields = ({ messages, reading }: Known): Record<string, unknown> => {
  const calls = (messages ?? reading?.messages)?.filter(isCall) ?? []
  const [first] = calls
  if (first === undefined) return {}
  const method = first.method.slice(0, 64)
  if (reading?.batch !== true) {
    const tool = toolOf(first)
    return tool === undefined ? { method } : { method, tool }
  }
  const tools = new Set(calls.map(toolOf).filter((tool) => tool !== undefined))
  return { method, batch: calls.length, tools: [...tools].slice(0, maxTools) }
}

const statusOf = ({ outcome, error, left }: Verdict): number =>
  left ? clientLeft : (outcome?.status ?? (error === undefined ? 0 : errorTable[error.code].status))

const failedEndings: readonly string[] = ["server gone", "unreadable"]

const failedEndingOf = ({ outcome }: Verdict): string | undefined =>
  outcome !== undefined && failedEndings.includes(outcome.ending) ? outcome.ending.replace(" ", "_") : undefined

/** The path without its query, in which clients put what is nobody's business. */
const pathOf = ({ url = "" }: Refusal["request"]): string => (url.split("?", 1)[0] ?? "").slice(0, 128)

/** Longest sentence of an error in a line. */
const longestWhy = 300

/**
 * Why a request was refused, as its caller was told it; and what caused that, if it was an error of ours, whose words have no
 * secrets. Others' words may quote a body.
 */
const whyOf = (error: AppError): Record<string, unknown> => ({
  code: error.code,
  why: error.message.slice(0, longestWhy),
  ...(isAppError(error.cause) ? { cause: error.cause.message.slice(0, longestWhy) } : {}),
})

/** Makes the audit log and the metrics of MCP requests. `names`: how it names callers; default by digest. */
export const createAudit = (telemetry: TelemetryPort, names: LogNames = createLogNames("digest")): Audit => {
  const metrics = createRequestMetrics(telemetry)

  const tellInternal = (requestId: string, error: AppError | undefined): void => {
    if (error?.code !== "Internal") return
    telemetry.log.error("A request failed inside the gateway.", { request_id: requestId, error })
  }
  const count = (verdict: Verdict): void => {
    const { known, outcome, error, now } = verdict
    const seconds = ((outcome?.answeredAt ?? now) - known.receivedAt) / 1_000
    const failedEnding = failedEndingOf(verdict)
    metrics.ended()
    metrics.count({ verb: known.verb, status: statusOf(verdict), error, seconds, failedEnding })
  }
  const write = (verdict: Verdict): void => {
    const { known, outcome, error, now } = verdict
    const placement = outcome?.placed.placement ?? known.placement
    telemetry.log.info("mcp request", {
      request_id: known.requestId,
      verb: known.verb,
      target: known.targetName.slice(0, 64),
      ...(known.identity === undefined ? {} : names.caller(known.identity)),
      ...(placement === undefined ? {} : { instance: placement.instance }),
      ...messageFields(known),
      decision: decisionOf(known, error),
      status: statusOf(verdict),
      ...(error === undefined || verdict.left ? {} : whyOf(error)),
      ...(outcome === undefined ? {} : { ending: outcome.ending, answer_ms: outcome.answeredAt - known.receivedAt }),
      ...(placement?.waitedMs === undefined ? {} : { wait_ms: placement.waitedMs }),
      ...(placement?.timings === undefined ? {} : { start_seconds: placement.timings }),
      total_ms: now - known.receivedAt,
    })
    if (!verdict.left) tellInternal(known.requestId, error)
  }
  return {
    begin: () => {
      metrics.began()
      return (verdict) => {
        count(verdict)
        write(verdict)
      }
    },
    refuse: ({ request, requestId, error }) => {
      const { status } = errorTable[error.code]
      const verb = request.method ?? ""
      metrics.count({ verb, status, error })
      const line = { request_id: requestId, verb, path: pathOf(request), decision: decisionOf({}, error) }
      telemetry.log.info("request refused", { ...line, status, ...whyOf(error) })
      tellInternal(requestId, error)
    },
  }
}
