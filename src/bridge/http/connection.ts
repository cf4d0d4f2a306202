import type { ServerResponse } from "node:http"
import { comment } from "../../mcp/sse.ts"

/** The client's end of one response. */
export type Connection = {
  /** Answers with one JSON text; nothing may have been sent before. */
  json(status: number, text: string, headers?: Readonly<Record<string, string>>): void
  /** Answers without a body. */
  empty(status: number, headers?: Readonly<Record<string, string>>): void
  /** Sends the head of an event stream, unless it was sent. */
  openStream(headers?: Readonly<Record<string, string>>): void
  /** Sends one event. `text` is one line, or empty for an event that only sets the id. */
  event(text: string, id?: string): void
  /** Ends the response. */
  end(): void
  /** Breaks the connection off, unless the client's end has all of the response. */
  destroy(): void
  /** Bytes that the client has not taken yet. */
  readonly unsent: number
  /** True once the response has ended, or the client has gone away. */
  readonly isOver: boolean
  /** True if the client went away before the response had ended. */
  readonly isGone: boolean
  /**
   * Called once when the client has taken what was written, or has gone away. Of several calls only the last one is
   * kept.
   */
  onTaken(call: () => void): void
  /** Called once when the client goes away before the response has ended. */
  onGone(call: () => void): void
}

const streamHead = {
  "content-type": "text/event-stream",
  "cache-control": "no-cache, no-transform",
  // nginx would collect the events
  "x-accel-buffering": "no",
}

/** Keeps the last call for when the client has taken all bytes, which the end of a response tells by `close` alone. */
const createTaken = (response: ServerResponse): Connection["onTaken"] => {
  let last: (() => void) | undefined
  const taken = (): void => {
    const call = last
    last = undefined
    call?.()
  }
  return (call) => {
    if (last === undefined && response.listenerCount("drain", taken) === 0)
      response.on("drain", taken).once("close", taken)
    last = call
  }
}

/** Wraps Node's response. Writing after the client has gone away does nothing. */
export const createConnection = (response: ServerResponse): Connection => new OverHttp(response)

/** A class, because a lone answer needs few of these functions: as closures each request made all of them. */
class OverHttp implements Connection {
  readonly #response: ServerResponse
  #onTaken: Connection["onTaken"] | undefined

  constructor(response: ServerResponse) {
    this.#response = response
  }

  json(status: number, text: string, headers?: Readonly<Record<string, string>>): void {
    const response = this.#response
    if (response.headersSent) return
    const length = Buffer.byteLength(text)
    response.writeHead(status, { "content-type": "application/json", "content-length": length, ...headers })
    // a text goes out in one piece with the head; one of ASCII needs no encoding
    response.end(text, length === text.length ? "latin1" : "utf8")
  }

  empty(status: number, headers?: Readonly<Record<string, string>>): void {
    if (this.#response.headersSent) return
    // 204 and 304 have no length
    this.#response.writeHead(status, status === 204 ? headers : { "content-length": 0, ...headers }).end()
  }

  openStream(headers?: Readonly<Record<string, string>>): void {
    if (this.#response.headersSent) return
    this.#response.writeHead(200, { ...streamHead, ...headers })
    // the head alone would wait for the first event
    this.#response.write(comment)
  }

  event(text: string, id?: string): void {
    if (this.isOver) return
    this.#response.write(id === undefined ? `data: ${text}\n\n` : `id: ${id}\ndata: ${text}\n\n`)
  }

  end(): void {
    this.#response.end()
  }

  destroy(): void {
    const { req, writableFinished } = this.#response.destroy()
    // one that waits behind another response has no socket of its own, and destroying it alone would free nothing
    if (!writableFinished) req.socket.destroy()
  }

  get unsent(): number {
    return this.#response.writableLength
  }

  get isOver(): boolean {
    return this.#response.writableEnded || this.#response.destroyed
  }

  get isGone(): boolean {
    return this.#response.destroyed && !this.#response.writableEnded
  }

  onTaken(call: () => void): void {
    this.#onTaken ??= createTaken(this.#response)
    this.#onTaken(call)
  }

  onGone(call: () => void): void {
    this.#response.once("close", () => {
      if (!this.#response.writableEnded) call()
    })
  }
}
