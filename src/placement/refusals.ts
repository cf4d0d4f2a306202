import { AppError, hasCode, isAppError } from "../errors.ts"
import { isWebhookFailure } from "../ports/cluster.ts"
import type { Hold } from "./decide.ts"

/** Retry-After, in seconds, of a request whose hold timed out. */
const startingRetrySeconds = 2
/** Retry-After, in seconds, if the instance waited for a free place. */
const capacityRetrySeconds = 10

/** The error for a request that may not create an instance, if there is none. */
export const sessionNotFound = (): AppError =>
  new AppError("SessionNotFound", { detail: "The server that held this session is gone." })

/** The error if no place becomes free in time, or too many instances wait for one. */
export const capacityExceeded = (instance: string, reason: string, message: string): AppError =>
  new AppError("CapacityExceeded", {
    detail: message === "" ? "All instances are in use." : message,
    data: { reason, message, instance },
    retryAfterSeconds: capacityRetrySeconds,
  })

/** The error if the hold times out. The start goes on, and the next request waits for the same start. */
export const holdOver = (instance: string, hold: Hold | undefined): AppError => {
  const { reason = "Pending", message = "The instance is being started." } = hold ?? {}
  if (hold?.queued === true) return capacityExceeded(instance, reason, message)
  return new AppError("InstanceStarting", {
    detail: `The server is not ready yet (${reason}): ${message}`,
    data: { reason, message, instance },
    retryAfterSeconds: startingRetrySeconds,
  })
}

/** The error if too many creations came earlier. */
export const creationsBusy = (): AppError =>
  new AppError("InstanceStarting", {
    detail: "Many instances are being created: this one has not been created yet.",
    retryAfterSeconds: startingRetrySeconds,
  })

/** The error for an instance of the right name that belongs to another sharer or target. */
export const nameConflict = (name: string): AppError =>
  new AppError("NameConflict", {
    detail: `The instance ${name} exists and belongs to another sharer or target.`,
    data: { instance: name },
  })

/** The error while this replica stops. */
export const shuttingDown = (): AppError =>
  new AppError("ShuttingDown", { detail: "This replica is stopping.", retryAfterSeconds: 1 })

/** Retry-After, in seconds, for a quota: the end of any instance frees some of it. */
const quotaRetrySeconds = 30

/** The API server's message about a quota has only names and amounts, so the caller may see it. */
const quotaRefusal = (name: string, error: AppError): AppError => {
  const message = `A quota of the namespace has no room for the instance: ${error.message}`
  return new AppError("QuotaExceeded", {
    detail: message,
    data: { reason: "QuotaExceeded", message, instance: name },
    retryAfterSeconds: quotaRetrySeconds,
    cause: error,
  })
}

/** Uses the reason that the operator uses for the same fault. */
const webhookRefusal = (name: string, verb: string, error: AppError): AppError =>
  new AppError("InstanceFailed", {
    detail: `The API server cannot ${verb} the instance: an admission webhook of the cluster cannot be called.`,
    data: {
      reason: "WebhookFailed",
      message: "An admission webhook cannot be called: an administrator finds its name in the log",
      instance: name,
    },
    cause: error,
  })

/**
 * The error for a refusal of the API server. It leaves out the API server's message, which may quote the object. The
 * message is in the error's cause, which is in the audit line of each request that waited for the instance.
 */
export const refusal = (name: string, verb: "make" | "change", error: unknown): unknown => {
  if (hasCode(error, "QuotaExceeded")) return quotaRefusal(name, error)
  if (hasCode(error, "ApiTooManyRequests"))
    return new AppError("ClusterUnavailable", {
      detail: `The API server is too busy to ${verb} the instance.`,
      cause: error,
    })
  if (isWebhookFailure(error)) return webhookRefusal(name, verb, error)
  // the cause's message may contain addresses of the cluster
  if (hasCode(error, "ClusterUnavailable"))
    return new AppError("ClusterUnavailable", {
      detail: `The API server failed, or did not respond, when asked to ${verb} the instance.`,
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
