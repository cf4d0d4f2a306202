import { isAscii } from "node:buffer"
import { AppError, isAppError } from "../errors.ts"
import { scanBody, versionKey } from "./json-scan.ts"

/** Parameters of a message. */
export type Params = Readonly<Record<string, unknown>>

/** One JSON-RPC message of a body. */
export type Message =
  | {
      readonly kind: "request" | "notification"
      readonly method: string
      readonly params: Params
      /** The protocol version in `params._meta`; a message with one is of the modern era. */
      readonly version: string | undefined
    }
  | { readonly kind: "response" }

/** The messages of a body, or the error of reading it. */
export type Reading = {
  /** JSON source of the request's id, for error answers; undefined if there is none or it could not be read. */
  readonly idText: string | undefined
  readonly batch: boolean
  readonly messages: readonly Message[]
  /** MalformedJson, InvalidRequest or InvalidParams: the body must be refused. */
  readonly error: AppError | undefined
}

/** True for a JSON object. */
export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const byteOrderMark = 0xfeff
const methodPattern = /^[!-~]{1,256}$/
const versionPattern = /^[0-9A-Za-z._-]{1,64}$/

const decode = (bytes: Buffer): string => {
  // most bodies: a decoder takes three times as long to find out
  if (isAscii(bytes)) return bytes.toString("latin1")
  let text: string
  try {
    text = decoder.decode(bytes)
  } catch (cause) {
    throw new AppError("MalformedJson", { detail: "The body is not valid UTF-8.", cause })
  }
  if (text.charCodeAt(0) === byteOrderMark) {
    throw new AppError("MalformedJson", { detail: "The body begins with a byte order mark." })
  }
  return text
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new AppError("MalformedJson", { detail: "The body is not valid JSON.", cause })
  }
}

const invalid = (detail: string): AppError => new AppError("InvalidRequest", { detail })

/**
 * The version that `params._meta` names; undefined if there is none. Throws InvalidParams for an invalid one, which
 * must not count as a message of the legacy era.
 */
const versionIn = (params: Params): string | undefined => {
  if (!Object.hasOwn(params, "_meta")) return undefined
  const meta = params._meta
  if (!isRecord(meta)) throw new AppError("InvalidParams", { detail: "params._meta is not an object." })
  if (!Object.hasOwn(meta, versionKey)) return undefined
  const version = meta[versionKey]
  if (typeof version === "string" && versionPattern.test(version)) return version
  throw new AppError("InvalidParams", { detail: `params._meta["${versionKey}"] is not a protocol version.` })
}

const toResponse = (value: Params): Message => {
  const outcomes = Number(Object.hasOwn(value, "result")) + Number(Object.hasOwn(value, "error"))
  if (outcomes !== 1) throw invalid("A message has a method, or a result, or an error: exactly one of them.")
  if (!Object.hasOwn(value, "id")) throw invalid("A response has no id.")
  return { kind: "response" }
}

const toMessage = (value: unknown): Message => {
  if (!isRecord(value)) throw invalid("A message is not a JSON object.")
  if (value.jsonrpc !== "2.0") throw invalid(`A message does not say "jsonrpc": "2.0".`)
  if (!Object.hasOwn(value, "method")) return toResponse(value)
  if (Object.hasOwn(value, "result") || Object.hasOwn(value, "error")) {
    throw invalid("A message has a method and a result or an error.")
  }
  const { method, id, params: given } = value
  // some clients send null for params that they do not have
  const params = given ?? {}
  if (typeof method !== "string" || !methodPattern.test(method)) throw invalid("The method is not a plain string.")
  const hasId = Object.hasOwn(value, "id")
  if (hasId && typeof id !== "string" && typeof id !== "number") throw invalid("The id is not a string or a number.")
  if (!isRecord(params)) throw new AppError("InvalidParams", { detail: "params is not an object." })
  return { kind: hasId ? "request" : "notification", method, params, version: versionIn(params) }
}

/** V8 copies a shorter slice of a string, and refers to the string for a longer one. */
const slicedFrom = 13

/** A copy of the text: a JavaScript engine keeps a whole string in memory for as long as a slice of it. */
const copy = (text: string): string => (text.length < slicedFrom ? text : Buffer.from(text).toString())

/** The id's source if an answer can repeat it: a string or a number. */
const echoable = (idText: string | undefined): string | undefined => {
  if (idText === undefined) return undefined
  try {
    const id: unknown = JSON.parse(idText)
    return typeof id === "string" || typeof id === "number" ? copy(idText) : undefined
  } catch {
    return undefined
  }
}

const refuse = (error: unknown, idText?: string): Reading => {
  if (isAppError(error)) return { idText: echoable(idText), batch: false, messages: [], error }
  throw error
}

/**
 * Reads the body of a POST strictly: a body that two parsers could understand differently is refused, because the
 * server will parse the same bytes again with its own parser. Faults are returned as `error`.
 */
export const readMessages = (bytes: Buffer): Reading => {
  let idText: string | undefined
  try {
    const text = decode(bytes)
    const scan = scanBody(text)
    idText = scan.idText
    if (scan.error !== undefined) throw scan.error
    const value = parse(text)
    const batch = Array.isArray(value)
    if (batch && value.length === 0) throw invalid("The batch is empty.")
    const messages = batch ? value.map(toMessage) : [toMessage(value)]
    if (messages[0]?.kind !== "request") idText = undefined
    return { idText: idText && copy(idText), batch, messages, error: undefined }
  } catch (error) {
    return refuse(error, idText)
  }
}
