import { findCondition } from "../api/kinds/kind.ts"
import type { MCPInstance } from "../api/kinds/mcp-instance.ts"
import { markDelayMs } from "./in-use.ts"

/**
 * A drain takes at least this long, milliseconds: longer than a gateway waits before it writes an in-use mark for an
 * open call, and long enough for each gateway to see the drain in its watch or in an answer of the API server.
 */
export const leastDrainMs = markDelayMs + 500

/**
 * Delay before a gateway acknowledges a drain, milliseconds, so that requests placed just before it are already counted as
 * open calls.
 */
export const acknowledgeDelayMs = 100

/** A drain waits no longer than this for gateways that do not acknowledge it, milliseconds. */
export const gatewaysMs = 30_000

/** Reasons of drains that a new request cancels. Drains of other reasons are always completed. */
const cancellable: readonly string[] = ["Idle", "Evicted"]

/** True if a new request for the instance cancels a drain of this reason. */
export const isCancellable = (reason: string): boolean => cancellable.includes(reason)

/**
 * True if a drain of this reason waits until gateways have acknowledged it. A drain for idleness does not wait: so
 * close to the end of the idle TTL, a gateway records use and awaits that record before it sends a request to the
 * instance.
 */
export const waitsForGateways = (reason: string): boolean => reason !== "Idle"

/**
 * The identifier of the running drain that waits for gateways: its `drainDeadlineTime`, which no other drain of the
 * instance has. Gateways acknowledge the drain by writing this value into `drainSeenBy`. Undefined if there is no such
 * drain.
 */
export const drainToAcknowledge = ({ status }: Pick<MCPInstance, "status">): string | undefined => {
  const draining = findCondition(status?.conditions, "Draining")
  return draining?.status === "True" && waitsForGateways(draining.reason) ? status?.drainDeadlineTime : undefined
}
