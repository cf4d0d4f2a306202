import type { IncomingHttpHeaders } from "node:http"
import { AppError } from "../errors.ts"
import { isRecord } from "../mcp/message.ts"
import { firstModern } from "../mcp/versions.ts"
import { ArgumentHeaders, type AskTools } from "./argument-headers.ts"
import { ask, type CommonChild, type Opening, envelope as ownMeta } from "./common-child.ts"
import { readEnvelope, sourceOf, withValues } from "./envelope.ts"
import type { Connection } from "./http/connection.ts"
import type { Incoming } from "./incoming.ts"
import { type Call, type CallSink, mostCalls, type ServerMessage } from "./peer.ts"
import { Reply } from "./reply.ts"
import { modernStatus, refusalText, resultText } from "./rpc.ts"
import type { Unsent } from "./unsent.ts"

/** How requests of the modern era are sent to a child. */
export type ModernOptions = {
  readonly silenceMs: number
  /** Counts what clients do not read. */
  readonly unsent: Unsent
  /** How long the server may take to tell its tools, milliseconds. */
  readonly listMs: number
  /** True if all clients are one user: only then log messages, which name no request, go to one of them. */
  readonly singleUser: boolean
}

type ModernRequest = Incoming & { readonly message: Extract<Incoming["message"], { method: string }> }

/** Methods whose results say how long they may be cached (MCP 2026-07-28, caching). */
const cacheable: ReadonlySet<string> = new Set([
  "tools/list",
  "prompts/list",
  "resources/list",
  "resources/templates/list",
  "resources/read",
])

/** Members that results of the modern era must have. */
const modernMembers = (method: string): string =>
  `"resultType":"complete"${cacheable.has(method) ? ',"ttlMs":0,"cacheScope":"private"' : ""}`

/** A response of the legacy era as one of the modern era. */
const toModern = (text: string, method: string): string => {
  const { result } = readEnvelope(text, false)
  if (result === undefined || text.charAt(result[0]) !== "{") return text
  const source = sourceOf(text, result)
  const isEmpty = /^\{\s*\}$/.test(source)
  return withValues(text, [[[result[0], result[0] + 1], `{${modernMembers(method)}${isEmpty ? "" : ","}`]])
}

/** Capabilities that the modern era offers by other means, or that need a session. */
const modernCapabilities = (capabilities: unknown): object => {
  if (!isRecord(capabilities)) return {}
  const { logging, tasks, ...others } = capabilities
  return Object.fromEntries(
    Object.entries(others).map(([name, value]) => {
      if (!isRecord(value)) return [name, value]
      const { listChanged, subscribe, ...rest } = value
      return [name, rest]
    }),
  )
}

/** The result of `server/discover` for a server of the legacy era, from its answer to `initialize`. */
export const discovery = ({ capabilities, instructions, serverInfo }: Opening): object => ({
  resultType: "complete",
  supportedVersions: [firstModern],
  capabilities: modernCapabilities(capabilities),
  ...(typeof instructions === "string" ? { instructions } : {}),
  ttlMs: 0,
  cacheScope: "private",
  ...(serverInfo === undefined ? {} : { _meta: { "io.modelcontextprotocol/serverInfo": serverInfo } }),
})

/** Methods that this era does not have, or that a server of the legacy era serves in no session that others use too. */
const sessionMethods: ReadonlySet<string> = new Set([
  "initialize",
  "ping",
  "logging/setLevel",
  "resources/subscribe",
  "resources/unsubscribe",
  "subscriptions/listen",
])

/** Most subscriptions: they stay for as long as their clients do, and the other calls of the child need places too. */
const mostListening = mostCalls / 2

/** The error of a request for which there is no place now. */
export const tooManyCalls = (detail: string): AppError => new AppError("TooManyCalls", { detail, retryAfterSeconds: 1 })

const capabilitiesKey = "io.modelcontextprotocol/clientCapabilities"

/** Throws InvalidParams for a request that lacks what every request of this era says of its client. */
const checkMeta = ({ message: { version, params } }: ModernRequest): void => {
  const { _meta: meta } = params
  if (version === undefined || !isRecord(meta) || !isRecord(meta[capabilitiesKey]))
    throw new AppError("InvalidParams", { detail: `params._meta needs a protocol version, and ${capabilitiesKey}.` })
}

/**
 * The refusal of a version that the server does not speak; undefined if it does. Many servers decide with their first
 * message which version they speak, and do not look at that of the others.
 */
const refusedVersion = (id: string, requested: string | undefined, supported: unknown): string | undefined => {
  const versions: readonly unknown[] = Array.isArray(supported) ? supported : [firstModern]
  if (versions.includes(requested)) return undefined
  return refusalText(id, -32022, "Unsupported protocol version", { supported: versions, requested })
}

/** What the bridge answers itself for a server of the legacy era; undefined = the request is sent. */
const ownAnswer = (opening: Opening, id: string, method: string): string | undefined => {
  if (method === "server/discover") return resultText(id, discovery(opening))
  if (sessionMethods.has(method)) return refusalText(id, -32601, "This method needs a session.")
  return undefined
}

/** Asks a server for a page of its tools, if it has some. */
const askTools = ({ peer, opening }: CommonChild, isLegacy: boolean, ms: number): AskTools => {
  const { capabilities } = opening
  if (!isRecord(capabilities) || capabilities.tools === undefined) return async () => undefined
  return async (params) => {
    const all = isLegacy ? params : { ...params, _meta: ownMeta }
    return (await ask(peer, "tools/list", all, AbortSignal.timeout(ms)))?.result
  }
}

/** Sends the requests of the modern era over one child that all of them share. */
export class ModernSide {
  readonly #common: CommonChild
  readonly #isLegacy: boolean
  readonly #options: ModernOptions
  readonly #argumentHeaders: ArgumentHeaders
  /** Clients with a subscription. */
  readonly #listening = new Set<Connection>()

  constructor(common: CommonChild, isLegacy: boolean, options: ModernOptions) {
    this.#common = common
    this.#isLegacy = isLegacy
    this.#options = options
    this.#argumentHeaders = new ArgumentHeaders(askTools(common, isLegacy, options.listMs), options.listMs)
    common.listeners.add((message) => this.#hear(message))
  }

  /** True once the child has ended. */
  get isOver(): boolean {
    return this.#common.isOver
  }

  /** Resolves when the child has ended. */
  get ended(): Promise<unknown> {
    return this.#common.peer.child.ended
  }

  get idleSince(): number | undefined {
    return this.#common.idleSince
  }

  /** Resolves when the request can be received. */
  async ready({ message }: Incoming): Promise<void> {
    if (message.kind === "request" && message.method === "tools/call") await this.#argumentHeaders.known()
    const { child } = this.#common.peer
    // the server must first read what was sent to it, and others may wait for that too
    for (let wait = child.drained(); wait !== undefined; wait = child.drained()) await wait
  }

  end(): Promise<void> {
    return this.#common.end()
  }

  /** Answers a POST of one message. Throws TooManyCalls, InvalidParams and HeaderMismatch. */
  receive(incoming: Incoming, headers: IncomingHttpHeaders, connection: Connection): void {
    if (incoming.message.kind !== "request") return void connection.empty(202)
    const request: ModernRequest = { ...incoming, message: incoming.message }
    checkMeta(request)
    const own = this.#own(request)
    if (own !== undefined) return void connection.json(modernStatus(own, readEnvelope(own, false)), own)
    if (request.message.method === "tools/call") this.#argumentHeaders.check(request.message.params, headers)
    this.#common.peer.ensureRoom(1)
    this.#send(request, connection)
  }

  /** What is not sent to the server. */
  #own({ message: { method, version }, text, envelope }: ModernRequest): string | undefined {
    const id = envelope.id === undefined ? "null" : sourceOf(text, envelope.id)
    const { opening } = this.#common
    const refused = refusedVersion(id, version, this.#isLegacy ? undefined : opening.supportedVersions)
    return refused ?? (this.#isLegacy ? ownAnswer(opening, id, method) : undefined)
  }

  #send({ message: { method }, text, envelope }: ModernRequest, connection: Connection): void {
    const { peer } = this.#common
    const listens = method === "subscriptions/listen"
    if (listens && this.#listening.size >= mostListening) throw tooManyCalls("The server has too many subscriptions.")
    const reply = this.#reply(connection)
    const sink = reply.sink()
    const answer = (answered: string): void => {
      if (method === "tools/list") this.#argumentHeaders.learnFrom(answered)
      sink.answer(this.#isLegacy ? toModern(answered, method) : answered)
    }
    const own: CallSink = { ...sink, answer }
    const call: Call = peer.call(text, envelope, own)
    connection.onGone(() => {
      this.#listening.delete(connection)
      peer.cancel(call, "the client closed the connection")
    })
    if (!listens) return
    this.#listening.add(connection)
    // its answer comes when the subscription ends
    reply.stream()
  }

  #reply(connection: Connection): Reply {
    const { unsent } = this.#options
    return new Reply({
      connection,
      calls: 1,
      silenceMs: this.#options.silenceMs,
      statusOf: (text) => modernStatus(text, readEnvelope(text, false)),
      sent: () => unsent.wrote(connection),
      done: () => void this.#listening.delete(connection),
      open: () => {
        connection.openStream()
        return {
          get isAttached() {
            return !connection.isOver
          },
          send: (text) => {
            connection.event(text)
            unsent.wrote(connection)
          },
          end: () => connection.end(),
        }
      },
    })
  }

  /** A log message goes to the newest call that asked for some; all other messages name their subscription. */
  #hear({ method, text }: ServerMessage): void {
    if (method !== "notifications/message" || !this.#options.singleUser) return
    const call = this.#common.peer.calls.findLast(({ wantsLog }) => wantsLog)
    call?.sink.note(text)
  }
}

/** The error of a modern message that is not alone. */
export const noBatch = (): AppError => new AppError("InvalidRequest", { detail: "This revision has no batches." })
