import type { MCPTarget } from "../../api/mcp-target.ts"
import { AppError } from "../../errors.ts"
import type { Reflection } from "../../ports/cluster.ts"
import type { Hold } from "./decide.ts"

/** Seconds after which a request that was held in vain may come again. */
const startingRetrySeconds = 2
/** The same for one that waited for a free place. */
const capacityRetrySeconds = 10

/** Nobody's instance lives, and the request may not make one. */
export const sessionNotFound = (): AppError =>
  new AppError("SessionNotFound", { detail: "The server that held this session is gone." })

/** There is no room, not even to wait. */
export const capacityExceeded = (instance: string, reason: string, message: string): AppError =>
  new AppError("CapacityExceeded", {
    detail: message === "" ? "All instances are in use." : message,
    data: { reason, message, instance },
    retryAfterSeconds: capacityRetrySeconds,
  })

/** The hold is over; the start goes on, and the next request joins it. */
export const holdOver = (instance: string, hold: Hold | undefined): AppError => {
  const { reason = "Pending", message = "The instance is being started." } = hold ?? {}
  if (hold?.queued === true) return capacityExceeded(instance, reason, message)
  return new AppError("InstanceStarting", {
    detail: `The server is not ready yet (${reason}): ${message}`,
    data: { reason, message, instance },
    retryAfterSeconds: startingRetrySeconds,
  })
}

/** The error for an instance of the right name that belongs to another sharer or target. */
export const nameConflict = (name: string): AppError =>
  new AppError("NameConflict", {
    detail: `The instance ${name} exists and belongs to another sharer or target.`,
    data: { instance: name },
  })

/** This replica stops. */
export const shuttingDown = (): AppError =>
  new AppError("ShuttingDown", { detail: "This replica is stopping.", retryAfterSeconds: 1 })

/**
 * Refuses requests to a target that takes none.
 * @throws TargetPaused, TargetNotFound (it is being deleted)
 */
export const ensureOpen = ({ metadata, spec }: MCPTarget): void => {
  if (metadata.deletionTimestamp !== undefined)
    throw new AppError("TargetNotFound", { detail: `The target ${metadata.name} is being deleted.` })
  if (spec.paused === true)
    throw new AppError("TargetPaused", { detail: `The target ${metadata.name} is paused.`, retryAfterSeconds: 60 })
}

/**
 * The same for a request that has waited: for a target that went meanwhile an instance would be made in vain, again and
 * again, because the cluster removes what has no owner.
 * @throws TargetPaused, TargetNotFound
 */
export const ensureStillOpen = (targets: Pick<Reflection<MCPTarget>, "get">, { metadata }: MCPTarget): void => {
  const now = targets.get(metadata.name)
  if (now === undefined || now.metadata.uid !== metadata.uid)
    throw new AppError("TargetNotFound", { detail: `The target ${metadata.name} was deleted.` })
  ensureOpen(now)
}
