import { z } from "zod"
import { AppError } from "../errors.ts"
import { createGrowingBuffer } from "../intake/bodies.ts"
import { findJsonFault } from "../intake/json-text.ts"
import { createEventSplitter, isMessage, parseEvents } from "./sse.ts"

/** A JSON-RPC response; what the server says in an error is not repeated. */
const Message = z.looseObject({
  id: z.union([z.number(), z.string(), z.null()]).optional(),
  result: z.looseObject({}).optional(),
  error: z.looseObject({ code: z.number() }).optional(),
})
type Message = z.infer<typeof Message>

const tooLong = (): AppError => new AppError("UpstreamInvalid", { detail: "The server's answer is too long." })

/** Deepest nesting of an answer; its members are bounded too, because each that breaks a schema costs a finding. */
const maxDepth = 100

const parse = (text: string, id: number): Message | undefined => {
  if (findJsonFault(text, { maxDepth }) !== undefined) return undefined
  const { data } = Message.safeParse(JSON.parse(text))
  // some servers cannot tell the id of a request that they refuse
  return data !== undefined && (data.id === id || (data.id ?? null) === null) ? data : undefined
}

/** Which answer is read: the id of its request, and most bytes of it. */
type Wanted = { readonly id: number; readonly maxBytes: number }

/** The body's pieces, up to the limit. Throws `UpstreamInvalid` beyond it; leaving the loop ends the body. */
async function* piecesOf(body: ReadableStream<Uint8Array>, maxBytes: number): AsyncGenerator<Buffer> {
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.byteLength
    if (bytes > maxBytes) throw tooLong()
    yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  }
}

/** The answer to request `id` in an event stream; what else the server says is passed over. */
const findInStream = async (
  body: ReadableStream<Uint8Array>,
  { id, maxBytes }: Wanted,
): Promise<Message | undefined> => {
  const splitter = createEventSplitter(maxBytes, tooLong)
  for await (const piece of piecesOf(body, maxBytes)) {
    for (const event of parseEvents(splitter.push(piece).toString())) {
      const { data = "" } = event
      const found = data === "" || !isMessage(event) ? undefined : parse(data, id)
      if (found?.id === id) return found
    }
  }
  return undefined
}

const readText = async (body: ReadableStream<Uint8Array>, maxBytes: number): Promise<string> => {
  const text = createGrowingBuffer()
  for await (const piece of piecesOf(body, maxBytes)) text.add(piece)
  return text.take().toString()
}

/** What a server answered: the JSON-RPC response, or if it was none, the beginning of what it said. */
export type Answered = { readonly message?: Message; readonly said?: string }

/** Longest part of an answer that is no MCP message, in UTF-16 units. */
const longestSaid = 500

/** The JSON-RPC response to a request of ours, or what was said instead. Throws `UpstreamInvalid` if it is too long. */
export const readAnswer = async (response: Response, wanted: Wanted): Promise<Answered> => {
  const { body } = response
  if (body === null) return {}
  const isStream = response.headers.get("content-type")?.includes("text/event-stream") === true
  const text = isStream ? "" : await readText(body, wanted.maxBytes)
  const message = isStream ? await findInStream(body, wanted) : parse(text, wanted.id)
  if (message !== undefined) return { message }
  return text.trim() === "" ? {} : { said: text.trim().slice(0, longestSaid) }
}
