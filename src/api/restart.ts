import type { MCPInstance } from "./mcp-instance.ts"

type Facts = Pick<MCPInstance, "metadata" | "spec" | "status">

/**
 * The restartTime that an instance was made with, by a manifest; undefined if it was made without. The operator keeps it
 * in the status at its first look, since each later edit of the spec hides what the instance began with.
 */
export const initialRestartTime = ({ metadata, spec, status }: Facts): string | undefined =>
  status?.initialRestartTime ?? (metadata.generation === 1 ? spec.restartTime : undefined)

/** True if a restart was asked for since the instance was made: one that was made with a restartTime is not restarted by it. */
export const asksForRestart = (instance: Facts): boolean =>
  instance.spec.restartTime !== undefined && instance.spec.restartTime !== initialRestartTime(instance)
