/** Clients of the official libraries with all features of the older era, for servers that speak stdin and stdout. */
import { Client as ClientV2, StreamableHTTPClientTransport as TransportV2 } from "@modelcontextprotocol/client"
import { Client as ClientV1 } from "@modelcontextprotocol/sdk/client/index.js"
import { StreamableHTTPClientTransport as TransportV1 } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  LoggingMessageNotificationSchema,
  ResourceListChangedNotificationSchema,
  ResourceUpdatedNotificationSchema,
  ToolListChangedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js"
import { eventually } from "./processes.ts"

/** A folder that a client lets its server see. */
export type Root = { readonly uri: string; readonly name: string }

/** A notice that the server sent. */
type Notice = { readonly method: string; readonly params?: Params }

type Params = Readonly<Record<string, unknown>>
// biome-ignore lint/suspicious/noExplicitAny: tests look into results of any shape
type Ask = (params?: any) => Promise<any>

/** The requests that both libraries make by the same names. */
type Requests = Readonly<
  Record<
    | "listTools"
    | "listPrompts"
    | "getPrompt"
    | "complete"
    | "listResources"
    | "listResourceTemplates"
    | "readResource"
    | "subscribeResource"
    | "unsubscribeResource"
    | "setLoggingLevel",
    Ask
  >
>

/** What a tool answered. */
type Called = { readonly text: string; readonly error: boolean; readonly progress: readonly number[] }

/** A connected client. */
export type StdioPeer = {
  readonly revision: string | undefined
  /** The session's id as the client knows it. */
  readonly session: string | undefined
  readonly ask: Requests
  /** Calls a tool; resolves with its text and the progress that it told. */
  call(name: string, args?: Params, signal?: AbortSignal, onProgress?: () => void): Promise<Called>
  /** Everything that the server notified of, in order; progress is not in it. */
  readonly notices: readonly Notice[]
  /** Resolves with the first notice that fits, past or future; rejects after 15 s. */
  notice(fits: (notice: Notice) => boolean): Promise<Notice>
  /** Lets the server see other roots, and tells it so. */
  changeRoots(roots: readonly Root[]): Promise<void>
  /** Ends the session as a client should. */
  close(): Promise<void>
}

/** Which library, in which era. */
export type Library = "v1" | "v2 legacy" | "v2 auto" | "v2 modern"

/** What a client offers and how it connects. */
type PeerOptions = {
  readonly token: string
  readonly roots?: readonly Root[]
  /** Sends its requests. */
  readonly fetch?: (url: string | URL, init?: RequestInit) => Promise<Response>
}

const capabilities = { sampling: {}, elicitation: { form: {} }, roots: { listChanged: true } }
const sampled = { model: "m", role: "assistant" as const, content: { type: "text" as const, text: "sampled!" } }
const elicited = { action: "accept" as const, content: { name: "Ada", check: true, integer: 7 } }
const info = { name: "stdio-peer", version: "1" }

/** The part of both libraries' clients that is used alike. */
type Raw = Requests & { sendRootsListChanged(): Promise<void>; close(): Promise<void> }
type Transport = { readonly sessionId?: string | undefined; terminateSession(): Promise<void> }
type Opened = {
  readonly client: Raw
  readonly transport: Transport
  readonly revision: string | undefined
  readonly callTool: (params: object, options: object) => Promise<unknown>
}
type Heard = { readonly notices: Notice[]; roots: readonly Root[] }

/** What both libraries' transports take. */
type TransportOptions = { readonly requestInit: RequestInit; readonly fetch: NonNullable<PeerOptions["fetch"]> }

const openV1 = async (url: URL, options: TransportOptions, heard: Heard): Promise<Opened> => {
  const client = new ClientV1(info, { capabilities })
  client.setRequestHandler(CreateMessageRequestSchema, async () => sampled)
  client.setRequestHandler(ElicitRequestSchema, async () => elicited)
  client.setRequestHandler(ListRootsRequestSchema, async () => ({ roots: [...heard.roots] }))
  for (const schema of [
    LoggingMessageNotificationSchema,
    ResourceUpdatedNotificationSchema,
    ResourceListChangedNotificationSchema,
    ToolListChangedNotificationSchema,
  ])
    client.setNotificationHandler(schema as typeof LoggingMessageNotificationSchema, (notice) => {
      heard.notices.push(notice as Notice)
    })
  const transport = new TransportV1(url, options)
  // the 1.x types disagree with exactOptionalPropertyTypes
  await client.connect(transport as Parameters<typeof client.connect>[0])
  const callTool = (params: object, options: object) => client.callTool(params as never, undefined, options)
  return { client: client as unknown as Raw, transport, revision: transport.protocolVersion, callTool }
}

const openV2 = async (
  url: URL,
  options: TransportOptions,
  heard: Heard,
  library: Exclude<Library, "v1">,
): Promise<Opened> => {
  const mode = { "v2 legacy": "legacy", "v2 auto": "auto", "v2 modern": { pin: "2026-07-28" } } as const
  const client = new ClientV2(info, { capabilities, versionNegotiation: { mode: mode[library] } })
  client.setRequestHandler("sampling/createMessage", async () => sampled)
  client.setRequestHandler("elicitation/create", async () => elicited)
  client.setRequestHandler("roots/list", async () => ({ roots: [...heard.roots] }))
  for (const method of [
    "notifications/message",
    "notifications/resources/updated",
    "notifications/resources/list_changed",
    "notifications/tools/list_changed",
  ] as const)
    client.setNotificationHandler(method, (notice) => void heard.notices.push(notice as Notice))
  const transport = new TransportV2(url, options)
  await client.connect(transport)
  const callTool = (params: object, options: object) => client.callTool(params as never, options)
  return { client: client as unknown as Raw, transport, revision: client.getNegotiatedProtocolVersion(), callTool }
}

const textOf = (content: unknown): string =>
  Array.isArray(content) ? content.map((part: { text?: string }) => part.text ?? "").join("") : ""

/** Connects a client of a library. */
export const connectStdio = async (
  library: Library,
  url: string,
  { token, roots = [], fetch = globalThis.fetch }: PeerOptions,
): Promise<StdioPeer> => {
  const heard: Heard = { notices: [], roots }
  const options = { requestInit: { headers: { authorization: `Bearer ${token}` } }, fetch }
  const open = library === "v1" ? openV1 : openV2
  const opened = await open(new URL(url), options, heard, library as Exclude<Library, "v1">)
  const { client, transport, revision, callTool } = opened
  const find = (fits: (notice: Notice) => boolean) => heard.notices.find(fits)
  return {
    revision,
    get session() {
      return transport.sessionId
    },
    ask: client,
    call: async (name, args = {}, signal, onProgress) => {
      const progress: number[] = []
      const onprogress = (told: { progress: number }) => {
        progress.push(told.progress)
        onProgress?.()
      }
      const options = { timeout: 60_000, onprogress, ...(signal === undefined ? {} : { signal }) }
      const result = (await callTool({ name, arguments: args }, options)) as { content: unknown; isError?: boolean }
      return { text: textOf(result.content), error: result.isError === true, progress }
    },
    notices: heard.notices,
    notice: async (fits) => {
      await eventually(() => find(fits) !== undefined, 15_000, "the server notifies of it")
      return find(fits) as Notice
    },
    changeRoots: async (next) => {
      heard.roots = next
      await client.sendRootsListChanged()
    },
    close: async () => {
      if (transport.sessionId !== undefined) await transport.terminateSession()
      await client.close()
    },
  }
}
