import { type IncomingMessage, STATUS_CODES } from "node:http"
import { AppError } from "../errors.ts"
import { requestIdHeader, toProblem } from "./answer.ts"
import type { Unreadable } from "./gateway.ts"

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
