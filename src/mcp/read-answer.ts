import { z } from "zod"
import { AppError } from "../errors.ts"
import { createGrowingBuffer } from "../intake/bodies.ts"
import { findJsonFault } from "../intake/json-text.ts"
import { createEventSplitter, isMessage, parseEvents } from "./sse.ts"

/** A JSON-RPC response; what the server says in an error is not repeated. */
const AnswerMessage = z.looseObject({
  id: z.union([z.number(), z.string(), z.null()]).optional(),
  result: z.looseObject({}).nullish(),
  error: z.looseObject({ code: z.number() }).nullish(),
})
type AnswerMessage = z.infer<typeof AnswerMessage>

const tooLong = (): AppError => new AppError("UpstreamInvalid", { detail: "The server's answer is too long." })

/**
 * Deepest nesting of an answer. Its members are bounded too (by findJsonFault), because zod records an issue for each
 * member that breaks the schema.
 */
const maxDepth = 100

/** True if the message answers request `id`; some servers return a number as text. */
const answers = (message: AnswerMessage, id: number): boolean => String(message.id) === String(id)

const parse = (text: string, id: number): AnswerMessage | undefined => {
  if (findJsonFault(text, { maxDepth }) !== undefined) return undefined
  const { data } = AnswerMessage.safeParse(JSON.parse(text))
  // some servers return no id for a request that they refuse
  return data !== undefined && (answers(data, id) || (data.id ?? null) === null) ? data : undefined
}

/** The id of the request that is answered, and the most bytes of the answer. */
type Wanted = { readonly id: number; readonly maxBytes: number }

/** The body's pieces, up to the limit. Throws `UpstreamInvalid` beyond it. Leaving the loop cancels the body. */
async function* piecesOf(body: ReadableStream<Uint8Array>, maxBytes: number): AsyncGenerator<Buffer> {
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.byteLength
    if (bytes > maxBytes) throw tooLong()
    yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  }
}

/** The answer to request `id` in an event stream; other messages are skipped. */
const findInStream = async (
  body: ReadableStream<Uint8Array>,
  { id, maxBytes }: Wanted,
): Promise<AnswerMessage | undefined> => {
  const splitter = createEventSplitter(maxBytes, tooLong)
  for await (const piece of piecesOf(body, maxBytes)) {
    for (const event of parseEvents(splitter.push(piece).toString())) {
      const { data = "" } = event
      const found = data === "" || !isMessage(event) ? undefined : parse(data, id)
      if (found !== undefined && answers(found, id)) return found
    }
  }
  return undefined
}

const readText = async (body: ReadableStream<Uint8Array>, maxBytes: number): Promise<string> => {
  const text = createGrowingBuffer()
  for await (const piece of piecesOf(body, maxBytes)) text.add(piece)
  return text.take().toString()
}

/** A server's answer: `message`, the JSON-RPC response, or `said`, the beginning of a body that is no such response. */
export type Answered = { readonly message?: AnswerMessage; readonly said?: string }

/** Longest `said`, in UTF-16 units. */
const longestSaid = 500

/**
 * Reads the JSON-RPC response to our request, or the beginning of another body. Throws `UpstreamInvalid` if the body is
 * too long.
 */
export const readAnswer = async (response: Response, wanted: Wanted): Promise<Answered> => {
  const { body } = response
  if (body === null) return {}
  const isStream = response.headers.get("content-type")?.includes("text/event-stream") === true
  const text = isStream ? "" : await readText(body, wanted.maxBytes)
  const message = isStream ? await findInStream(body, wanted) : parse(text, wanted.id)
  if (message !== undefined) return { message }
  return text.trim() === "" ? {} : { said: text.trim().slice(0, longestSaid) }
}
