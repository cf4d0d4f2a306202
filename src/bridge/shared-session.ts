import { randomUUID } from "node:crypto"
import { AppError } from "../errors.ts"
import type { Shares } from "../intake/bodies.ts"
import { isRecord } from "../mcp/message.ts"
import { newestLegacy } from "../mcp/versions.ts"
import type { CommonChild, Opening } from "./common-child.ts"
import { type Envelope, idTextOf, readEnvelope } from "./envelope.ts"
import type { Connection } from "./http/connection.ts"
import { InOrder } from "./in-order.ts"
import type { Incoming } from "./incoming.ts"
import type { Call, CallSink, Peer, ServerMessage } from "./peer.ts"
import type { Reply } from "./reply.ts"
import type { RingBudget } from "./ring.ts"
import { errorText, resultText } from "./rpc.ts"
import { cancelledCall, passCancel, type Session, type SessionLimits, sessionHeader } from "./session.ts"
import { SessionStreams } from "./session-streams.ts"
import type { Subscriptions } from "./subscriptions.ts"

/** Revisions of the legacy era that a shared server can be offered as, though it was opened with a newer one. */
const legacyRevisions: readonly string[] = ["2024-11-05", "2025-03-26", "2025-06-18", newestLegacy]

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

/** A call of this session. */
type Pending = {
  readonly call: Call
  readonly reply: Reply
  /** Since when its client is known to be gone, by `performance.now()`. */
  goneSince: number | undefined
}

/** What the sessions of one shared child have in common. */
export type SharedDeps = {
  readonly common: CommonChild
  readonly subscriptions: Subscriptions<SharedSession>
  /** Open calls, of which each session has its share. */
  readonly shares: Shares
  readonly ringBudget: RingBudget
  readonly limits: SessionLimits
}

const tooManyCalls = (): AppError =>
  new AppError("TooManyCalls", {
    detail: "This session has its share of calls that the shared server did not answer yet.",
    retryAfterSeconds: 1,
  })

/** A session of a client that shares a child with others. It is opened already, so every `initialize` gets its answer. */
export class SharedSession implements Session {
  readonly id = randomUUID()
  readonly #deps: SharedDeps
  readonly #streams: SessionStreams
  readonly #calls = new InOrder<Pending>()
  readonly #over: () => void
  readonly #listener = (message: ServerMessage, uri: string | undefined): void => this.#hear(message, uri)
  #lastUse = performance.now()

  /** `over` is called when the session ends. */
  constructor(deps: SharedDeps, over: () => void) {
    this.#deps = deps
    this.#over = over
    this.#streams = new SessionStreams({
      child: undefined,
      ringBudget: deps.ringBudget,
      unsent: deps.limits.unsent,
      silenceMs: deps.limits.silenceMs,
      used: () => {
        this.#lastUse = performance.now()
      },
    })
    deps.common.listeners.add(this.#listener)
  }

  get #peer(): Peer {
    return this.#deps.common.peer
  }

  get idleSince(): number | undefined {
    return this.#streams.isInUse ? undefined : this.#lastUse
  }

  /** Answers `initialize` from what the server answered to the bridge. */
  initialize(incoming: Incoming, connection: Connection): void {
    const { message } = incoming
    const { opening } = this.#deps.common
    const asked = message.kind === "request" ? message.params.protocolVersion : undefined
    const protocolVersion = revisionFor(asked, opening.protocolVersion)
    this.#streams.revision = protocolVersion
    const result: Opening = { ...opening, protocolVersion, capabilities: withoutPersonal(opening.capabilities) }
    connection.json(200, resultText(idTextOf(incoming), result), sessionHeader(this.id))
  }

  receive(messages: readonly Incoming[], connection: Connection): void {
    this.#lastUse = performance.now()
    const calls = messages.filter(({ message }) => message.kind === "request")
    this.#peer.ensureRoom(calls.length)
    if (!this.#deps.shares.take(this.id, calls.length)) throw tooManyCalls()
    const reply = calls.length === 0 ? undefined : this.#streams.reply(connection, calls.length)
    for (const each of messages) {
      if (each.message.kind === "request" && reply !== undefined) this.#take(each, reply)
      // answers, and other notifications of one client, mean nothing to a server that others use too
      else if (each.message.kind === "notification" && each.message.method === "notifications/cancelled")
        passCancel(this.#peer, cancelledCall(this.#open(), each), each)
    }
    if (reply === undefined) connection.empty(202)
  }

  listen(connection: Connection, lastEventId: string | undefined): void {
    this.#lastUse = performance.now()
    this.#streams.listen(connection, lastEventId)
  }

  drained(): Promise<void> | undefined {
    return this.#peer.child.drained()
  }

  /** Cancels calls whose clients have been gone for long: a server that never answers them would be filled by them. */
  cancelAbandoned(): void {
    const now = performance.now()
    for (const pending of this.#calls.all()) {
      pending.goneSince = pending.reply.isReachable ? undefined : (pending.goneSince ?? now)
      if (pending.goneSince !== undefined && pending.goneSince <= now - this.#deps.limits.goneMs)
        this.#cancel(pending.call, "the client closed the connection")
    }
  }

  async end(): Promise<void> {
    const { common, subscriptions } = this.#deps
    common.listeners.delete(this.#listener)
    for (const uri of subscriptions.leave(this)) this.#tell("resources/unsubscribe", uri)
    for (const call of this.#open()) this.#cancel(call, "the session has ended")
    this.#streams.end()
    this.#over()
  }

  /** The calls without an answer, the oldest first. */
  #open(): readonly Call[] {
    return this.#calls.all().map(({ call }) => call)
  }

  #cancel(call: Call, reason: string): void {
    this.#peer.cancel(call, reason)
    call.sink.over()
  }

  /** Takes a request: answers it, or sends it to the server. */
  #take(incoming: Incoming, reply: Reply): void {
    const { message, text, envelope } = incoming
    if (message.kind === "response") return
    const { method, params } = message
    const uri = typeof params.uri === "string" ? params.uri : undefined
    const sink = reply.sink()
    const isNew = method === "resources/subscribe" && uri !== undefined && !this.#deps.subscriptions.has(uri, this)
    const own = this.#ownAnswer(method, uri, idTextOf(incoming))
    if (own === undefined) this.#send(text, envelope, reply, isNew ? this.#subscribing(uri, sink) : sink)
    else {
      this.#deps.shares.give(this.id, 1)
      sink.answer(own)
    }
  }

  /** The answer to a request that the server need not hear of, because it concerns this session only. */
  #ownAnswer(method: string, uri: string | undefined, idText: string): string | undefined {
    const { subscriptions } = this.#deps
    // the level of one client would be that of all, and no client gets log messages
    if (method === "logging/setLevel") return resultText(idText, {})
    if (uri === undefined) return undefined
    if (method === "resources/unsubscribe" && !subscriptions.remove(uri, this)) return resultText(idText, {})
    // the server hears of every subscription, so that each client hears what the server says to it
    const refused = method === "resources/subscribe" ? subscriptions.add(uri, this) : undefined
    return refused === undefined ? undefined : errorText(refused, idText)
  }

  /** The sink of a subscription, which is over if the server refuses it. */
  #subscribing(uri: string, sink: CallSink): CallSink {
    const answer = (answered: string): void => {
      const isRefused = readEnvelope(answered, false).result === undefined
      // another one may have ended meanwhile, and was kept at the server for this one
      if (isRefused && this.#deps.subscriptions.remove(uri, this)) this.#tell("resources/unsubscribe", uri)
      sink.answer(answered)
    }
    return { ...sink, answer }
  }

  #send(text: string, envelope: Envelope, reply: Reply, sink: CallSink): void {
    const over = (): void => {
      if (this.#calls.remove(pending)) this.#deps.shares.give(this.id, 1)
    }
    const call: Call = this.#peer.call(text, envelope, {
      note: sink.note,
      answer: (answer) => {
        over()
        sink.answer(answer)
      },
      over: () => {
        over()
        sink.over()
      },
    })
    const pending: Pending = { call, reply, goneSince: undefined }
    this.#calls.add(pending)
  }

  /** Sends a request whose answer nobody needs. */
  #tell(method: string, uri: string): void {
    const text = JSON.stringify({ jsonrpc: "2.0", id: 0, method, params: { uri } })
    const nothing = () => {}
    this.#peer.call(text, readEnvelope(text, false), { note: nothing, answer: nothing, over: nothing })
  }

  #hear(message: ServerMessage, uri: string | undefined): void {
    const { method } = message
    const isForAll = method?.endsWith("/list_changed") === true
    const isUpdate = method === "notifications/resources/updated" && uri !== undefined
    if (isForAll || (isUpdate && this.#deps.subscriptions.has(uri, this))) this.#streams.send(message)
  }
}
