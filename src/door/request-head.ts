import { type IncomingMessage, STATUS_CODES } from "node:http"
import { AppError } from "../errors.ts"
import { requestIdHeader, toProblem } from "../gateway/answer/error-answer.ts"
import type { Unreadable } from "../gateway/gateway.ts"

/** Headers that say one thing, of those that we read. Host has a rule of its own: see guard.ts. */
const single: readonly string[] = [
  "authorization",
  "content-type",
  "content-encoding",
  "origin",
  "last-event-id",
  "mcp-protocol-version",
  "mcp-session-id",
  "mcp-method",
  "mcp-name",
]
const paramPrefix = "mcp-param-"

/** Of these a proxy may have joined repetitions to one line: no value of them has a comma. */
const withoutComma: readonly string[] = ["mcp-protocol-version", "mcp-session-id", "mcp-method"]

const differing = (name: string): AppError =>
  new AppError("RepeatedHeader", { detail: `The header ${name} is there more than once, with different values.` })

/** The one value of several; throws RepeatedHeader if they differ. */
const oneOf = (name: string, values: readonly string[]): string => {
  const [first = ""] = values
  if (values.some((value) => value !== first)) throw differing(name)
  return first
}

const countOf = (headers: object): number => {
  let count = 0
  for (const _ in headers) count++
  return count
}

/** The names and values as they came, of the given names the first only. */
const onlyFirst = (rawHeaders: readonly string[], names: ReadonlySet<string>): string[] => {
  const kept: string[] = []
  const seen = new Set<string>()
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const [name = "", value = ""] = [rawHeaders[at], rawHeaders[at + 1]]
    const key = name.toLowerCase()
    if (!names.has(key) || !seen.has(key)) kept.push(name, value)
    seen.add(key)
  }
  return kept
}

/**
 * Makes one of each header that a client repeats with equal values, as some do with each of their requests. Node keeps the
 * first of some and joins others: what is read must not depend on that. Throws RepeatedHeader for different values.
 */
export const collapseRepeated = (request: IncomingMessage): void => {
  const { headers, rawHeaders } = request
  for (const name of withoutComma) {
    const value = headers[name]
    if (typeof value === "string" && value.includes(",")) headers[name] = oneOf(name, value.split(/, ?/))
  }
  if (countOf(headers) * 2 === rawHeaders.length) return
  const collapsed = new Set<string>()
  for (const [name, values = []] of Object.entries(request.headersDistinct))
    if (values.length > 1 && (single.includes(name) || name.startsWith(paramPrefix))) {
      headers[name] = oneOf(name, values)
      collapsed.add(name)
    }
  // the REST API reads some of them as they came
  if (collapsed.size > 0) request.rawHeaders = onlyFirst(rawHeaders, collapsed)
}

const codeOf = (fault: unknown): string => (fault instanceof Error && "code" in fault ? String(fault.code) : "")

/**
 * What is wrong with bytes that Node could not read as a request: its parser's faults (HPE_…), and requests that did not
 * come in time. `undefined` if the connection broke: then nobody is there who could be told.
 */
export const unreadable = (fault: unknown): AppError | undefined => {
  const code = codeOf(fault)
  if (code === "HPE_HEADER_OVERFLOW") return new AppError("HeadersTooLarge", { detail: "The headers are too large." })
  if (code === "ERR_HTTP_REQUEST_TIMEOUT")
    return new AppError("RequestTimeout", { detail: "The request did not come whole in time." })
  if (!code.startsWith("HPE_")) return undefined
  // not the parser's words: they may quote the bytes
  return new AppError("MalformedHttp", { detail: "What came is no HTTP/1.1 request." })
}

/** A whole answer as it goes out on a connection that ends with it. */
export const unreadableAnswer = ({ error, requestId }: Unreadable): string => {
  const { status, headers, body } = toProblem(error, { headers: {} }, requestId)
  const lines = {
    ...headers,
    "content-length": String(Buffer.byteLength(body)),
    [requestIdHeader]: requestId,
    date: new Date().toUTCString(),
    connection: "close",
  }
  const head = Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n${head.join("")}\r\n${body}`
}

/**
 * Checks what a request says of how it is sent. Node decodes chunks and hands over any other coding as it came; and asks us
 * about expectations that it does not know. Throws TransferCodingUnknown (RFC 9112 §6.1) or ExpectationFailed (RFC 9110
 * §10.1.1).
 */
export const checkFraming = ({ headers }: Pick<IncomingMessage, "headers">): void => {
  const coding = headers["transfer-encoding"]
  if (coding !== undefined && coding.toLowerCase() !== "chunked")
    throw new AppError("TransferCodingUnknown", {
      detail: "The request has a Transfer-Encoding that is not read here.",
      headers: { connection: "close" },
    })
  if (headers.expect !== undefined && headers.expect.toLowerCase() !== "100-continue")
    throw new AppError("ExpectationFailed", { detail: "The request expects what is not known here." })
}
