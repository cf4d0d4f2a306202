import { findCondition } from "./condition.ts"
import type { MCPInstance } from "./mcp-instance.ts"

/** Reasons of drains that use cancels. The others go on to their end: a gateway says of each that it saw it. */
const cancellable: readonly string[] = ["Idle", "Evicted"]

/** True if use cancels a drain of this reason. */
export const isCancellable = (reason: string): boolean => cancellable.includes(reason)

/**
 * The drain that goes on and that nothing cancels, by the name that gateways repeat in `drainSeenBy`: its
 * `drainDeadlineTime`, which no other drain of the instance has. Undefined if there is none.
 */
export const drainToAcknowledge = ({ status }: Pick<MCPInstance, "status">): string | undefined => {
  const draining = findCondition(status?.conditions, "Draining")
  return draining?.status === "True" && !isCancellable(draining.reason) ? status?.drainDeadlineTime : undefined
}
