import type { Connection } from "./http/connection.ts"
import { eventId, type Ring } from "./ring.ts"
import { fullBytes, type Slow } from "./unsent.ts"

/** What a stream of a session needs. */
type StreamDeps = {
  readonly number: number
  readonly ring: Ring
  /** What becomes of a client that does not read. */
  readonly slow: Slow
  /** Called when the connection has ended or was lost. */
  readonly detached: () => void
}

/**
 * One stream of a session: that of a POST, or that of GET. It outlives its connection: a client that lost it gets what
 * it missed with Last-Event-ID, as far as the ring has it.
 */
export class EventStream {
  readonly #deps: StreamDeps
  #connection: Connection | undefined
  #sequence = 0
  #written = 0
  #isDone = false

  constructor(deps: StreamDeps) {
    this.#deps = deps
  }

  get number(): number {
    return this.#deps.number
  }

  /** The last event that was written to a connection. */
  get written(): number {
    return this.#written
  }

  /** True while a client is connected. */
  get isAttached(): boolean {
    return this.#connection !== undefined
  }

  /**
   * Sends the stream over a connection, from the event after `after` on; without it, from the first that no connection
   * got. A former connection ends. `primed`: begins with an event that only has an id, so that the client can come back
   * even if it got no other.
   */
  attach(connection: Connection, after: number | undefined, primed: boolean): void {
    this.#replace()
    this.#connection = connection
    connection.openStream()
    const { number: stream, ring } = this.#deps
    const from = after ?? this.#written
    if (primed) connection.event("", eventId({ stream, sequence: from }))
    for (const { sequence, text } of ring.after(stream, from)) this.#write(connection, sequence, text)
    if (this.#isDone) return void this.#finish()
    connection.onGone(() => this.#lost(connection))
  }

  /** Sends a message; keeps it for a client that comes back. */
  send(text: string): void {
    const sequence = ++this.#sequence
    this.#deps.ring.add({ stream: this.number, sequence, text })
    if (this.#connection !== undefined) this.#write(this.#connection, sequence, text)
  }

  /** Ends the stream; nothing may be sent afterwards. */
  end(): void {
    this.#isDone = true
    this.#finish()
  }

  #write(connection: Connection, sequence: number, text: string): void {
    connection.event(text, eventId({ stream: this.number, sequence }))
    this.#written = Math.max(this.#written, sequence)
    this.#deps.slow.wrote(connection)
  }

  /** Ends the connection that another one follows; one whose client takes nothing would keep its bytes for good. */
  #replace(): void {
    const former = this.#connection
    if (former === undefined) return
    this.#deps.slow.left(former)
    if (former.unsent < fullBytes) former.end()
    else former.destroy()
  }

  #finish(): void {
    const connection = this.#connection
    connection?.end()
    // the child waits for the rest of the stream too, see `waiting`
    if (connection !== undefined) this.#lost(connection)
  }

  #lost(connection: Connection): void {
    if (this.#connection !== connection) return
    this.#connection = undefined
    this.#deps.detached()
  }
}
