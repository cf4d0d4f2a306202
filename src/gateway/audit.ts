import { createHash } from "node:crypto"
import { type AppError, errorTable } from "../errors.ts"
import type { Identity } from "../identity/identity.ts"
import type { TelemetryPort } from "../ports/telemetry.ts"
import type { Known } from "./pipeline.ts"
import type { Outcome } from "./respond.ts"

/** What became of a request: answered by its server, or by us with an error. `now` in milliseconds since the epoch. */
export type Verdict = {
  readonly known: Known
  readonly now: number
  readonly outcome?: Outcome
  readonly error?: AppError
  /** True if the client left before there was an answer. */
  readonly left?: boolean
}

/** Writes one line for each request and counts it. Bodies, arguments, tokens and session ids never appear. */
export type Audit = {
  /** A request came in; the returned function says what became of it (once). */
  begin(): (verdict: Verdict) => void
}

const rememberedDigests = 10_000

/** A short name for a caller in logs: 16 hex digits of SHA-256 over source, issuer and subject. */
const createDigests = () => {
  const known = new Map<string, string>()
  return ({ source, issuer, subject }: Identity): string => {
    const text = `${source}\0${issuer}\0${subject}`
    const found = known.get(text)
    if (found !== undefined) return found
    if (known.size >= rememberedDigests) known.clear()
    const made = createHash("sha256").update(text).digest("hex").slice(0, 16)
    known.set(text, made)
    return made
  }
}

/**
 * The method and tool of the (first) message, also of one that the policy refused: short, so that the line stays short
 * whatever was sent.
 */
const messageFields = ({ reading }: Known): Record<string, unknown> => {
  const message = reading?.messages.find((each) => each.kind !== "response")
  if (message === undefined) return {}
  const method = message.method.slice(0, 64)
  const { name } = message.params
  return message.method === "tools/call" && typeof name === "string" ? { method, tool: name.slice(0, 128) } : { method }
}

/** Status that the log shows for a client that left before its answer (nginx' convention). */
const clientLeft = 499

const statusOf = ({ outcome, error, left }: Verdict): number =>
  left ? clientLeft : (outcome?.status ?? (error === undefined ? 0 : errorTable[error.code].status))

const buckets = [0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900]

const defineMetrics = (telemetry: TelemetryPort) => ({
  requests: telemetry.counter({
    name: "reflow_gateway_requests_total",
    help: "MCP requests by verb, status and code of our own errors (empty = the server answered).",
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

const failedEndings: readonly string[] = ["server gone", "unreadable"]

/** Makes the audit log and the metrics of MCP requests. */
export const createAudit = (telemetry: TelemetryPort): Audit => {
  const digestOf = createDigests()
  const metrics = defineMetrics(telemetry)

  const count = (verdict: Verdict): void => {
    const { known, outcome, error, now } = verdict
    const { verb } = known
    metrics.inFlight.inc(undefined, -1)
    metrics.requests.inc({ verb, status: String(statusOf(verdict)), code: error?.code ?? "" })
    metrics.seconds.observe(((outcome?.answeredAt ?? now) - known.receivedAt) / 1_000, { verb })
    const reason = error?.code.startsWith("Upstream") ? error.code : outcome?.ending.replace(" ", "_")
    if (error?.code.startsWith("Upstream") || failedEndings.includes(outcome?.ending ?? "")) {
      metrics.upstreamErrors.inc({ reason: reason ?? "" })
    }
  }
  const write = (verdict: Verdict): void => {
    const { known, outcome, error, now } = verdict
    const placement = outcome?.placed.placement ?? known.placement
    telemetry.log.info("mcp request", {
      request_id: known.requestId,
      verb: known.verb,
      target: known.targetName.slice(0, 64),
      ...(known.identity === undefined ? {} : { subject: digestOf(known.identity) }),
      ...(placement === undefined ? {} : { instance: placement.instance }),
      ...messageFields(known),
      status: statusOf(verdict),
      ...(error === undefined || verdict.left ? {} : { code: error.code }),
      ...(outcome === undefined ? {} : { ending: outcome.ending, answer_ms: outcome.answeredAt - known.receivedAt }),
      ...(placement?.timings === undefined ? {} : { start_seconds: placement.timings }),
      total_ms: now - known.receivedAt,
    })
    if (error?.code === "Internal" && !verdict.left) {
      telemetry.log.error("A request failed inside the gateway.", { request_id: known.requestId, error })
    }
  }
  return {
    begin: () => {
      metrics.inFlight.inc()
      return (verdict) => {
        count(verdict)
        write(verdict)
      }
    },
  }
}
