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

/** An open connection. */
export type Connection = { send(request: Buffer): void; close(): void }

/** All connections read into this memory: each piece is used up before the next one arrives. */
const shared = Buffer.allocUnsafe(256 * 1024)

/**
 * Opens a connection. It is opened again before a request if the server has closed it after an answer, which only
 * servers without keep-alive do.
 */
export const openConnection = (options: ConnectionOptions, events: ConnectionEvents): Connection => {
  const { hostname, port } = new URL(options.url)
  const answer = new AnswerReader(options.contains)
  let socket: Socket | undefined
  let isWaiting = false
  let isClosed = false

  const fail = (error: Error): void => {
    if (isClosed) return
    isClosed = true
    socket?.destroy()
    events.failed(error)
  }
  const complete = (): void => {
    isWaiting = false
    if (!answer.keepsAlive) {
      const ended = socket
      socket = undefined
      ended?.destroy()
    }
    events.answered(answer)
  }
  const take = (count: number): boolean => {
    try {
      if (!isWaiting) throw new Error("the server sent something that no request asked for")
      if (answer.push(shared.subarray(0, count))) complete()
      else events.progressed?.(answer)
    } catch (error) {
      fail(error as Error)
    }
    return true
  }
  const onClose = (closed: Socket): void => {
    if (closed !== socket) return
    socket = undefined
    if (!isWaiting) return
    if (answer.close()) complete()
    else fail(new Error("the server closed the connection before its answer was complete"))
  }
  const open = (): Socket => {
    const onread = { buffer: shared, callback: take }
    const opened = connect({ host: hostname, port: Number(port), noDelay: true, onread })
    opened.on("error", fail)
    opened.on("close", () => onClose(opened))
    return opened
  }
  return {
    send: (request) => {
      isWaiting = true
      socket ??= open()
      socket.write(request)
    },
    close: () => {
      isClosed = true
      socket?.destroy()
    },
  }
}
