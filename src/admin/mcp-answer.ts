import { z } from "zod"
import { AppError } from "../errors.ts"

/** Most bytes of an answer that are read. */
const maxBytes = 4 * 1024 * 1024

/** A JSON-RPC response; what the server says in an error is not repeated. */
const Message = z.looseObject({
  id: z.union([z.number(), z.string(), z.null()]).optional(),
  result: z.looseObject({}).optional(),
  error: z.looseObject({ code: z.number() }).optional(),
})
export type Message = z.infer<typeof Message>

const invalid = (detail: string): AppError => new AppError("UpstreamInvalid", { detail })

const parse = (text: string, id: number): Message | undefined => {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  const { data } = Message.safeParse(value)
  // some servers cannot tell the id of a request that they refuse
  return data !== undefined && (data.id === id || (data.id ?? null) === null) ? data : undefined
}

/** The data of the events in `text`, and what is left of an unfinished one. */
const takeEvents = (text: string): { readonly events: readonly string[]; readonly rest: string } => {
  const parts = text.replaceAll("\r\n", "\n").split("\n\n")
  const rest = parts.pop() ?? ""
  const events = parts.map((part) =>
    part
      .split("\n")
      .filter((line) => line.startsWith("data:"))
      .map((line) => line.slice("data:".length).trimStart())
      .join("\n"),
  )
  return { events, rest }
}

/** The answer to request `id` in an event stream; what else the server says is passed over. */
const findInStream = async (body: ReadableStream<Uint8Array>, id: number): Promise<Message | undefined> => {
  const decoder = new TextDecoder()
  let text = ""
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.byteLength
    if (bytes > maxBytes) throw invalid("The server's answer is too long.")
    const { events, rest } = takeEvents(text + decoder.decode(chunk, { stream: true }))
    text = rest
    for (const event of events) {
      const found = parse(event, id)
      // leaving the loop ends the stream
      if (found?.id === id) return found
    }
  }
  return undefined
}

const readText = async (body: ReadableStream<Uint8Array>): Promise<string> => {
  const decoder = new TextDecoder()
  let text = ""
  for await (const chunk of body) {
    text += decoder.decode(chunk, { stream: true })
    if (text.length > maxBytes) throw invalid("The server's answer is too long.")
  }
  return text + decoder.decode()
}

/** The JSON-RPC response to request `id`; undefined if the answer holds none. Throws `UpstreamInvalid` if it is too long. */
export const readAnswer = async (response: Response, id: number): Promise<Message | undefined> => {
  const { body } = response
  if (body === null) return undefined
  const isStream = response.headers.get("content-type")?.includes("text/event-stream") === true
  return isStream ? await findInStream(body, id) : parse(await readText(body), id)
}
