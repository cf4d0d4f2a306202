import { Client as ClientV2, StreamableHTTPClientTransport as TransportV2 } from "@modelcontextprotocol/client"
import { Client as ClientV1 } from "@modelcontextprotocol/sdk/client/index.js"
import { StreamableHTTPClientTransport as TransportV1 } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  LoggingMessageNotificationSchema,
  ResourceUpdatedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js"

/** A notice that the server sent. */
export type Notice = { readonly method: string; readonly params: Readonly<Record<string, unknown>> }

/** What the tests ask of an MCP client, whichever library it is. */
export type Peer = {
  readonly library: string
  /** Names of the server's tools. */
  tools(): Promise<string[]>
  /** Calls a tool; resolves with its text and how often it told progress. */
  call(
    name: string,
    args?: Record<string, unknown>,
    signal?: AbortSignal,
  ): Promise<{ text: string; progress: number; error: boolean }>
  setLevel(level: "debug"): Promise<unknown>
  /** Asks for updates of a resource; resolves with a function that ends them. */
  subscribe(uri: string): Promise<() => Promise<unknown>>
  /** Resolves with the first notice of this method, past or future; rejects after 15 s. */
  notice(method: string): Promise<Notice>
  /** The revision that was agreed. */
  revision(): string | undefined
  /** Ends the session as a client should (DELETE), then the connection. */
  close(): Promise<void>
}

type Notices = { push(notice: Notice): void; first(method: string): Promise<Notice> }

const notices = (): Notices => {
  const seen: Notice[] = []
  const waiting = new Set<(notice: Notice) => void>()
  return {
    push: (notice) => {
      seen.push(notice)
      for (const listener of waiting) listener(notice)
    },
    first: (method) =>
      new Promise((resolve, reject) => {
        const before = seen.find((notice) => notice.method === method)
        if (before !== undefined) return resolve(before)
        const timer = setTimeout(() => reject(new Error(`no ${method} within 15 s`)), 15_000)
        const listener = (notice: Notice) => {
          if (notice.method !== method) return
          clearTimeout(timer)
          waiting.delete(listener)
          resolve(notice)
        }
        waiting.add(listener)
      }),
  }
}

const textOf = (content: unknown): string =>
  Array.isArray(content) ? content.map((part: { text?: string }) => part.text ?? "").join("") : ""

const capabilities = { sampling: {}, elicitation: { form: {} } }
const sampled = {
  model: "test-model",
  role: "assistant" as const,
  content: { type: "text" as const, text: "sampled!" },
}
const elicited = { action: "accept" as const, content: { name: "Ada" } }

/** What a test sets of a peer besides its address. */
export type PeerOptions = {
  /** Sends its requests, e.g. to one gateway or another. */
  readonly fetch?: (url: string | URL, init?: RequestInit) => Promise<Response>
  /** Is waited for before the peer answers a sampling request. */
  readonly beforeSample?: () => Promise<void>
}

const headers = (token: string | undefined): Record<string, string> =>
  token === undefined ? {} : { authorization: `Bearer ${token}` }

const fetchOf = ({ fetch }: PeerOptions) => (fetch === undefined ? {} : { fetch })

/** A client of the 1.x library, which speaks the legacy era only. */
export const connectV1 = async (url: string, token?: string, options: PeerOptions = {}): Promise<Peer> => {
  const kept = notices()
  const client = new ClientV1({ name: "peer-v1", version: "1" }, { capabilities })
  client.setRequestHandler(CreateMessageRequestSchema, async () => {
    await options.beforeSample?.()
    return sampled
  })
  client.setRequestHandler(ElicitRequestSchema, async () => elicited)
  client.setNotificationHandler(LoggingMessageNotificationSchema, (notice) => kept.push(notice as Notice))
  client.setNotificationHandler(ResourceUpdatedNotificationSchema, (notice) => kept.push(notice as Notice))
  const transport = new TransportV1(new URL(url), { requestInit: { headers: headers(token) }, ...fetchOf(options) })
  // biome-ignore lint/suspicious/noExplicitAny: the 1.x types disagree with exactOptionalPropertyTypes
  await client.connect(transport as any)
  return {
    library: "sdk 1.x",
    tools: async () => (await client.listTools()).tools.map((tool) => tool.name),
    call: async (name, args = {}, signal) => {
      let progress = 0
      const result = await client.callTool({ name, arguments: args }, undefined, {
        timeout: 60_000,
        onprogress: () => progress++,
        ...(signal ? { signal } : {}),
      })
      return { text: textOf(result.content), progress, error: result.isError === true }
    },
    setLevel: (level) => client.setLoggingLevel(level),
    subscribe: async (uri) => {
      await client.subscribeResource({ uri })
      return () => client.unsubscribeResource({ uri })
    },
    notice: kept.first,
    revision: () => transport.protocolVersion,
    close: async () => {
      await transport.terminateSession().finally(() => client.close())
    },
  }
}

/** A client of the 2.x library: `auto` asks the server for its era, a revision insists on it. */
export const connectV2 = async (
  mode: "auto" | "legacy" | "2026-07-28",
  url: string,
  token?: string,
  options: PeerOptions = {},
): Promise<Peer> => {
  const kept = notices()
  const client = new ClientV2(
    { name: "peer-v2", version: "1" },
    { capabilities, versionNegotiation: { mode: mode === "2026-07-28" ? { pin: mode } : mode } },
  )
  client.setRequestHandler("sampling/createMessage", async () => sampled)
  client.setRequestHandler("elicitation/create", async () => elicited)
  client.setNotificationHandler("notifications/message", (notice) => kept.push(notice as unknown as Notice))
  client.setNotificationHandler("notifications/resources/updated", (notice) => kept.push(notice as unknown as Notice))
  const transport = new TransportV2(new URL(url), { requestInit: { headers: headers(token) }, ...fetchOf(options) })
  await client.connect(transport)
  const modern = () => client.getNegotiatedProtocolVersion() === "2026-07-28"
  return {
    library: `client 2.x ${mode}`,
    tools: async () => (await client.listTools()).tools.map((tool) => tool.name),
    call: async (name, args = {}, signal) => {
      let progress = 0
      const result = await client.callTool(
        { name, arguments: args },
        { timeout: 60_000, onprogress: () => progress++, ...(signal ? { signal } : {}) },
      )
      return { text: textOf(result.content), progress, error: result.isError === true }
    },
    setLevel: (level) => client.setLoggingLevel(level),
    subscribe: async (uri) => {
      if (modern()) {
        const subscription = await client.listen({ resourceSubscriptions: [uri] })
        return () => subscription.close()
      }
      await client.subscribeResource({ uri })
      return () => client.unsubscribeResource({ uri })
    },
    notice: kept.first,
    revision: () => client.getNegotiatedProtocolVersion(),
    close: async () => {
      const ended = modern() ? Promise.resolve() : transport.terminateSession()
      await ended.finally(() => client.close())
    },
  }
}
