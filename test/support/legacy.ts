import { initialize, post } from "./reflow.ts"

/** A session of the legacy era, driven message by message, as any program may do it. */
export type LegacySession = {
  /** The id as the gateway gave it. */
  readonly id: string
  /** POSTs a message in the session. */
  post(message: unknown, headers?: Readonly<Record<string, string>>): Promise<Response>
  /** GET or DELETE in the session. */
  send(verb: "GET" | "DELETE", headers?: Readonly<Record<string, string>>, signal?: AbortSignal): Promise<Response>
}

/** A session as another token's holder would use it: whether it is theirs is for the gateway to say. */
export const sessionAs = (url: string, token: string, id: string): LegacySession => {
  const own = { "mcp-session-id": id, "mcp-protocol-version": "2025-11-25" }
  return {
    id,
    post: (message, headers = {}) => post(url, token, message, { ...own, ...headers }),
    send: (method, headers = {}, signal) =>
      fetch(url, {
        method,
        headers: { authorization: `Bearer ${token}`, accept: "text/event-stream", ...own, ...headers },
        ...(signal ? { signal } : {}),
      }),
  }
}

/** Opens a session; throws if the server gives none. `capabilities`: what the client says that it can do. */
export const openSession = async (url: string, token: string, capabilities = {}): Promise<LegacySession> => {
  const opening = initialize()
  const response = await post(url, token, { ...opening, params: { ...opening.params, capabilities } })
  const answer = await response.text()
  const id = response.headers.get("mcp-session-id")
  if (id === null) throw new Error(`no session, but ${response.status}: ${answer}`)
  const session = sessionAs(url, token, id)
  await (await session.post({ jsonrpc: "2.0", method: "notifications/initialized" })).text()
  return session
}

/** A tools/call as the legacy era has it. */
export const legacyCall = (name: string, args: Readonly<Record<string, unknown>> = {}, id: number | string = 1) => ({
  jsonrpc: "2.0",
  id,
  method: "tools/call",
  params: { name, arguments: args },
})

/** An event of a stream: its id if it has one, and its data. */
export type StreamEvent = { readonly id: string | undefined; readonly data: string }

const toEvent = (block: string): StreamEvent => {
  const field = (name: string) =>
    block.split("\n").flatMap((line) => (line.startsWith(name) ? [line.slice(name.length).trim()] : []))
  return { id: field("id:")[0], data: field("data:").join("\n") }
}

/** The events of an event stream as they come; ends with it. */
export const eventsOf = async function* (response: Response): AsyncGenerator<StreamEvent> {
  let rest = ""
  for await (const chunk of (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + chunk).split("\n\n")
    rest = blocks.pop() ?? ""
    for (const block of blocks) yield toEvent(block)
  }
}

/** Everything that still comes. */
export const allOf = async <T>(generator: AsyncGenerator<T>): Promise<readonly T[]> => {
  const all: T[] = []
  for await (const each of generator) all.push(each)
  return all
}
