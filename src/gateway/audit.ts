import { STATUS_CODES } from "node:http"
import { type AppError, type ErrorCode, errorTable, isAppError } from "../errors.ts"
import { createLogNames, type LogNames } from "../identity/subject-key.ts"
import type { Message } from "../mcp/message.ts"
import type { Counter, TelemetryPort } from "../ports/telemetry.ts"
import type { Answered, Known } from "./pipeline.ts"

/** Status logged and counted for a client that disconnected before its answer (nginx' convention). */
const clientLeft = 499

/** A finished request, as it is counted. */
type Counted = {
  readonly verb: string
  readonly status: number
  /** Our own error; undefined = the server answered. */
  readonly error: AppError | undefined
  /**
   * Time until the head of the answer, seconds; undefined if the request was refused before it became an MCP request.
   */
  readonly seconds?: number
  /** `server_gone` or `unreadable` if the answer's body ended so. */
  readonly failedEnding?: string | undefined
}

/** Counts requests. Every label has a bounded set of values, whatever clients and servers send. */
type RequestMetrics = {
  began(): void
  ended(): void
  count(request: Counted): void
}

/** The last labels and their number: most requests have those of the one before. */
type Last = { readonly verb: string; readonly status: number; readonly code: string; readonly number: Ticker }
type Ticker = ReturnType<Counter["of"]>

const verbs: ReadonlySet<string> = new Set(["GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH"])

/** The label of a status; `other` where HTTP has no name for it, because a server may answer any three digits. */
const statusLabel = (status: number): string =>
  status === clientLeft || STATUS_CODES[status] !== undefined ? String(status) : "other"

const buckets = [0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900]

const define = (telemetry: TelemetryPort) => ({
  requests: telemetry.counter({
    name: "reflow_gateway_requests_total",
    help: "MCP requests, including those rejected before authentication, by verb, status and code of our own errors (empty = the server answered).",
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
const createRequestMetrics = (telemetry: TelemetryPort): RequestMetrics => {
  const metrics = define(telemetry)
  let last: Last | undefined
  const numberOf = (verb: string, status: number, code: string): Ticker => {
    if (last?.verb === verb && last.status === status && last.code === code) return last.number
    const number = metrics.requests.of({ verb, status: statusLabel(status), code })
    last = { verb, status, code, number }
    return number
  }
  return {
    began: () => metrics.inFlight.inc(),
    ended: () => metrics.inFlight.inc(undefined, -1),
    count: ({ verb, status, error, seconds, failedEnding }) => {
      const label = verbs.has(verb) ? verb : "other"
      numberOf(label, status, error?.code ?? "").inc()
      if (seconds !== undefined) metrics.seconds.observe(seconds, { verb: label })
      const reason = error?.code.startsWith("Upstream") ? error.code : failedEnding
      if (reason !== undefined) metrics.upstreamErrors.inc({ reason })
    },
  }
}

/** The decision on a request; `none` if the request failed before a decision, e.g. because its body is not JSON. */
type Decision = "allowed" | "denied" | "none"

/** Errors that deny access, because of the caller's identity or a policy. */
const denials: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "Unauthenticated",
  "Forbidden",
  "TargetNotFound",
  "UnknownTool",
  "SubjectKeyDenied",
  "HostNotAllowed",
  "OriginNotAllowed",
])

/** The decision on a request, from what is known of it and from the error with which it failed, if any. */
const decisionOf = (known: Pick<Known, "messages">, error: AppError | undefined): Decision => {
  if (error !== undefined && denials.has(error.code)) return "denied"
  return known.messages === undefined ? "none" : "allowed"
}

/**
 * How a request ended: answered by its server (`outcome`), or by us with `error`. `now` in milliseconds since the
 * epoch.
 */
type Verdict = {
  readonly known: Known
  readonly now: number
  readonly outcome?: Answered
  readonly error?: AppError
  /** True if the client disconnected before there was an answer. */
  readonly left?: boolean
}

/** A request that never became an MCP request. */
type Refusal = {
  /** What is known of the request; empty if it could not be read as HTTP. */
  readonly request: { readonly method?: string | undefined; readonly url?: string | undefined }
  readonly requestId: string
  readonly error: AppError
}

/** Writes one line for each request and counts it. Bodies, arguments, tokens and session ids never appear. */
type Audit = {
  /** Call it when a request arrives, and the returned function once, when the request is over. */
  begin(): (verdict: Verdict) => void
  /** Call it for a request that was refused before it became an MCP request. */
  refuse(refusal: Refusal): void
}

/** Most tools of a batch that a line names. */
const maxTools = 20

type Call = Exclude<Message, { kind: "response" }>
const isCall = (message: Message): message is Call => message.kind !== "response"
const toolOf = ({ method, params }: Call): string | undefined =>
  method === "tools/call" && typeof params.name === "string" ? params.name.slice(0, 128) : undefined

type MessageFields = {
  readonly method?: string
  readonly tool?: string | undefined
  readonly batch?: number
  readonly tools?: readonly string[]
}
const noMessage: MessageFields = {}

/**
 * The method and tool that the body asks for, denied ones too; of a batch the first method and all tools. Names are
 * cut, so that the line stays short whatever was sent.
 */
const messageFields = ({ messages, reading }: Known): MessageFields => {
  const all = messages ?? reading?.messages ?? []
  const first = all.find(isCall)
  if (first === undefined) return noMessage
  const method = first.method.slice(0, 64)
  if (reading?.batch !== true) return { method, tool: toolOf(first) }
  const calls = all.filter(isCall)
  const tools = new Set(calls.map(toolOf).filter((tool) => tool !== undefined))
  return { method, batch: calls.length, tools: [...tools].slice(0, maxTools) }
}

const statusOf = ({ outcome, error, left }: Verdict): number =>
  left ? clientLeft : (outcome?.status ?? (error === undefined ? 0 : errorTable[error.code].status))

const failedEndings: readonly string[] = ["server gone", "unreadable"]

const failedEndingOf = ({ outcome }: Verdict): string | undefined =>
  outcome !== undefined && failedEndings.includes(outcome.ending) ? outcome.ending.replace(" ", "_") : undefined

/** The path without its query, because clients put secrets into queries; at most 128 characters. */
const pathOf = ({ url = "" }: Refusal["request"]): string => (url.split("?", 1)[0] ?? "").slice(0, 128)

/** Most characters of an error's message in a line. */
const longestWhy = 300

/**
 * The error's code and its message, as the caller got them. The message of the cause is added only if the cause is an
 * AppError, whose messages hold no secrets; other messages may quote a body.
 */
const whyOf = (error: AppError): { readonly code: string; readonly why: string; readonly cause?: string } => ({
  code: error.code,
  why: error.message.slice(0, longestWhy),
  ...(isAppError(error.cause) ? { cause: error.cause.message.slice(0, longestWhy) } : {}),
})

/**
 * The fields of a request's line; the logger leaves out the undefined ones. One literal, whose shape is always the
 * same: joined from parts, it took 3 µs more.
 */
const lineOf = (verdict: Verdict, names: LogNames) => {
  const { known, outcome, error, now } = verdict
  const placement = outcome?.placed.placement ?? known.placement
  const caller = known.identity === undefined ? undefined : names.caller(known.identity)
  const message = messageFields(known)
  const failure = error === undefined || verdict.left ? undefined : whyOf(error)
  return {
    request_id: known.requestId,
    verb: known.verb,
    target: known.targetName.slice(0, 64),
    subject: caller?.subject,
    email: caller?.email,
    instance: placement?.remote === undefined ? placement?.instance : undefined,
    upstream: placement?.remote === undefined ? undefined : placement.url.host,
    method: message.method,
    tool: message.tool,
    batch: message.batch,
    tools: message.tools,
    decision: decisionOf(known, error),
    status: statusOf(verdict),
    code: failure?.code,
    why: failure?.why,
    cause: failure?.cause,
    ending: outcome?.ending,
    answer_ms: outcome === undefined ? undefined : outcome.answeredAt - known.receivedAt,
    wait_ms: placement?.waitedMs,
    start_seconds: placement?.timings,
    total_ms: now - known.receivedAt,
  }
}

/** Creates the audit log and the metrics of MCP requests. `names`: how the log names callers; default by digest. */
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
    telemetry.log.info("mcp request", lineOf(verdict, names))
    if (!verdict.left) logInternal(verdict.known.requestId, verdict.error)
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
