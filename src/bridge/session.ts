import { randomUUID } from "node:crypto"
import type { AppError } from "../errors.ts"
import { isRecord } from "../mcp/message.ts"
import { parsedAt, readEnvelope, withValues } from "./envelope.ts"
import { cancelledError, diedError, type Mask, silentError } from "./explain.ts"
import type { Connection } from "./http/connection.ts"
import type { Incoming } from "./incoming.ts"
import type { Call, Peer, ServerMessage } from "./peer.ts"
import type { Started } from "./processes.ts"
import { errorText } from "./rpc.ts"
import { SessionStreams } from "./session-streams.ts"
import type { Unsent } from "./unsent.ts"

/** A session of a client (MCP 2025-11-25, session management), whatever is behind it. */
export type Session = {
  readonly id: string
  /** Since when nobody has used it, by `performance.now()`; undefined while a stream or a call is open. */
  readonly idleSince: number | undefined
  /** Takes the messages of a POST, and answers it. Throws TooManyCalls before anything was sent. */
  receive(messages: readonly Incoming[], connection: Connection): void
  /** Opens or continues an event stream. */
  listen(connection: Connection, lastEventId: string | undefined): void
  /** A promise if the server must first read what was sent to it; undefined if it may get more. */
  drained(): Promise<void> | undefined
  /** Ends the session. Resolves when what it had for itself has ended. */
  end(): Promise<void>
}

/** Limits of sessions. */
export type SessionLimits = {
  /** How long the server may take to answer `initialize`, milliseconds. */
  readonly startMs: number
  /** After this time without a message, the answer to a call becomes an event stream, milliseconds. */
  readonly silenceMs: number
  /** After this time without its client, a call of a shared process is cancelled, milliseconds. */
  readonly goneMs: number
  /** Counts what clients do not read. */
  readonly unsent: Unsent
  /** Masks last lines of stderr; undefined = they are shown to nobody. */
  readonly mask: Mask | undefined
}

/** Ids of calls as values: 1 is 1.0. Read again, those of 1,000 open calls would cost each cancellation half a millisecond. */
const ids = new WeakMap<Call, unknown>()

const idOf = (call: Call): unknown => {
  if (!ids.has(call)) ids.set(call, JSON.parse(call.idText))
  return ids.get(call)
}

/** The call that `notifications/cancelled` names, of those given; undefined if it is none. */
export const cancelledCall = (calls: Iterable<Call>, { text, envelope }: Incoming): Call | undefined => {
  if (envelope.requestId === undefined) return undefined
  const id = parsedAt(text, envelope.requestId)
  for (const call of calls) if (idOf(call) === id) return call
  return undefined
}

/** The headers by which a client learns its session. */
export const sessionHeader = (id: string): Readonly<Record<string, string>> => ({ "mcp-session-id": id })

const isNotice = ({ message }: Incoming, method: string): boolean =>
  message.kind === "notification" && message.method === method

/** Sends the notification that a call is cancelled, and ends the call. */
export const passCancel = (peer: Peer, call: Call | undefined, { text, envelope }: Incoming): void => {
  if (call === undefined || envelope.requestId === undefined || !peer.forget(call)) return
  peer.send(withValues(text, [[envelope.requestId, `"${call.ownId}"`]]))
  call.sink.over()
}

/** The protocol version in the server's answer to `initialize`; undefined if the answer is no result. */
const revisionIn = (text: string): string | undefined => {
  const value = parsedAt(text, readEnvelope(text, false).result)
  if (!isRecord(value)) return undefined
  return typeof value.protocolVersion === "string" ? value.protocolVersion : ""
}

/** A session with a child of its own: all messages pass, in both directions. */
export class OwnSession implements Session {
  readonly id = randomUUID()
  readonly #started: Started
  readonly #limits: SessionLimits
  readonly #streams: SessionStreams
  readonly #over: () => void
  #lastUse = performance.now()
  #isOver = false
  /** True until `initialize` is answered. */
  #isOpening = true

  /** `over` is called once when the session ends, which its child may do some seconds later. */
  constructor(started: Started, limits: SessionLimits, over: () => void) {
    this.#started = started
    this.#limits = limits
    this.#over = over
    this.#streams = new SessionStreams({
      child: started.child,
      ringBudget: undefined,
      unsent: limits.unsent,
      silenceMs: limits.silenceMs,
      used: () => {
        this.#lastUse = performance.now()
      },
    })
    void started.child.ended.then((death) => this.#died(diedError(started.child, death, limits.mask)))
  }

  get idleSince(): number | undefined {
    return this.#streams.isInUse || this.#isOpening ? undefined : this.#lastUse
  }

  get #peer(): Peer {
    return this.#started.peer
  }

  /** Takes a message of the server that names no call. */
  take(message: ServerMessage): void {
    this.#streams.send(message)
  }

  /**
   * Sends `initialize` and answers the POST: with the session's id if the server opened it. Otherwise the session ends.
   */
  initialize({ text, envelope }: Incoming, connection: Connection): void {
    const fail = (error: AppError) => {
      clearTimeout(timer)
      connection.json(200, errorText(error, call.idText))
      void this.end()
    }
    const answer = (answered: string): void => {
      clearTimeout(timer)
      this.#isOpening = false
      const revision = revisionIn(answered)
      this.#streams.revision = revision ?? ""
      connection.json(200, answered, revision === undefined ? {} : sessionHeader(this.id))
      if (revision === undefined || connection.isGone) void this.end()
    }
    const { child } = this.#started
    const { startMs, mask } = this.#limits
    const over = (): void => fail(cancelledError(child, mask))
    const call = this.#peer.call(text, envelope, { note: () => {}, answer, over })
    const timer = setTimeout(() => {
      this.#peer.forget(call)
      fail(silentError(child, startMs, mask))
    }, startMs)
    // nobody knows the id of a session whose opener has gone
    if (connection.isGone) void this.end()
    else connection.onGone(() => void this.end())
  }

  receive(messages: readonly Incoming[], connection: Connection): void {
    this.#lastUse = performance.now()
    const calls = messages.filter(({ message }) => message.kind === "request")
    this.#peer.ensureRoom(calls.length)
    const reply = calls.length === 0 ? undefined : this.#streams.reply(connection, calls.length)
    for (const each of messages) {
      if (each.message.kind === "request" && reply !== undefined)
        this.#peer.call(each.text, each.envelope, reply.sink())
      else if (isNotice(each, "notifications/cancelled"))
        passCancel(this.#peer, cancelledCall(this.#peer.calls, each), each)
      else this.#peer.send(each.text)
    }
    if (reply === undefined) connection.empty(202)
  }

  listen(connection: Connection, lastEventId: string | undefined): void {
    this.#lastUse = performance.now()
    this.#streams.listen(connection, lastEventId)
  }

  drained(): Promise<void> | undefined {
    return this.#started.child.drained()
  }

  end(): Promise<void> {
    this.#leave()
    return this.#started.child.end()
  }

  /** From here on the session is unknown to clients. */
  #leave(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#over()
  }

  #died(error: AppError): void {
    for (const { sink, idText } of this.#peer.takeAll()) sink.answer(errorText(error, idText))
    this.#streams.end()
    this.#leave()
  }
}
