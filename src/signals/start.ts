import { type AppError, hasCode } from "../errors.ts"

/** The steps of a start, in their order: keys of an instance's `status.timings`, and names in Server-Timing. */
export const steps = ["queue", "create", "schedule", "pull", "start", "ready"] as const

/**
 * True if an admission webhook could not be asked, or gave no answer that the API server understands: it says 500 then, in
 * words that have stood since Kubernetes 1.9 (`failed calling webhook "name": …`).
 */
export const isWebhookFailure = (error: unknown): error is AppError =>
  hasCode(error, "ClusterUnavailable") && error.data?.status === 500 && /failed calling webhook/i.test(error.message)
