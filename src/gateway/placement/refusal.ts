import { isWebhookFailure } from "../../api/webhook-failure.ts"
import { AppError, hasCode, isAppError } from "../../errors.ts"

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
