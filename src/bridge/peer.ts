import { isAscii } from "node:buffer"
import { randomBytes } from "node:crypto"
import { AppError } from "../errors.ts"
import { findJsonFault } from "../intake/json-text.ts"
import { type Envelope, onOneLine, readEnvelope, type Span, sourceOf, stringOf, withValues } from "./envelope.ts"
import { InOrder } from "./in-order.ts"
import type { Child } from "./process/child.ts"

/** A message of the server with its places. Its text is one line of valid JSON. */
export type ServerMessage = { readonly text: string; readonly envelope: Envelope; readonly method: string | undefined }

/** Where the messages of one call go. */
export type CallSink = {
  /** Gets a notification that belongs to the call. */
  readonly note: (text: string) => void
  /** Gets the response; nothing follows it. */
  readonly answer: (text: string) => void
  /** Called instead of `answer` if the server ends the call without a response. */
  readonly over: () => void
}

/** A call that the server has not answered yet. */
export type Call = {
  readonly number: number
  /** The bridge's own id and progress token. */
  readonly ownId: string
  /** JSON source of the client's id. */
  readonly idText: string
  /** JSON source of the client's progress token. */
  readonly tokenText: string | undefined
  /** True if the client asked for log messages (MCP 2026-07-28). */
  readonly wantsLog: boolean
  readonly sink: CallSink
}

/** What a peer does with what is not part of a call. */
export type PeerHandlers = {
  /** Gets a request of the server. */
  readonly request: (message: ServerMessage) => void
  /** Gets a notification that names no call. */
  readonly notification: (message: ServerMessage) => void
  /** Gets a line of stdout that is no message, or undefined for one that was too long. */
  readonly junk: (line: Buffer | undefined) => void
}

/** Most calls that one child may have open. */
export const mostCalls = 1_000
/** Texts of at most this many characters are checked by JSON.parse, which is faster but builds the values. */
const parsedLength = 65_536

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const isJson = (text: string): boolean => {
  if (text.length > parsedLength)
    return findJsonFault(text, { maxDepth: 10_000, maxMembers: Number.POSITIVE_INFINITY }) === undefined
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** The message in a line of the server; undefined if the line is none. */
const readLine = (line: Buffer): ServerMessage | undefined => {
  try {
    const raw = isAscii(line) ? line.toString("latin1") : decoder.decode(line)
    if (!raw.trimStart().startsWith("{") || !isJson(raw)) return undefined
    const text = onOneLine(raw)
    const envelope = readEnvelope(text, false)
    const isOfMcp = stringOf(text, envelope.jsonrpc) === "2.0"
    return isOfMcp ? { text, envelope, method: stringOf(text, envelope.method) } : undefined
  } catch {
    return undefined
  }
}

/** A copy: a slice of a long body would keep all of it in memory as long as the call is open. */
const ownText = (text: string): string => Buffer.from(text).toString()

/** Random characters for the next ids. Many are drawn at once, so that those of one call take 0.03 µs. */
let pool = ""

const randomPart = (): string => {
  if (pool === "") pool = randomBytes(6_000).toString("base64url")
  const part = pool.slice(0, 8)
  pool = pool.slice(8)
  return part
}

/**
 * Sends messages to one child and sorts what comes back. Each call gets an id of the bridge's own, also as its progress
 * token, so that equal ids of two clients never meet. They cannot be guessed, not even by whoever has seen others of them: a server
 * that prints the text of one client must not answer the call of another one by that.
 */
export class Peer {
  readonly child: Child
  readonly #handlers: PeerHandlers
  readonly #calls = new InOrder<Call>()
  readonly #prefix = `n:${randomPart()}:`
  #number = 0
  #isOver = false
  #lastUse = performance.now()

  constructor(child: Child, handlers: PeerHandlers) {
    this.child = child
    this.#handlers = handlers
    void child.ended.then(() => {
      this.#isOver = true
    })
  }

  /** The calls without an answer, the oldest first. */
  get calls(): readonly Call[] {
    return this.#calls.all()
  }

  /** How many calls have no answer. */
  get open(): number {
    return this.#calls.size
  }

  /** True once the child has ended. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** Since when it has no calls, by `performance.now()`; undefined while it has some. */
  get idleSince(): number | undefined {
    return this.#calls.size === 0 ? this.#lastUse : undefined
  }

  /** Sends a message of the client as it is. */
  send(text: string): void {
    this.child.write(onOneLine(text))
  }

  /** Throws TooManyCalls if this many more calls would be too many, and ServerProcessEnded if none can be answered. */
  ensureRoom(more: number): void {
    if (this.#isOver) throw new AppError("ServerProcessEnded", { detail: "The server's process has ended." })
    if (this.#calls.size + more <= mostCalls) return
    throw new AppError("TooManyCalls", {
      detail: `The server has ${this.#calls.size} calls that it did not answer yet.`,
      retryAfterSeconds: 1,
    })
  }

  /** Sends a request, whose envelope has an id. */
  call(text: string, envelope: Envelope, sink: CallSink): Call {
    const { id, askedToken } = envelope
    if (id === undefined) throw new AppError("InvalidRequest", { detail: "A request has no id." })
    const number = ++this.#number
    const ownId = `${this.#prefix}${number}:${randomPart()}`
    const own = `"${ownId}"`
    const call: Call = {
      number,
      ownId,
      idText: ownText(sourceOf(text, id)),
      tokenText: askedToken === undefined ? undefined : ownText(sourceOf(text, askedToken)),
      wantsLog: envelope.logLevel !== undefined,
      sink,
    }
    this.#calls.add(call)
    const changes: [Span, string][] =
      askedToken === undefined
        ? [[id, own]]
        : [
            [id, own],
            [askedToken, own],
          ]
    this.send(withValues(text, changes))
    return call
  }

  /** Forgets a call: a late answer is dropped. False if it was over. */
  forget(call: Call): boolean {
    this.#lastUse = performance.now()
    return this.#calls.remove(call)
  }

  /** Tells the server that nobody waits for a call any more, and forgets it. */
  cancel(call: Call, reason: string): void {
    if (!this.forget(call)) return
    const params = { requestId: call.ownId, reason }
    this.send(JSON.stringify({ jsonrpc: "2.0", method: "notifications/cancelled", params }))
  }

  /** Forgets all calls, and returns them. */
  takeAll(): readonly Call[] {
    return this.#calls.takeAll()
  }

  /** Takes a line of the child's stdout; undefined for one that was too long. */
  take(line: Buffer | undefined): void {
    const message = line === undefined ? undefined : readLine(line)
    if (message === undefined) return void this.#handlers.junk(line)
    const { envelope, method } = message
    if (method !== undefined && envelope.id === undefined) this.#notice(message)
    else if (method !== undefined) this.#handlers.request(message)
    else if (envelope.result === undefined && envelope.error === undefined) this.#handlers.junk(line)
    else this.#answer(message)
  }

  #answer({ text, envelope }: ServerMessage): void {
    const call = this.#of(text, envelope.id)
    // of a call that was cancelled, or an error without an id
    if (call === undefined || envelope.id === undefined) return
    const { id, subscriptionId } = envelope
    const changes: [Span, string][] = [[id, call.idText]]
    if (subscriptionId !== undefined && this.#of(text, subscriptionId) === call)
      changes.push([subscriptionId, call.idText])
    this.forget(call)
    call.sink.answer(withValues(text, changes))
  }

  /** True for an id or a token like ours, `"n:wK3_x-9a:17:Zm9-b4R_"`, of a call that may be over. */
  #isOurs(text: string, span: Span | undefined): span is Span {
    return span !== undefined && text.startsWith(this.#prefix, span[0] + 1)
  }

  #of(text: string, span: Span | undefined): Call | undefined {
    if (!this.#isOurs(text, span)) return undefined
    const number = Number.parseInt(text.slice(span[0] + 1 + this.#prefix.length, span[1]), 10)
    const found = this.#calls.find((call) => call.number === number)
    return found !== undefined && sourceOf(text, span) === `"${found.ownId}"` ? found : undefined
  }

  /** A notification: to the call that it names, else to the handler. One that names a call which is over is dropped. */
  #notice(message: ServerMessage): void {
    const { text, envelope, method } = message
    const { reportedToken, subscriptionId, requestId } = envelope
    if (method === "notifications/progress") {
      const call = this.#of(text, reportedToken)
      if (call?.tokenText !== undefined && reportedToken !== undefined)
        call.sink.note(withValues(text, [[reportedToken, call.tokenText]]))
    } else if (subscriptionId !== undefined) {
      const call = this.#of(text, subscriptionId)
      call?.sink.note(withValues(text, [[subscriptionId, call.idText]]))
    } else if (method === "notifications/cancelled" && this.#isOurs(text, requestId)) {
      const call = this.#of(text, requestId)
      if (call !== undefined && this.forget(call)) call.sink.over()
    } else this.#handlers.notification(message)
  }
}
