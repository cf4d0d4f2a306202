import { findCondition } from "../api/kinds/kind.ts"
import type { MCPInstance } from "../api/kinds/mcp-instance.ts"

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
