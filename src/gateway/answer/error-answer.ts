import type { IncomingHttpHeaders } from "node:http"
import { problemFacts, problemOf, wholeMessage } from "../../api/problem.ts"
import { type AppError, type ErrorCode, errorTable } from "../../errors.ts"
import type { Known } from "../pipeline.ts"

/** The response header with the request's id, which the log has as `request_id`. */
export const requestIdHeader = "x-request-id"

/** An error as an HTTP response. */
export type ErrorAnswer = { readonly status: number; readonly headers: Record<string, string>; readonly body: string }

/** The part of a request that an error answer depends on. */
type Asked = { readonly headers: IncomingHttpHeaders }

const challengeOf = (request: Asked): string =>
  request.headers.authorization === undefined ? "Bearer" : 'Bearer error="invalid_token"'

const headersOf = (error: AppError, request: Asked): Record<string, string> => ({
  "x-content-type-options": "nosniff",
  ...(error.code === "Unauthenticated" ? { "www-authenticate": challengeOf(request) } : {}),
  ...(error.retryAfterSeconds === undefined ? {} : { "retry-after": String(Math.ceil(error.retryAfterSeconds)) }),
  ...error.headers,
})

/** An error as a problem document (RFC 9457). */
export const toProblem = (error: AppError, request: Asked, requestId: string): ErrorAnswer => ({
  status: errorTable[error.code].status,
  headers: { ...headersOf(error, request), "content-type": "application/problem+json" },
  body: JSON.stringify(problemOf(error, requestId)),
})

/** An error as a JSON-RPC error response; `idText` is the JSON source of the request's id. */
export const toRpcError = (
  error: AppError,
  request: Asked,
  about: { readonly requestId: string; readonly idText: string | undefined },
): ErrorAnswer => {
  const { status, rpc } = errorTable[error.code]
  const body = JSON.stringify({ code: rpc, message: wholeMessage(error), data: problemFacts(error, about.requestId) })
  return {
    status,
    headers: { ...headersOf(error, request), "content-type": "application/json" },
    body: `{"jsonrpc":"2.0","id":${about.idText ?? "null"},"error":${body}}`,
  }
}

/**
 * Errors that keep their status in answers to permitted requests, because MCP demands it (2025-11-25, Session
 * Management: 404).
 */
const withStatus: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["SessionNotFound"])

/**
 * The HTTP status of an error answer; `meant` is the status in errorTable. A permitted request with an id gets its
 * error as a JSON-RPC answer with status 200: at any other status many clients show the bare number and drop the body.
 */
const statusFor = ({ messages, reading }: Known, { code }: AppError, meant: number): number => {
  if (messages === undefined || reading?.idText === undefined || withStatus.has(code)) return meant
  const [first] = messages
  // clients take an error with status 200 to `server/discover` for that of a server of the older era
  return first?.kind === "request" && first.method === "server/discover" ? meant : 200
}

/**
 * The answer to an MCP request that failed: a problem document until the caller is known to be allowed to use the
 * target, from then on a JSON-RPC error with the request's id. Log and metrics have the status of errorTable.
 */
export const errorAnswer = (known: Known, error: AppError): ErrorAnswer => {
  const { requestId, target, reading } = known
  if (target === undefined) return toProblem(error, known, requestId)
  const answer = toRpcError(error, known, { requestId, idText: reading?.idText })
  return { ...answer, status: statusFor(known, error, answer.status) }
}
