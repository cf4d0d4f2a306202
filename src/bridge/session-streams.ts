import { EventStream } from "./event-stream.ts"
import type { Connection } from "./http/connection.ts"
import { InOrder } from "./in-order.ts"
import type { ServerMessage } from "./peer.ts"
import { Reply } from "./reply.ts"
import { createRing, type Ring, type RingBudget, readEventId } from "./ring.ts"
import { type Slow, type Unsent, type Waiting, waiting } from "./unsent.ts"

/** The first revision whose clients expect an event without data (MCP 2025-11-25, Streamable HTTP, resumability). */
const firstPrimed = "2025-11-25"

/** The number of the stream that GET opens. Those of POSTs count from one. */
const ofGet = 0

/** What the streams of a session need. */
type StreamsDeps = {
  /** The child that waits for slow clients; undefined if others use it too. */
  readonly child: Waiting | undefined
  /** Counts what clients do not read if no child waits for them. */
  readonly unsent: Unsent
  /** What the events of all sessions of one child may take together; undefined if others have their own child. */
  readonly ringBudget: RingBudget | undefined
  /** Called whenever a stream or a call is over. */
  readonly used: () => void
  readonly silenceMs: number
}

/** True for messages that belong to no call: what the server offers has changed. */
const isOfNoCall = (method: string | undefined): boolean =>
  method !== undefined && (method.startsWith("notifications/resources/") || method.endsWith("/list_changed"))

/** All streams of one session: which message goes where, and what a client gets that comes back. */
export class SessionStreams {
  readonly #deps: StreamsDeps
  readonly #ring: Ring
  readonly #slow: Slow
  /** Streams that are not done, by number. */
  readonly #streams = new Map<number, EventStream>()
  /** Replies with open calls, the oldest first. */
  readonly #replies = new InOrder<Reply>()
  readonly #get: EventStream
  #numbers = ofGet
  /** The protocol version of the session; empty until the server has named it. */
  revision = ""

  constructor(deps: StreamsDeps) {
    this.#deps = deps
    this.#ring = createRing(deps.ringBudget)
    this.#slow = deps.child === undefined ? deps.unsent : waiting(deps.child)
    this.#get = this.#create(ofGet)
  }

  /**
   * True while a client is connected to a stream, or waits for an answer. A call whose client has gone is no use: a
   * server that never answers it would be kept for good.
   */
  get isInUse(): boolean {
    return (
      this.#replies.find(({ isReachable }) => isReachable) !== undefined ||
      [...this.#streams.values()].some(({ isAttached }) => isAttached)
    )
  }

  /** The reply to a POST with calls. */
  reply(connection: Connection, calls: number): Reply {
    const reply: Reply = new Reply({
      connection,
      calls,
      silenceMs: this.#deps.silenceMs,
      statusOf: () => 200,
      open: () => this.#openReply(connection),
      sent: () => this.#slow.wrote(connection),
      done: () => {
        this.#replies.remove(reply)
        this.#deps.used()
      },
    })
    this.#replies.add(reply)
    return reply
  }

  /** Answers a GET: continues the stream that `lastEventId` names, or opens the stream for messages of no call. */
  listen(connection: Connection, lastEventId: string | undefined): void {
    const place = lastEventId === undefined ? undefined : readEventId(lastEventId)
    const stream = place && this.#streams.get(place.stream)
    // an id that this session never gave, mostly of a session before it, says nothing about what the client has
    if (place === undefined || place.stream > this.#numbers || (stream && place.sequence > stream.written))
      return void this.#get.attach(connection, undefined, this.#isPrimed)
    if (stream !== undefined) return void stream.attach(connection, place.sequence, this.#isPrimed)
    // a stream that is done: what is left of it, and its end
    const { unsent: slow } = this.#deps
    const rest = new EventStream({ number: place.stream, ring: this.#ring, slow, detached: () => {} })
    rest.attach(connection, place.sequence, false)
    rest.end()
  }

  /** Sends a message of the server that names no call to the stream where its client most probably expects it. */
  send({ text, method }: ServerMessage): void {
    const reachable = isOfNoCall(method) ? [] : this.#replies.all().filter(({ isReachable }) => isReachable)
    const newest = reachable.at(-1)
    // the stream of GET keeps what it is sent until a client connects
    if (newest === undefined || (reachable.length > 1 && this.#get.isAttached)) this.#get.send(text)
    else newest.stream().send(text)
  }

  /** Ends all streams; nobody can come back to them. */
  end(): void {
    for (const stream of this.#streams.values()) stream.end()
    this.#ring.clear()
  }

  get #isPrimed(): boolean {
    return this.revision >= firstPrimed
  }

  #create(number: number): EventStream {
    const stream = new EventStream({ number, ring: this.#ring, slow: this.#slow, detached: this.#deps.used })
    this.#streams.set(number, stream)
    return stream
  }

  #openReply(connection: Connection) {
    const stream = this.#create(++this.#numbers)
    if (!connection.isOver) stream.attach(connection, undefined, this.#isPrimed)
    return {
      get isAttached() {
        return stream.isAttached
      },
      send: (text: string) => stream.send(text),
      end: () => {
        this.#streams.delete(stream.number)
        stream.end()
      },
    }
  }
}
