import { type Budget, createBudget } from "../intake/budget.ts"
import type { TelemetryPort } from "../ports/telemetry.ts"

/** Makes the budget of all request bodies of this replica, of MCP and of the REST API, and counts what becomes of it. */
export const createBodies = (telemetry: TelemetryPort, limit: number): Budget => {
  const held = telemetry.gauge({
    name: "reflow_body_bytes",
    help: "Bytes of request bodies that are held, of MCP requests and of calls of the REST API.",
  })
  const refused = telemetry.counter({
    name: "reflow_bodies_refused_total",
    help: "Bodies that found no room, by whether the caller holds too much (owner) or all together do (replica).",
    labels: ["by"],
  })
  return createBudget(limit, { changed: (bytes) => held.set(bytes), refused: (by) => refused.inc({ by }) })
}
