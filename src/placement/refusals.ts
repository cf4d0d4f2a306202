import { AppError, hasCode, isAppError } from "../errors.ts"
import { isWebhookFailure } from "../signals/start.ts"
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

/** Seconds after which a quota may have room: whoever ends an instance gives some back. */
const quotaRetrySeconds = 30

/** A quota's words hold names and amounts: they are for the caller too. */
const quotaRefusal = (name: string, error: AppError): AppError => {
  const message = `A quota of the namespace has no room for the instance: ${error.message}`
  return new AppError("QuotaExceeded", {
    detail: message,
    data: { reason: "QuotaExceeded", message, instance: name },
    retryAfterSeconds: quotaRetrySeconds,
    cause: error,
  })
}

/** By the operator's own word for it. */
const webhookRefusal = (name: string, verb: string, error: AppError): AppError =>
  new AppError("InstanceFailed", {
    detail: `The API server cannot ${verb} the instance: an admission webhook of the cluster cannot be asked.`,
    data: {
      reason: "WebhookFailed",
      message: "An admission webhook cannot be asked: an administrator finds its name in the log",
      instance: name,
    },
    cause: error,
  })

/**
 * What the API server refused, told to the caller without its words: they may quote the object. They are the error's cause,
 * which is in the audit line of each request that waited for the instance.
 */
export const refusal = (name: string, verb: "make" | "change", error: unknown): unknown => {
  if (hasCode(error, "QuotaExceeded")) return quotaRefusal(name, error)
  if (hasCode(error, "ApiTooManyRequests"))
    return new AppError("ClusterUnavailable", {
      detail: `The API server is too busy to ${verb} the instance.`,
      cause: error,
    })
  if (isWebhookFailure(error)) return webhookRefusal(name, verb, error)
  // its words may name addresses of the cluster
  if (hasCode(error, "ClusterUnavailable"))
    return new AppError("ClusterUnavailable", {
      detail: `The API server failed, or gave no answer, when it was to ${verb} the instance.`,
      ...(error.retryAfterSeconds === undefined ? {} : { retryAfterSeconds: error.retryAfterSeconds }),
      cause: error,
    })
  if (!isAppError(error) || !["ApiForbidden", "ApiInvalid", "ApiNotFound"].includes(error.code)) return error
  return new AppError("InstanceFailed", {
    detail: `The API server refused to ${verb} the instance (${error.code}).`,
    data: {
      reason: verb === "make" ? "CreateRefused" : "ChangeRefused",
      message: `${error.code}: an administrator finds the details in the log`,
      instance: name,
    },
    cause: error,
  })
}
