/** A client's session with a peer, and the proof that its answers are the server's. */
import { randomUUID } from "node:crypto"

/** The call that a load repeats. */
export type EchoCall = {
  /** Headers of the session. */
  readonly headers: Readonly<Record<string, string>>
  /**
   * `tools/call` of the server's tool `echo`, by the name under which the peer offers it, one for each connection: each
   * has an id of its own, since calls of one session are told apart by their ids.
   */
  readonly bodies: readonly string[]
  /** A text that each good answer has: the echo, as this peer writes it. */
  readonly contains: string
}

/** Where to open a session. */
export type SessionOptions = {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly signal: AbortSignal
}

/** Number of connections that a call can be repeated on, and the id of the first one's. */
const calls = 64
const firstId = 100

const revision = "2025-11-25"
/** How long one answer may take, milliseconds. */
const answerMs = 30_000
/** Longest answer that is read, in characters. */
const maxAnswer = 1_000_000

type Answer = { readonly response: Response; readonly text: string }

const readText = async (response: Response): Promise<string> => {
  let text = ""
  const decoder = new TextDecoder()
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true })
    if (text.length > maxAnswer) throw new Error("an answer is too long")
  }
  return text
}

const post = async ({ url, headers, signal }: SessionOptions, message: object): Promise<Answer> => {
  const response = await fetch(url, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json", accept: "application/json, text/event-stream" },
    body: JSON.stringify({ jsonrpc: "2.0", ...message }),
    signal: AbortSignal.any([signal, AbortSignal.timeout(answerMs)]),
  })
  const text = await readText(response)
  if (!response.ok) throw new Error(`it was answered with ${response.status}: ${text.slice(0, 200)}`)
  return { response, text }
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The result of a JSON-RPC answer with this id, sent as JSON or as an event stream. Throws if there is none. */
export const resultIn = (text: string, id: number): unknown => {
  const lines = text.split(/\r\n|\r|\n/)
  const events = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice("data:".length))
  for (const each of [text, ...events].map(parse)) {
    if (typeof each !== "object" || each === null || !("id" in each) || each.id !== id) continue
    if ("result" in each) return each.result
  }
  throw new Error(`it has no result: ${text.slice(0, 200)}`)
}

/** The name of the tool `echo` in a result of `tools/list`, with the prefix that a peer may give it. Throws if none. */
export const findEcho = (result: unknown): string => {
  const { tools } = result as { readonly tools?: unknown }
  const names = (Array.isArray(tools) ? tools : []).map((tool: { readonly name?: unknown } | null) => tool?.name)
  const name = names.find((each) => typeof each === "string" && /(?:^|[^a-z])echo$/.test(each))
  if (typeof name !== "string") throw new Error("its list of tools has no echo")
  return name
}

/**
 * How an answer writes a content with this text, which must be its only one: `"text":"…"`, with or without a blank.
 * Throws if the answer is not the echo.
 */
export const echoIn = (answer: string, id: number, message: string): string => {
  const { content } = resultIn(answer, id) as { readonly content?: unknown }
  const [only, ...more] = Array.isArray(content) ? content : []
  if (only?.text !== message || more.length > 0) throw new Error(`it is not the echo: ${answer.slice(0, 200)}`)
  const written = [`"text":"${message}"`, `"text": "${message}"`].find((each) => answer.includes(each))
  if (written === undefined) throw new Error("the echo is written in a way that the load cannot check")
  return written
}

/** Runs a step; what it throws says which step failed. */
const step = async <T>(name: string, run: () => Promise<T> | T): Promise<T> => {
  try {
    return await run()
  } catch (error) {
    throw new Error(`${name}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/**
 * Opens a session as the protocol wants it, and calls the tool `echo` once with a text that nobody can know before.
 * Resolves with the call for the load. Throws if the answer is not the server's.
 */
export const openSession = async (options: SessionOptions): Promise<EchoCall> => {
  const clientInfo = { name: "bench", version: "1.0.0" }
  const params = { protocolVersion: revision, capabilities: {}, clientInfo }
  const opened = await step("initialize", () => post(options, { id: 0, method: "initialize", params }))
  const id = opened.response.headers.get("mcp-session-id")
  const session = id === null ? {} : { "mcp-session-id": id }
  const headers = { ...options.headers, ...session, "mcp-protocol-version": revision }
  const send = (message: object) => post({ ...options, headers }, message)
  await step("notifications/initialized", () => send({ method: "notifications/initialized" }))
  const name = await step("tools/list", async () =>
    findEcho(resultIn((await send({ id: 1, method: "tools/list" })).text, 1)),
  )
  const call = (message: string, each = 2) => ({
    id: each,
    method: "tools/call",
    params: { name, arguments: { message } },
  })
  const unknown = randomUUID()
  const { text } = await step("tools/call", () => send(call(unknown)))
  const written = await step("tools/call", () => echoIn(text, 2, unknown))
  return {
    headers: { ...headers, "content-type": "application/json", accept: "application/json, text/event-stream" },
    bodies: Array.from({ length: calls }, (_, index) =>
      JSON.stringify({ jsonrpc: "2.0", ...call("hello", firstId + index) }),
    ),
    contains: written.replace(unknown, "hello"),
  }
}
