import type { MCPInstance } from "./mcp-instance.ts"
import { isRetained } from "./reclaim.ts"

type Facts = Pick<MCPInstance, "metadata" | "spec" | "status">

/**
 * The restartTime that an instance was made with, by a manifest; undefined if it was made without. The operator keeps it
 * in the status at its first look, since each later edit of the spec hides what the instance began with.
 */
export const initialRestartTime = ({ metadata, spec, status }: Facts): string | undefined =>
  status?.initialRestartTime ?? (metadata.generation === 1 ? spec.restartTime : undefined)

/**
 * True if a restart was asked for since the instance was made, which ends it: one that was made with a restartTime is not
 * restarted by it. One that is retained never ends: there a new restartTime replaces the Pod, as each change of the spec does.
 */
export const asksForRestart = (instance: Facts): boolean =>
  !isRetained(instance) &&
  instance.spec.restartTime !== undefined &&
  instance.spec.restartTime !== initialRestartTime(instance)
