import { AppError } from "../errors.ts"
import { type Message, readMessages } from "../mcp/message.ts"
import { type Envelope, elementsOf, readEnvelope, type Span, sourceOf } from "./envelope.ts"

/** A message of a client, with its text and the places in it. */
export type Incoming = { readonly message: Message; readonly text: string; readonly envelope: Envelope }

/** A body as messages, or the error of reading it with the JSON source of the request's id if it has one. */
export type Body =
  | { readonly messages: readonly Incoming[]; readonly batch: boolean; readonly idText: string | undefined }
  | { readonly error: AppError; readonly idText: string | undefined }

/** Longest id or token, in characters of its source: they are kept as long as the call is open. */
const longestId = 1_024

/** Throws InvalidRequest for a value that is no short string or number: an object could have line ends. */
const checkId = (name: string, text: string, span: Span | undefined): void => {
  if (span === undefined) return
  if (span[1] - span[0] > longestId)
    throw new AppError("InvalidRequest", { detail: `The ${name} has more than ${longestId} characters.` })
  if (!/["\d-]/.test(text.charAt(span[0])))
    throw new AppError("InvalidRequest", { detail: `The ${name} is not a string or a number.` })
}

/** The places of a client's message. Throws InvalidRequest for what cannot be an id or a token. */
const placesIn = (text: string, { kind }: Message): Envelope => {
  const envelope = readEnvelope(text, true)
  // the answer to a request of the server has the server's id
  if (kind === "request") checkId("id", text, envelope.id)
  checkId("requestId", text, envelope.requestId)
  const { askedToken, ...others } = envelope
  // some clients write null for a token that they do not have
  if (askedToken !== undefined && sourceOf(text, askedToken) === "null") return others
  checkId("progressToken", text, askedToken)
  return envelope
}

/**
 * Reads the body of a POST as strictly as the gateway does, since nothing says that only the gateway can connect. The
 * faults are those of {@link readMessages}, and InvalidRequest for a key of `_meta` that parsers could read differently.
 */
export const readBody = (bytes: Buffer): Body => {
  const { messages, batch, idText, error } = readMessages(bytes)
  if (error !== undefined) return { error, idText }
  const text = bytes.toString()
  const texts = batch ? elementsOf(text) : [text]
  try {
    const read = texts.map((each, index) => {
      const message = messages[index]
      if (message === undefined) throw new AppError("InvalidRequest", { detail: "The batch could not be read." })
      return { message, text: each, envelope: placesIn(each, message) }
    })
    return { messages: read, batch, idText }
  } catch (cause) {
    if (cause instanceof AppError) return { error: cause, idText }
    throw cause
  }
}
