/** A keep-alive connection on which prepared requests are sent, one at a time. */
import { connect, type Socket } from "node:net"
import { AnswerReader } from "./answer-reader.ts"

/** A request that is sent again and again. */
export type Request = {
  /** `http://host:port/path`. */
  readonly url: string
  /** Default: POST with a body, else GET. */
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** The bytes of a request. */
export const encodeRequest = ({ url, method, headers = {}, body }: Request): Buffer => {
  const { host, pathname, search } = new URL(url)
  const verb = method ?? (body === undefined ? "GET" : "POST")
  const own = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) }
  const lines = Object.entries({ host, ...headers, ...own }).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.from(`${verb} ${pathname}${search} HTTP/1.1\r\n${lines.join("")}\r\n${body ?? ""}`)
}

/** What happens on a connection. */
export type ConnectionEvents = {
  /** The answer to the last request is complete. */
  readonly answered: (answer: AnswerReader) => void
  /** A part of an answer arrived that does not complete it. */
  readonly progressed?: (answer: AnswerReader) => void
  /** The connection cannot be used any more. It is not called after {@link Connection.close}. */
  readonly failed: (error: Error) => void
}

/** Where to connect, and the text that each body must have. */
export type ConnectionOptions = { readonly url: string; readonly contains?: string | undefined }

/** All connections read into this memory: each piece is used up before the next one arrives. */
const shared = Buffer.allocUnsafe(256 * 1024)

/**
 * A connection that opens with its first request. It is opened again before a request if the server has closed it after
 * an answer, which only servers without keep-alive do.
 */
export class Connection {
  readonly #url: URL
  readonly #events: ConnectionEvents
  readonly #answer: AnswerReader
  #socket: Socket | undefined
  #isWaiting = false
  #isClosed = false

  constructor({ url, contains }: ConnectionOptions, events: ConnectionEvents) {
    this.#url = new URL(url)
    this.#events = events
    this.#answer = new AnswerReader(contains)
  }

  /** Sends a request. The answer to the one before must be complete. */
  send(request: Buffer): void {
    this.#isWaiting = true
    this.#socket ??= this.#open()
    this.#socket.write(request)
  }

  close(): void {
    this.#isClosed = true
    this.#socket?.destroy()
  }

  #open(): Socket {
    const { hostname: host, port } = this.#url
    const onread = { buffer: shared, callback: (count: number) => this.#take(count) }
    const socket = connect({ host, port: Number(port), noDelay: true, onread })
    socket.on("error", (error) => this.#fail(error))
    socket.on("close", () => this.#onClose(socket))
    return socket
  }

  /** Takes what was read into the shared memory; true, because reading goes on. */
  #take(count: number): boolean {
    try {
      if (!this.#isWaiting) throw new Error("the server sent something that no request asked for")
      if (this.#answer.push(shared.subarray(0, count))) this.#complete()
      else this.#events.progressed?.(this.#answer)
    } catch (error) {
      this.#fail(error as Error)
    }
    return true
  }

  #complete(): void {
    this.#isWaiting = false
    if (!this.#answer.keepsAlive) {
      const ended = this.#socket
      this.#socket = undefined
      ended?.destroy()
    }
    this.#events.answered(this.#answer)
  }

  #onClose(closed: Socket): void {
    if (closed !== this.#socket) return
    this.#socket = undefined
    if (!this.#isWaiting) return
    if (this.#answer.close()) this.#complete()
    else this.#fail(new Error("the server closed the connection before its answer was complete"))
  }

  #fail(error: Error): void {
    if (this.#isClosed) return
    this.close()
    this.#events.failed(error)
  }
}
