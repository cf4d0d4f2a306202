import type { IncomingHttpHeaders } from "node:http"
import { AppError } from "../errors.ts"
import type { Message } from "./message.ts"
import { factsOf } from "./methods.ts"
import { type Era, isOfModernEra } from "./versions.ts"

/** Which headers that repeat the body go on: none, the method's, those of any message, or also those of a tool's arguments. */
export type Mirrored = "none" | "method" | "message" | "call"

const versionPattern = /^[0-9A-Za-z._-]{1,64}$/
/** Both marks, in these letters: a value with one of them, or in capitals, is itself (MCP 2026-07-28, value encoding). */
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

/** Compares one header with what the body says. A header that repeats nothing of the body differs from it too. */
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

/** Node joins repeated headers of these names with a comma; a list is never what the body says. */
const single = (value: string | string[] | undefined): string | undefined =>
  Array.isArray(value) ? value.join(", ") : value

/**
 * Checks what headers repeat of the messages: for the modern era equality (HeaderMismatch), for the legacy era only that
 * a version header is one (InvalidRequest), and on requests none of the modern era (InvalidParams: they lack what that era
 * demands). The modern era's headers are required on requests; on notifications they are compared if there.
 */
export const checkHeaders = (headers: IncomingHttpHeaders, messages: readonly Message[]): void => {
  const version = single(headers["mcp-protocol-version"])
  const first = messages[0]
  if (first === undefined || first.kind === "response" || first.version === undefined) {
    if (version !== undefined && !versionPattern.test(version))
      throw new AppError("InvalidRequest", { detail: "The header MCP-Protocol-Version is not a protocol version." })
    if (first?.kind === "request" && version !== undefined && isOfModernEra(version))
      throw new AppError("InvalidParams", {
        detail: `Requests of the version ${version}, which the header MCP-Protocol-Version tells, name it in params._meta too.`,
      })
    return
  }
  const required = first.kind === "request"
  compare("MCP-Protocol-Version", version, first.version, required)
  compare("Mcp-Method", single(headers["mcp-method"]), first.method, required)
  compareName(single(headers["mcp-name"]), first)
}

/**
 * A notification of the modern era need not name its version (Go's `notifications/cancelled` does not), so it reads as one
 * of the legacy era; but its server refuses it without the header, and its client then gives the connection up.
 */
const isModernNotice = (headers: IncomingHttpHeaders, messages: readonly Message[]): boolean => {
  const [first] = messages
  return messages.length === 1 && first?.kind === "notification" && single(headers["mcp-method"]) === first.method
}

/**
 * Which mirrored headers the server gets: none in the legacy era, where they do not exist and nobody compared them, so
 * that a server which routes by them nevertheless could be led past the policy; only the method of a notification, if it
 * is the body's. `Mcp-Param-*` repeat arguments of a tool by the tool's own schema, which only the server knows: it gets
 * them with `tools/call`, and must compare them.
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
