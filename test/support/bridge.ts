import { request } from "node:http"
import { join } from "node:path"
import { onTestFinished } from "vitest"
import { type Bridge, type BridgeOptions, startBridge } from "../../src/bridge/bridge.ts"
import { allOf, eventsOf, type LegacySession, legacyCall, openSession } from "./legacy.ts"
import { envelope } from "./modern.ts"
import { post } from "./reflow.ts"

/** The command of a server of test/fixtures/servers. */
export const fixture = (name: string, ...args: readonly string[]): readonly string[] => [
  process.execPath,
  join(import.meta.dirname, `../fixtures/servers/stdio-${name}.mjs`),
  ...args,
]

/** The server of the legacy era with a tool for each fault. */
export const scripted = (...args: readonly string[]): readonly string[] => fixture("scripted", ...args)

/** A bridge in this process, with what a test asks of it. */
export type TestBridge = Bridge & {
  readonly url: string
  /** The lines of its log. */
  readonly log: readonly string[]
  /** Process ids of the children that it started. */
  readonly pids: () => readonly number[]
}

/** What bridges of tests have in common: short waits, so that endings take no seconds. */
export const bridgeDefaults = {
  environment: process.env,
  host: "127.0.0.1",
  port: 0,
  path: "/mcp",
  processes: "per_session",
  maxProcesses: 8,
  idleMs: 600_000,
  startMs: 20_000,
  singleUser: false,
  guarded: false,
  graceMs: 300,
  discoverMs: 2_000,
} as const

/** Starts a bridge that ends with the test. */
export const bridgeOf = async (
  command: readonly string[],
  options: Partial<BridgeOptions> = {},
): Promise<TestBridge> => {
  const log: string[] = []
  const write = (text: string) => void log.push(...text.split("\n").slice(0, -1))
  const bridge = await startBridge({ ...bridgeDefaults, command, write, ...options })
  onTestFinished(() => bridge.close())
  const pids = () => log.flatMap((line) => /started, process (\d+)/.exec(line)?.[1] ?? []).map(Number)
  return { ...bridge, url: `http://127.0.0.1:${bridge.port}/mcp`, log, pids }
}

/** Opens a session of the legacy era. */
export const open = (bridge: Pick<TestBridge, "url">, capabilities = {}): Promise<LegacySession> =>
  openSession(bridge.url, "", capabilities)

/** A message of a server. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into answers of any shape
type Answer = any

/** All messages of an answer, until it ends: of a stream, or the one of a JSON body. */
export const messagesOf = async (response: Response): Promise<readonly Answer[]> => {
  if (response.headers.get("content-type") === "application/json") return [await response.json()]
  const events = await allOf(eventsOf(response))
  return events.flatMap(({ data }) => (data === "" ? [] : [JSON.parse(data)]))
}

/** The message with this id in an answer. */
export const answerOf = async (response: Response, id: number | string = 1): Promise<Answer> => {
  const messages = await messagesOf(response)
  const answer = messages.find((message) => message.id === id && message.method === undefined)
  if (answer === undefined) throw new Error(`no answer to ${id}, but ${response.status}: ${JSON.stringify(messages)}`)
  return answer
}

/** Calls a tool in a session; resolves with the whole answer. */
export const answerTo = async (
  session: LegacySession,
  name: string,
  args: Readonly<Record<string, unknown>> = {},
  id: number | string = 1,
): Promise<Answer> => answerOf(await session.post(legacyCall(name, args, id)), id)

/** Calls a tool in a session; resolves with the text of its result. */
export const textOf = async (
  session: LegacySession,
  name: string,
  args: Readonly<Record<string, unknown>> = {},
  id: number | string = 1,
): Promise<string> => {
  const { result, error } = await answerTo(session, name, args, id)
  if (error !== undefined) throw new Error(JSON.stringify(error))
  return result.content[0].text
}

/** A request of the modern era. */
export const modernRequest = (
  method: string,
  params: Readonly<Record<string, unknown>> = {},
  id: number | string = 1,
) => ({
  jsonrpc: "2.0",
  id,
  method,
  params: { ...params, _meta: { ...envelope, ...(params._meta as object | undefined) } },
})

/** POSTs a request of the modern era. */
export const postModern = (
  { url }: Pick<TestBridge, "url">,
  method: string,
  params: Readonly<Record<string, unknown>> = {},
  id: number | string = 1,
  signal?: AbortSignal,
): Promise<Response> =>
  post(url, undefined, modernRequest(method, params, id), { "mcp-protocol-version": "2026-07-28" }, signal)

/** Calls a tool in the modern era; resolves with the text of its result. */
export const modernText = async (
  bridge: Pick<TestBridge, "url">,
  name: string,
  args: Readonly<Record<string, unknown>> = {},
): Promise<string> => {
  const { result, error } = await answerOf(await postModern(bridge, "tools/call", { name, arguments: args }))
  if (error !== undefined) throw new Error(JSON.stringify(error))
  return result.content[0].text
}

/** Sends a request and does not read its answer until the test ends; resolves when the head has come. */
export const unread = (
  { url }: Pick<TestBridge, "url">,
  method: "GET" | "POST",
  session: string,
  message?: unknown,
): Promise<{ readonly resume: () => void; readonly destroy: () => void }> =>
  new Promise((resolve, reject) => {
    const headers = {
      "mcp-session-id": session,
      "mcp-protocol-version": "2025-11-25",
      ...(message === undefined ? {} : { "content-type": "application/json" }),
    }
    // a connection of its own
    const sent = request(url, { method, headers, agent: false }, (response) => {
      response.on("error", () => {})
      resolve({ resume: () => void response.resume(), destroy: () => void response.destroy() })
    })
    sent.on("error", reject)
    sent.end(message === undefined ? undefined : JSON.stringify(message))
    onTestFinished(() => void sent.destroy())
  })
