import { AppError } from "../errors.ts"
import { type Message, readMessages } from "../mcp/message.ts"
import { type Envelope, elementsOf, readEnvelope } from "./envelope.ts"

/** A message of a client, with its text and the places in it. */
export type Incoming = { readonly message: Message; readonly text: string; readonly envelope: Envelope }

/** A body as messages, or the error of reading it with the JSON source of the request's id if it has one. */
export type Body =
  | { readonly messages: readonly Incoming[]; readonly batch: boolean; readonly idText: string | undefined }
  | { readonly error: AppError; readonly idText: string | undefined }

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
      return { message, text: each, envelope: readEnvelope(each, true) }
    })
    return { messages: read, batch, idText }
  } catch (cause) {
    if (cause instanceof AppError) return { error: cause, idText }
    throw cause
  }
}
