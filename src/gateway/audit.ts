import { STATUS_CODES } from "node:http"
import { type AppError, type ErrorCode, errorTable, isAppError } from "../errors.ts"
import { createLogNames, type LogNames } from "../identity/subject-key.ts"
import type { Message } from "../mcp/message.ts"
import type { TelemetryPort } from "../ports/telemetry.ts"
import type { Answered, Known } from "./pipeline.ts"

/** Status that stands for a client that left before its answer (nginx' convention). */
export const clientLeft = 499

/** What is counted of a request that is over. */
type Counted = {
  readonly verb: string
  readonly status: number
  /** Our own error; undefined = the server answered. */
  readonly error: AppError | undefined
  /** Time until the head of the answer, seconds; undefined = it never was an MCP request. */
  readonly seconds?: number
  /** How the answer's body ended, if that was not as it should. */
  readonly failedEnding?: string | undefined
}

/** Counts requests. Every label has a bounded set of values, whatever clients and servers send. */
type RequestMetrics = {
  began(): void
  ended(): void
  count(request: Counted): void
}

const verbs: ReadonlySet<string> = new Set(["GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH"])

/** A server may answer any three digits: what HTTP has no name for is one value. */
const statusLabel = (status: number): string =>
  status === clientLeft || STATUS_CODES[status] !== undefined ? String(status) : "other"

const buckets = [0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900]

const define = (telemetry: TelemetryPort) => ({
  requests: telemetry.counter({
    name: "reflow_gateway_requests_total",
    help: "MCP requests, and what was refused at the door, by verb, status and code of our own errors (empty = the server answered).",
    labels: ["verb", "status", "code"],
  }),
  inFlight: telemetry.gauge({
    name: "reflow_gateway_requests_in_flight",
    help: "MCP requests being served, streams included.",
  }),
  seconds: telemetry.histogram({
    name: "reflow_gateway_answer_seconds",
    help: "Time until the head of the answer.",
    labels: ["verb"],
    buckets,
  }),
  upstreamErrors: telemetry.counter({
    name: "reflow_gateway_upstream_errors_total",
    help: "Answers that a server did not give or did not finish, by code or ending.",
    labels: ["reason"],
  }),
})

/** Defines the metrics of requests. */
export const createRequestMetrics = (telemetry: TelemetryPort): RequestMetrics => {
  const metrics = define(telemetry)
  return {
    began: () => metrics.inFlight.inc(),
    ended: () => metrics.inFlight.inc(undefined, -1),
    count: ({ verb, status, error, seconds, failedEnding }) => {
      const label = verbs.has(verb) ? verb : "other"
      metrics.requests.inc({ verb: label, status: statusLabel(status), code: error?.code ?? "" })
      if (seconds !== undefined) metrics.seconds.observe(seconds, { verb: label })
      const reason = error?.code.startsWith("Upstream") ? error.code : failedEnding
      if (reason !== undefined) metrics.upstreamErrors.inc({ reason })
    },
  }
}

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

  const logInternal = (requestId: string, error: AppError | undefined): void => {
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
    if (!verdict.left) logInternal(known.requestId, error)
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
      logInternal(requestId, error)
    },
  }
}
