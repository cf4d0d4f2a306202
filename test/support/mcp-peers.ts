import {
  Client as ClientV2,
  LOG_LEVEL_META_KEY,
  StreamableHTTPClientTransport as TransportV2,
} from "@modelcontextprotocol/client"
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
    onProgress?: () => void,
  ): Promise<{ text: string; progress: number; error: boolean }>
  /** URIs of the server's resources. */
  resources(): Promise<string[]>
  /** The text of a resource. */
  read(uri: string): Promise<string>
  /** Asks for log messages: with a request of its own, or, where the revision has none, with each call from now on. */
  setLevel(level: "debug"): Promise<unknown>
  /** Asks for updates of a resource; resolves with a function that ends them. */
  subscribe(uri: string): Promise<() => Promise<unknown>>
  /** Resolves with the first notice of this method, past or future; rejects after 15 s. */
  notice(method: string): Promise<Notice>
  /** Resolves with the first error of the connection that says these words, past or future; rejects after 15 s. */
  connectionError(words: string): Promise<Error>
  /** The revision that was agreed. */
  revision(): string | undefined
  /** Ends the session as a client should (DELETE), then the connection. */
  close(): Promise<void>
}

type Heard<T> = { push(one: T): void; first(fits: (one: T) => boolean, what: string): Promise<T> }

const heard = <T>(): Heard<T> => {
  const seen: T[] = []
  const waiting = new Set<(one: T) => void>()
  return {
    push: (one) => {
      seen.push(one)
      for (const listener of waiting) listener(one)
    },
    first: (fits, what) =>
      new Promise((resolve, reject) => {
        const before = seen.find(fits)
        if (before !== undefined) return resolve(before)
        const timer = setTimeout(() => reject(new Error(`no ${what} within 15 s, but ${seen.join("; ")}`)), 15_000)
        const listener = (one: T) => {
          if (!fits(one)) return
          clearTimeout(timer)
          waiting.delete(listener)
          resolve(one)
        }
        waiting.add(listener)
      }),
  }
}

/** What a client tells apart from answers: the server's notices, and errors of its own connection. */
const hearing = () => {
  const [notices, errors] = [heard<Notice>(), heard<Error>()]
  return {
    keepNotice: (notice: unknown) => notices.push(notice as Notice),
    keepError: errors.push,
    notice: (method: string) => notices.first((notice) => notice.method === method, method),
    connectionError: (words: string) => errors.first(({ message }) => message.includes(words), `error '${words}'`),
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
  const { keepNotice, keepError, ...kept } = hearing()
  const client = new ClientV1({ name: "peer-v1", version: "1" }, { capabilities })
  client.setRequestHandler(CreateMessageRequestSchema, async () => {
    await options.beforeSample?.()
    return sampled
  })
  client.setRequestHandler(ElicitRequestSchema, async () => elicited)
  client.setNotificationHandler(LoggingMessageNotificationSchema, keepNotice)
  client.setNotificationHandler(ResourceUpdatedNotificationSchema, keepNotice)
  client.onerror = keepError
  const transport = new TransportV1(new URL(url), { requestInit: { headers: headers(token) }, ...fetchOf(options) })
  // the 1.x types disagree with exactOptionalPropertyTypes
  await client.connect(transport as Parameters<typeof client.connect>[0])
  return {
    library: "sdk 1.x",
    tools: async () => (await client.listTools()).tools.map((tool) => tool.name),
    call: async (name, args = {}, signal, onProgress) => {
      let progress = 0
      const onprogress = () => {
        progress++
        onProgress?.()
      }
      const result = await client.callTool({ name, arguments: args }, undefined, {
        timeout: 60_000,
        onprogress,
        ...(signal ? { signal } : {}),
      })
      return { text: textOf(result.content), progress, error: result.isError === true }
    },
    resources: async () => (await client.listResources()).resources.map(({ uri }) => uri),
    read: async (uri) => textOf((await client.readResource({ uri })).contents),
    setLevel: (level) => client.setLoggingLevel(level),
    subscribe: async (uri) => {
      await client.subscribeResource({ uri })
      return () => client.unsubscribeResource({ uri })
    },
    ...kept,
    revision: () => transport.protocolVersion,
    close: async () => {
      try {
        await transport.terminateSession()
      } finally {
        await client.close()
      }
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
  const { keepNotice, keepError, ...kept } = hearing()
  const client = new ClientV2(
    { name: "peer-v2", version: "1" },
    { capabilities, versionNegotiation: { mode: mode === "2026-07-28" ? { pin: mode } : mode } },
  )
  client.setRequestHandler("sampling/createMessage", async () => sampled)
  client.setRequestHandler("elicitation/create", async () => elicited)
  client.setNotificationHandler("notifications/message", keepNotice)
  client.setNotificationHandler("notifications/resources/updated", keepNotice)
  client.onerror = keepError
  const transport = new TransportV2(new URL(url), { requestInit: { headers: headers(token) }, ...fetchOf(options) })
  await client.connect(transport)
  let logLevel: string | undefined
  const modern = () => client.getNegotiatedProtocolVersion() === "2026-07-28"
  return {
    library: `client 2.x ${mode}`,
    tools: async () => (await client.listTools()).tools.map((tool) => tool.name),
    call: async (name, args = {}, signal, onProgress) => {
      let progress = 0
      const onprogress = () => {
        progress++
        onProgress?.()
      }
      const result = await client.callTool(
        { name, arguments: args, ...(logLevel === undefined ? {} : { _meta: { [LOG_LEVEL_META_KEY]: logLevel } }) },
        { timeout: 60_000, onprogress, ...(signal ? { signal } : {}) },
      )
      return { text: textOf(result.content), progress, error: result.isError === true }
    },
    resources: async () => (await client.listResources()).resources.map(({ uri }) => uri),
    read: async (uri) => textOf((await client.readResource({ uri })).contents),
    setLevel: async (level) => {
      if (modern()) logLevel = level
      else await client.setLoggingLevel(level)
    },
    subscribe: async (uri) => {
      if (modern()) {
        const subscription = await client.listen({ resourceSubscriptions: [uri] })
        return () => subscription.close()
      }
      await client.subscribeResource({ uri })
      return () => client.unsubscribeResource({ uri })
    },
    ...kept,
    revision: () => client.getNegotiatedProtocolVersion(),
    close: async () => {
      try {
        if (!modern()) await transport.terminateSession()
      } finally {
        await client.close()
      }
    },
  }
}
