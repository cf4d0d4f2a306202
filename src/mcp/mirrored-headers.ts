import type { IncomingHttpHeaders } from "node:http"
import { AppError } from "../errors.ts"
import type { Message } from "./message.ts"
import { factsOf } from "./methods.ts"
import { type Era, isOfModernEra } from "./versions.ts"

/**
 * Which headers that repeat the body are passed on: none, the method's, those of any message, or also those of a tool's
 * arguments.
 */
export type Mirrored = "none" | "method" | "message" | "call"

const versionPattern = /^[0-9A-Za-z._-]{1,64}$/
/**
 * Both marks, in lower case: a value with one mark only, or with capitals, is taken literally (MCP 2026-07-28, value
 * encoding).
 */
const encodedPattern = /^=\?base64\?(.*)\?=$/s
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/**
 * The text of a mirrored header, which is base64 in `=?base64?…?=` where it is not plain ASCII; undefined if that is
 * not base64 with its padding, or not UTF-8.
 */
export const decodeMirrored = (value: string): string | undefined => {
  const encoded = encodedPattern.exec(value)?.[1]
  if (encoded === undefined) return value
  const bytes = Buffer.from(encoded, "base64")
  if (bytes.toString("base64") !== encoded) return undefined
  try {
    return utf8.decode(bytes)
  } catch {
    return undefined
  }
}

const mismatch = (detail: string): AppError => new AppError("HeaderMismatch", { detail })

/**
 * Compares one header with the body. Throws HeaderMismatch if they differ, if a required header is missing, or if the
 * header repeats nothing of the body.
 */
const compare = (name: string, header: string | undefined, body: string | undefined, required: boolean): void => {
  if (header === undefined) {
    if (required && body !== undefined) throw mismatch(`The header ${name} is missing.`)
    return
  }
  if (body === undefined) throw mismatch(`The header ${name} repeats nothing of the body.`)
  if (header !== body) throw mismatch(`The header ${name} differs from the body.`)
}

const compareName = (header: string | undefined, message: Exclude<Message, { kind: "response" }>): void => {
  const { nameParameter } = factsOf(message.method)
  const value = nameParameter === undefined ? undefined : message.params[nameParameter.name]
  const text = typeof value === "string" ? value : undefined
  const decoded = header === undefined ? undefined : decodeMirrored(header)
  if (header !== undefined && decoded === undefined) throw mismatch("The header Mcp-Name is not valid base64.")
  compare("Mcp-Name", decoded, text, nameParameter?.isRequired === true && message.kind === "request")
}

/** Node joins repeated headers of these names with a comma; such a list never equals the value in the body. */
const single = (value: string | string[] | undefined): string | undefined =>
  Array.isArray(value) ? value.join(", ") : value

/**
 * Checks the headers that repeat the messages. In the modern era they must equal the body (HeaderMismatch): on requests
 * they are required, on notifications they are compared if present. In the legacy era a version header must be a
 * version (InvalidRequest), and a request's must not name a version of the modern era (InvalidParams, because the
 * request lacks what that era demands).
 */
export const checkHeaders = (headers: IncomingHttpHeaders, messages: readonly Message[]): void => {
  const version = single(headers["mcp-protocol-version"])
  const first = messages[0]
  if (first === undefined || first.kind === "response" || first.version === undefined) {
    if (version !== undefined && !versionPattern.test(version))
      throw new AppError("InvalidRequest", { detail: "The header MCP-Protocol-Version is not a protocol version." })
    if (first?.kind === "request" && version !== undefined && isOfModernEra(version))
      throw new AppError("InvalidParams", {
        detail: `The header MCP-Protocol-Version names ${version}; a request of this version names it in params._meta too.`,
      })
    return
  }
  const required = first.kind === "request"
  compare("MCP-Protocol-Version", version, first.version, required)
  compare("Mcp-Method", single(headers["mcp-method"]), first.method, required)
  compareName(single(headers["mcp-name"]), first)
}

/**
 * True for a notification whose header Mcp-Method equals its method: it is of the modern era, even if it names no
 * version (Go's `notifications/cancelled` does not) and reads as one of the legacy era. Its server refuses it without
 * this header, and then its client closes the connection.
 */
const isModernNotice = (headers: IncomingHttpHeaders, messages: readonly Message[]): boolean => {
  const [first] = messages
  return messages.length === 1 && first?.kind === "notification" && single(headers["mcp-method"]) === first.method
}

/**
 * Which headers that repeat the body the server gets. In the legacy era none: they do not exist there and were not
 * compared. A server that routes by them could be led past the policy. The exception is the method of a notification,
 * if it equals the body's. `Mcp-Param-*` repeat arguments of a tool by the tool's own schema, which only the server
 * knows: it gets them with `tools/call`, and must compare them.
 */
export const mirroredOf = (
  { era, messages }: { readonly era: Era; readonly messages: readonly Message[] },
  headers: IncomingHttpHeaders,
): Mirrored => {
  const [first] = messages
  if (era === "legacy" && isModernNotice(headers, messages)) return "method"
  if (era === "legacy" || first === undefined || first.kind === "response") return "none"
  return first.kind === "request" && first.method === "tools/call" ? "call" : "message"
}
