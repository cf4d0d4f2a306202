import { randomUUID } from "node:crypto"
import { isRecord } from "../mcp/message.ts"
import { newestLegacy } from "../mcp/versions.ts"
import type { CommonChild, Opening } from "./common-child.ts"
import { readEnvelope, sourceOf } from "./envelope.ts"
import type { Connection } from "./http/connection.ts"
import { InOrder } from "./in-order.ts"
import type { Incoming } from "./incoming.ts"
import type { Call, ServerMessage } from "./peer.ts"
import type { Reply } from "./reply.ts"
import { resultText } from "./rpc.ts"
import { cancelledCall, passCancel, type Session, type SessionLimits, sessionHeader } from "./session.ts"
import { SessionStreams } from "./session-streams.ts"

/** Revisions of the legacy era that a shared server can be offered as, though it was opened with a newer one. */
const legacyRevisions: readonly string[] = ["2024-11-05", "2025-03-26", "2025-06-18", newestLegacy]

/** Counts who has subscribed to which resource of a shared child. */
export class Subscriptions {
  readonly #sessions = new Map<string, Set<SharedSession>>()

  /** True if nobody had subscribed before. */
  add(uri: string, session: SharedSession): boolean {
    const sessions = this.#sessions.get(uri) ?? new Set()
    this.#sessions.set(uri, sessions.add(session))
    return sessions.size === 1
  }

  /** True if it was the last subscription. */
  remove(uri: string, session: SharedSession): boolean {
    const sessions = this.#sessions.get(uri)
    if (sessions?.delete(session) !== true || sessions.size > 0) return false
    return this.#sessions.delete(uri)
  }

  has(uri: string, session: SharedSession): boolean {
    return this.#sessions.get(uri)?.has(session) === true
  }

  /** The resources to which only this session has subscribed; it is removed from all. */
  leave(session: SharedSession): readonly string[] {
    return [...this.#sessions.keys()].filter((uri) => this.remove(uri, session))
  }
}

/** The revision that the client hears: its own if that is known and older, else the server's. */
const revisionFor = (asked: unknown, opened: unknown): string => {
  const own = typeof opened === "string" ? opened : newestLegacy
  return typeof asked === "string" && legacyRevisions.includes(asked) && asked < own ? asked : own
}

/** Capabilities that need messages to one client, which a shared server cannot send. */
const withoutPersonal = (capabilities: unknown): object => {
  if (!isRecord(capabilities)) return {}
  const { logging, tasks, ...others } = capabilities
  return others
}

/** Most resources that one session may subscribe to. */
const mostSubscriptions = 1_000

/** A session of a client that shares a child with others. It is opened already, so every `initialize` gets its answer. */
export class SharedSession implements Session {
  readonly id = randomUUID()
  readonly #common: CommonChild
  readonly #subscriptions: Subscriptions
  readonly #streams: SessionStreams
  readonly #calls = new InOrder<Call>()
  readonly #over: () => void
  readonly #listener = (message: ServerMessage): void => this.#hear(message)
  #lastUse = performance.now()
  #subscribed = 0

  /** `over` is called when the session ends. */
  constructor(common: CommonChild, subscriptions: Subscriptions, limits: SessionLimits, over: () => void) {
    this.#common = common
    this.#subscriptions = subscriptions
    this.#over = over
    this.#streams = new SessionStreams({
      child: undefined,
      silenceMs: limits.silenceMs,
      used: () => {
        this.#lastUse = performance.now()
      },
    })
    common.listeners.add(this.#listener)
  }

  get idleSince(): number | undefined {
    return this.#streams.isInUse ? undefined : this.#lastUse
  }

  /** Answers `initialize` from what the server answered to the bridge. */
  initialize({ message, text, envelope }: Incoming, connection: Connection): void {
    const { opening } = this.#common
    const asked = message.kind === "request" ? message.params.protocolVersion : undefined
    const protocolVersion = revisionFor(asked, opening.protocolVersion)
    this.#streams.revision = protocolVersion
    const result: Opening = { ...opening, protocolVersion, capabilities: withoutPersonal(opening.capabilities) }
    const id = envelope.id === undefined ? "null" : sourceOf(text, envelope.id)
    connection.json(200, resultText(id, result), sessionHeader(this.id))
  }

  receive(messages: readonly Incoming[], connection: Connection): void {
    this.#lastUse = performance.now()
    const calls = messages.filter(({ message }) => message.kind === "request")
    this.#common.peer.ensureRoom(calls.length)
    const reply = calls.length === 0 ? undefined : this.#streams.reply(connection, calls.length)
    for (const each of messages) {
      if (each.message.kind === "request" && reply !== undefined) this.#call(each, reply)
      // answers, and other notifications of one client, mean nothing to a server that others use too
      else if (each.message.kind === "notification" && each.message.method === "notifications/cancelled")
        passCancel(this.#common.peer, cancelledCall(this.#calls.all(), each), each)
    }
    if (reply === undefined) connection.empty(202)
  }

  listen(connection: Connection, lastEventId: string | undefined): void {
    this.#lastUse = performance.now()
    this.#streams.listen(connection, lastEventId)
  }

  drained(): Promise<void> | undefined {
    return this.#common.peer.child.drained()
  }

  async end(): Promise<void> {
    const { peer, listeners } = this.#common
    listeners.delete(this.#listener)
    for (const uri of this.#subscriptions.leave(this)) this.#tell("resources/unsubscribe", uri)
    for (const call of this.#calls.all()) {
      peer.cancel(call, "the session has ended")
      call.sink.over()
    }
    this.#streams.end()
    this.#over()
  }

  #call({ message, text, envelope }: Incoming, reply: Reply): void {
    const method = message.kind === "request" ? message.method : ""
    const uri = message.kind === "request" && typeof message.params.uri === "string" ? message.params.uri : ""
    const sink = reply.sink()
    const idText = envelope.id === undefined ? "null" : sourceOf(text, envelope.id)
    if (this.#isOwn(method, uri)) {
      sink.answer(resultText(idText, {}))
      return
    }
    const call: Call = this.#common.peer.call(text, envelope, {
      note: sink.note,
      answer: (answer) => {
        this.#calls.remove(call)
        sink.answer(answer)
      },
      over: () => {
        this.#calls.remove(call)
        sink.over()
      },
    })
    this.#calls.add(call)
  }

  /** True for a request that the server need not hear of, because it concerns this session only. */
  #isOwn(method: string, uri: string): boolean {
    // the level of one client would be that of all, and no client gets log messages
    if (method === "logging/setLevel") return true
    if (method === "resources/subscribe") return !this.#subscribe(uri)
    return method === "resources/unsubscribe" && !this.#unsubscribe(uri)
  }

  /** True if the server must hear of the subscription. */
  #subscribe(uri: string): boolean {
    if (this.#subscriptions.has(uri, this) || this.#subscribed >= mostSubscriptions) return false
    this.#subscribed++
    return this.#subscriptions.add(uri, this)
  }

  /** True if the server must hear of the end of the subscription. */
  #unsubscribe(uri: string): boolean {
    if (!this.#subscriptions.has(uri, this)) return false
    this.#subscribed--
    return this.#subscriptions.remove(uri, this)
  }

  /** Sends a request whose answer nobody needs. */
  #tell(method: string, uri: string): void {
    const { peer } = this.#common
    const text = JSON.stringify({ jsonrpc: "2.0", id: 0, method, params: { uri } })
    const nothing = () => {}
    peer.call(text, readEnvelope(text, false), { note: nothing, answer: nothing, over: nothing })
  }

  #hear(message: ServerMessage): void {
    const { method, text } = message
    if (method === "notifications/resources/updated") {
      const params: unknown = JSON.parse(text).params
      const uri = isRecord(params) && typeof params.uri === "string" ? params.uri : ""
      if (this.#subscriptions.has(uri, this)) this.#streams.send(message)
    } else if (method?.endsWith("/list_changed") === true) this.#streams.send(message)
  }
}
