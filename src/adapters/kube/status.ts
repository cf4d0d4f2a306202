import { AppError, type ErrorCode } from "../../errors.ts"

/** The API server's answer to a refused call (Kubernetes Status). */
type Status = {
  readonly kind?: string
  readonly code?: number
  readonly reason?: string
  readonly message?: string
  readonly details?: { readonly retryAfterSeconds?: number }
}

const codes: Readonly<Record<number, ErrorCode>> = {
  400: "ApiInvalid",
  401: "ApiForbidden",
  403: "ApiForbidden",
  404: "ApiNotFound",
  409: "ApiConflict",
  410: "ApiGone",
  422: "ApiInvalid",
  429: "ApiTooManyRequests",
}

const parse = (body: string): Status => {
  try {
    const value: unknown = JSON.parse(body)
    return typeof value === "object" && value !== null ? value : {}
  } catch {
    return {}
  }
}

/**
 * The error for a refused call. `what` names verb and object. The server's own words are repeated, since they say which
 * field or rule it was, but never for Secrets, whose values a message may quote.
 */
export const toApiError = (status: number, body: string, what: string, isSecret: boolean): AppError => {
  const parsed = parse(body)
  const code = parsed.reason === "AlreadyExists" ? "ApiAlreadyExists" : (codes[status] ?? "ClusterUnavailable")
  const said = isSecret || parsed.message === undefined ? `${status} ${parsed.reason ?? ""}`.trim() : parsed.message
  return new AppError(code, {
    detail: `${what}: ${said}`.slice(0, 1024),
    data: { status, reason: parsed.reason ?? "" },
    ...(parsed.details?.retryAfterSeconds === undefined ? {} : { retryAfterSeconds: parsed.details.retryAfterSeconds }),
  })
}
