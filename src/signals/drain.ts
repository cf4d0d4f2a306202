import { findCondition } from "../api/kinds/kind.ts"
import type { MCPInstance } from "../api/kinds/mcp-instance.ts"
import { markDelayMs } from "./in-use.ts"

/**
 * A drain takes at least this long, milliseconds: more than a gateway waits before it marks an open call, and enough for each
 * one to learn of the drain, or to ask the API server.
 */
export const leastDrainMs = markDelayMs + 500

/**
 * Delay before a gateway acknowledges a drain, milliseconds, so that requests placed just before it are already counted as
 * open calls.
 */
export const acknowledgeDelayMs = 100

/** A drain waits no longer than this for gateways that do not acknowledge it, milliseconds. */
export const gatewaysMs = 30_000

/** Reasons of drains that use cancels. The others go on to their end. */
const cancellable: readonly string[] = ["Idle", "Evicted"]

/** True if use cancels a drain of this reason. */
export const isCancellable = (reason: string): boolean => cancellable.includes(reason)

/**
 * True if a drain of this reason waits until gateways have said that they saw it. Not for idleness: a gateway that knows
 * nothing of that drain records use, and awaits the record, before it sends anything so close to the end of the idle TTL.
 */
export const waitsForGateways = (reason: string): boolean => reason !== "Idle"

/**
 * The drain that goes on and waits for gateways, by the name that gateways repeat in `drainSeenBy`: its
 * `drainDeadlineTime`, which no other drain of the instance has. Undefined if there is none.
 */
export const drainToAcknowledge = ({ status }: Pick<MCPInstance, "status">): string | undefined => {
  const draining = findCondition(status?.conditions, "Draining")
  return draining?.status === "True" && waitsForGateways(draining.reason) ? status?.drainDeadlineTime : undefined
}
