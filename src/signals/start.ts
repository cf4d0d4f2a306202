import { type AppError, hasCode } from "../errors.ts"

/** The steps of a start, in order: JSON keys in an instance's `status.timings`, and metric names in Server-Timing. */
export const steps = ["queue", "create", "schedule", "pull", "start", "ready"] as const

/**
 * True if the API server could not call an admission webhook, or got an invalid response from it. The API server then
 * returns 500 with a message that is the same since Kubernetes 1.9 (`failed calling webhook "name": …`).
 */
export const isWebhookFailure = (error: unknown): error is AppError =>
  hasCode(error, "ClusterUnavailable") && error.data?.status === 500 && /failed calling webhook/i.test(error.message)
