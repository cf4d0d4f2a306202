import { STATUS_CODES } from "node:http"
import { type ErrorCode, errorTable, toAppError } from "../errors.ts"

/** One broken rule of a body: where, as a JSON Pointer (RFC 6901), and what. Never holds a value. */
export type FieldProblem = { readonly pointer: string; readonly detail: string }

/** An answer that is an error, as a problem document (RFC 9457). */
export type Problem = {
  readonly status: number
  readonly code: ErrorCode
  readonly headers: Readonly<Record<string, string>>
  readonly body: Readonly<Record<string, unknown>>
}

/**
 * Makes the problem document of any error. `data` of the error becomes extension members; an error that is none of
 * ours becomes `Internal` and tells nothing of itself.
 */
export const toProblem = (error: unknown, requestId: string): Problem => {
  const { code, message, data, headers, retryAfterSeconds } = toAppError(error)
  const { status, help, retryable } = errorTable[code]
  return {
    status,
    code,
    headers: {
      "content-type": "application/problem+json",
      ...(retryAfterSeconds === undefined ? {} : { "retry-after": String(Math.ceil(retryAfterSeconds)) }),
      ...headers,
    },
    body: {
      ...data,
      type: "about:blank",
      title: STATUS_CODES[status] ?? "Error",
      status,
      detail: message,
      code,
      help,
      retryable,
      request_id: requestId,
    },
  }
}
