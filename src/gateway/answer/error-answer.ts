import { type IncomingHttpHeaders, STATUS_CODES } from "node:http"
import { type AppError, type ErrorCode, errorTable } from "../../errors.ts"
import type { Known } from "../pipeline.ts"

/** The header that tells a request's id, which is in the log too. */
export const requestIdHeader = "x-request-id"

/** An error as it goes out. */
export type ErrorAnswer = { readonly status: number; readonly headers: Record<string, string>; readonly body: string }

/** What an answer must know of its request. */
type Asked = { readonly headers: IncomingHttpHeaders }

const challengeOf = (request: Asked): string =>
  request.headers.authorization === undefined ? "Bearer" : 'Bearer error="invalid_token"'

const headersOf = (error: AppError, request: Asked): Record<string, string> => ({
  "x-content-type-options": "nosniff",
  ...(error.code === "Unauthenticated" ? { "www-authenticate": challengeOf(request) } : {}),
  ...(error.retryAfterSeconds === undefined ? {} : { "retry-after": String(Math.ceil(error.retryAfterSeconds)) }),
  ...error.headers,
})

/** What every error answer of ours tells besides its sentence. */
const factsOf = (error: AppError, requestId: string): Record<string, unknown> => {
  const { help, retryable } = errorTable[error.code]
  return { ...error.data, code: error.code, help, retryable, request_id: requestId }
}

/** An error as a problem document (RFC 9457). */
export const toProblem = (error: AppError, request: Asked, requestId: string): ErrorAnswer => {
  const { status } = errorTable[error.code]
  const title = STATUS_CODES[status] ?? "Error"
  const problem = { type: "about:blank", title, status, detail: error.message, ...factsOf(error, requestId) }
  const headers = { ...headersOf(error, request), "content-type": "application/problem+json" }
  return { status, headers, body: JSON.stringify(problem) }
}

/**
 * The sentence, what to do, and the code: most MCP libraries show nothing of an error but its message, and that is also all
 * that a model gets to read.
 */
const wholeMessage = ({ code, message }: AppError): string =>
  `${/[.!?]$/.test(message) ? message : `${message}.`} ${errorTable[code].help} (${code})`

/** An error as a JSON-RPC error response; `idText` is the JSON source of the request's id. */
export const toRpcError = (
  error: AppError,
  request: Asked,
  about: { readonly requestId: string; readonly idText: string | undefined },
): ErrorAnswer => {
  const { status, rpc } = errorTable[error.code]
  const body = JSON.stringify({ code: rpc, message: wholeMessage(error), data: factsOf(error, about.requestId) })
  return {
    status,
    headers: { ...headersOf(error, request), "content-type": "application/json" },
    body: `{"jsonrpc":"2.0","id":${about.idText ?? "null"},"error":${body}}`,
  }
}

/** Errors of permitted requests whose status a revision of MCP demands (2025-11-25, Session Management: 404). */
const withStatus: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["SessionNotFound"])

/**
 * The status of an error's answer. A permitted request with an id was understood, so its error is an answer in MCP's own
 * words: with another status than 200 many clients show the bare number and drop what the body says.
 */
const statusFor = ({ messages, reading }: Known, { code }: AppError, meant: number): number => {
  if (messages === undefined || reading?.idText === undefined || withStatus.has(code)) return meant
  const [first] = messages
  // an error of 200 to this one says «I am a server of the older era», and the client would go on as with one
  return first?.kind === "request" && first.method === "server/discover" ? meant : 200
}

/**
 * The answer to an MCP request that failed: a problem until the caller is known to be allowed to the target, a JSON-RPC error
 * with the request's id from then on. What status was meant stands in the log and is counted.
 */
export const errorAnswer = (known: Known, error: AppError): ErrorAnswer => {
  const { requestId, target, reading } = known
  if (target === undefined) return toProblem(error, known, requestId)
  const answer = toRpcError(error, known, { requestId, idText: reading?.idText })
  return { ...answer, status: statusFor(known, error, answer.status) }
}
