import { type Budget, createBudget } from "../intake/budget.ts"
import type { TelemetryPort } from "../ports/telemetry.ts"

/** Makes the budget of all request bodies of this replica, of MCP and of the REST API, and counts what becomes of it. */
export const createBodies = (telemetry: TelemetryPort, limit: number): Budget => {
  const refused = telemetry.counter({
    name: "reflow_bodies_refused_total",
    help: "Bodies that found no room, by whether the caller holds too much (owner) or all together do (replica).",
    labels: ["by"],
  })
  const budget = createBudget(limit, (by) => refused.inc({ by }))
  telemetry.reading(
    {
      name: "reflow_body_bytes",
      help: "Bytes of request bodies that are held, of MCP requests and of calls of the REST API.",
    },
    () => budget.held,
  )
  return budget
}
