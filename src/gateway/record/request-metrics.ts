import { STATUS_CODES } from "node:http"
import type { AppError } from "../../errors.ts"
import type { TelemetryPort } from "../../ports/telemetry.ts"

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
