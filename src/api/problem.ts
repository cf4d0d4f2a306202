import { STATUS_CODES } from "node:http"
import { type AppError, errorTable } from "../errors.ts"

/**
 * The problem document of an error (RFC 9457) for the request with this id: the standard members, the error's `data` as
 * extension members, and what the table says of its code.
 */
export const problemOf = (error: AppError, requestId: string): Readonly<Record<string, unknown>> => {
  const { status } = errorTable[error.code]
  const standard = { type: "about:blank", title: STATUS_CODES[status] ?? "Error", status, detail: error.message }
  // twice: they come first, and `data` cannot replace them
  return { ...standard, ...problemFacts(error, requestId), ...standard }
}

/** The members of an error answer besides its message: the error's `data`, and what the table says of its code. */
export const problemFacts = (error: AppError, requestId: string): Readonly<Record<string, unknown>> => {
  const { help, retryable } = errorTable[error.code]
  return { ...error.data, code: error.code, help, retryable, request_id: requestId }
}

/**
 * The message, what to do, and the code. Most MCP libraries show only the message of an error, and a model reads
 * nothing else of it.
 */
export const wholeMessage = ({ code, message }: AppError): string =>
  `${/[.!?]$/.test(message) ? message : `${message}.`} ${errorTable[code].help} (${code})`
