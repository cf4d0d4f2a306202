import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http"
import { type AppError, type ErrorCode, errorTable } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { Known } from "../pipeline.ts"

/** The header that tells a request's id, which is in the log too. */
export const requestIdHeader = "x-request-id"

type ErrorAnswer = { readonly status: number; readonly headers: Record<string, string>; readonly body: string }

/** What an answer must know of its request. */
type Asked = Pick<IncomingMessage, "headers">

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

/** How long a connection that ends with an answer is still read, milliseconds. */
const lingerMs = 2_000

/**
 * Ends an answer whose connection ends with it. While the client still sends, an end at once would be a reset (unread bytes
 * make it one), which takes the answer away from a client that has not read it yet: so the answer goes out whole, and the
 * end follows when the request is here or after a while. Whoever reads the answer sees that the connection is about to end.
 */
const endConnection = (request: IncomingMessage, response: ServerResponse, body: string, clock: ClockPort): void => {
  response.write(body)
  const end = (): void => {
    cancel()
    response.end()
  }
  const cancel = clock.timer(lingerMs, end)
  request.once("end", end)
  response.once("close", cancel)
  // what nobody reads stays in the way of what follows
  request.resume()
}

/** Where an answer goes. */
type Place = { readonly request: IncomingMessage; readonly response: ServerResponse; readonly clock: ClockPort }

const send = ({ request, response, clock }: Place, answer: ErrorAnswer, requestId: string): void => {
  if (response.headersSent || response.destroyed) return void response.destroy()
  const length = String(Buffer.byteLength(answer.body))
  response.writeHead(answer.status, { ...answer.headers, "content-length": length, [requestIdHeader]: requestId })
  if (answer.headers.connection !== "close" || request.complete) response.end(answer.body)
  else endConnection(request, response, answer.body, clock)
}

/** Answers a request that never became an MCP request. */
export const answerProblem = (place: Place, failure: { readonly error: AppError; readonly requestId: string }): void =>
  send(place, toProblem(failure.error, place.request, failure.requestId), failure.requestId)

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
 * Answers an MCP request with an error: as a problem until the caller is known to be allowed to the target, as a
 * JSON-RPC error with the request's id from then on. What status was meant stands in the log and is counted.
 */
export const answerError = (known: Known, error: AppError, clock: ClockPort): void => {
  const { request, response, requestId, target, reading } = known
  if (target === undefined) {
    send({ request, response, clock }, toProblem(error, request, requestId), requestId)
    return
  }
  const answer = toRpcError(error, request, { requestId, idText: reading?.idText })
  send({ request, response, clock }, { ...answer, status: statusFor(known, error, answer.status) }, requestId)
}
