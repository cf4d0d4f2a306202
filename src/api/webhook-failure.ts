import { type AppError, hasCode } from "../errors.ts"

/**
 * True if an admission webhook could not be asked, or gave no answer that the API server understands: it says 500 then, in
 * words that have stood since Kubernetes 1.9 (`failed calling webhook "name": …`).
 */
export const isWebhookFailure = (error: unknown): error is AppError =>
  hasCode(error, "ClusterUnavailable") && error.data?.status === 500 && /failed calling webhook/i.test(error.message)
