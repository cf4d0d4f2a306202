import { isAscii } from "node:buffer"
import { type AppError, isAppError, toAppError } from "../../errors.ts"
import { comment, endsBetweenEvents, hasEventId, tailAfter } from "../../mcp/sse.ts"
import type { BodyFilter } from "../../mcp/tool-filter.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { Signal } from "../../waiting/in-progress.ts"
import type { Ending } from "../pipeline.ts"
import type { BodySink, UpstreamAnswer } from "../wire/upstream-answer.ts"
import { lengthOf } from "./body-plan.ts"
import type { FinalEvent } from "./final-event.ts"

/** Where an answer goes: status and head once, then the body in pieces. Node's ServerResponse is one. */
export type AnswerSink = {
  /** False: the connection ends with the answer. */
  shouldKeepAlive: boolean
  /** True while the client reads more slowly than we write. */
  readonly writableNeedDrain: boolean
  /** `head` is a flat list of names and values. */
  writeHead(status: number, head: string[]): unknown
  /** Sends the head before there is a body. */
  flushHeaders(): void
  /** False: wait for `drain` before the next piece. */
  write(piece: Buffer | string): boolean
  once(event: "drain", listener: () => void): unknown
  end(piece?: Buffer | string): unknown
  end(piece: string, encoding: "latin1"): unknown
  /** Cuts the connection, so that the client does not take a part of the body for the whole. */
  destroy(): unknown
}

/** How a body is passed on. */
type PumpOptions = {
  readonly clock: ClockPort
  /** Writes status and headers; called once, before anything else goes out. */
  readonly writeHead: () => void
  /** Aborted when the client is gone, or with an AppError as its reason when the gateway ends the stream. */
  readonly signal: Signal
  /**
   * True for event streams: they get a comment after `silenceMs` without bytes, so that no proxy closes an idle
   * connection.
   */
  readonly events: boolean
  readonly silenceMs: number
  /**
   * True: the head waits for the first piece, so that an answer which cannot be read is still refused with an error
   * status.
   */
  readonly holdHead: boolean
  readonly filter: BodyFilter | undefined
  /** Called for each piece that goes to the client. */
  readonly onBytes: (() => void) | undefined
  /** Makes the last event of an event stream that ends too early; undefined for other bodies. */
  readonly finalEvent?: FinalEvent | undefined
  /** Makes the error of an answer that its server broke off before anything of it was written. */
  readonly brokenOff: () => AppError
  /** Called with the error of a filter that fails after the head was written. */
  readonly onUnreadable: (error: unknown) => void
}

/** Follows an event stream, and writes a comment whenever it has been silent for too long, between two events. */
const keepAlive = (sink: AnswerSink, options: PumpOptions) => {
  const { clock, silenceMs } = options
  let tail = ""
  let resumable = false
  let writtenAt = clock.now()
  const check = (): void => {
    const silent = clock.now() - writtenAt
    if (silent >= silenceMs && endsBetweenEvents(tail) && !sink.writableNeedDrain) {
      sink.write(comment)
      writtenAt = clock.now()
    }
    cancel = clock.timer(silent < silenceMs ? silenceMs - silent : silenceMs, check)
  }
  let cancel = clock.timer(silenceMs, check)
  return {
    wrote: (chunk: Buffer): void => {
      writtenAt = clock.now()
      resumable ||= hasEventId(tail, chunk)
      tail = tailAfter(tail, chunk)
    },
    stop: () => cancel(),
    isBetween: (): boolean => endsBetweenEvents(tail),
    isResumable: (): boolean => resumable,
  }
}

/** Ends an incomplete event and gives it a type that clients ignore, so that no client reads half a message. */
const cutEvent = "\nevent: cut\n\n"

/** Why the gateway ends the stream; undefined if the client disconnected instead. */
const stopReason = ({ reason }: Signal): AppError | undefined => (isAppError(reason) ? reason : undefined)

type Alive = ReturnType<typeof keepAlive>

/** Longest piece that is written as a string, bytes: a copy of it takes less than what it saves. */
const shortBytes = 4_096

/** One answer on its way to the client. A class: as closures, its parts took 1 µs of every call to make. */
class Passage implements BodySink {
  readonly #answer: UpstreamAnswer
  readonly #sink: AnswerSink
  readonly #options: PumpOptions
  readonly #alive: Alive | undefined
  readonly #resolve: (ending: Ending) => void
  readonly #reject: (error: AppError) => void
  #isDone = false
  #isWaiting = false
  #isStarted = false
  /** Bytes of the server's body that have not come yet, by its Content-Length; infinite without one, and for events. */
  #left: number
  /**
   * The last piece of a body, held until the end, which comes in the same turn: head, piece and end in one write take
   * less than in two.
   */
  #last: Buffer | undefined

  constructor(
    { answer, sink, options }: { answer: UpstreamAnswer; sink: AnswerSink; options: PumpOptions },
    resolve: (ending: Ending) => void,
    reject: (error: AppError) => void,
  ) {
    this.#answer = answer
    this.#sink = sink
    this.#options = options
    this.#alive = options.events ? keepAlive(sink, options) : undefined
    this.#resolve = resolve
    this.#reject = reject
    this.#left = (options.events ? undefined : lengthOf(answer)) ?? Number.POSITIVE_INFINITY
  }

  begin(): void {
    this.#answer.consume(this)
    // no piece came with the head: send the head without waiting for the first one
    if (this.#isStarted || this.#isDone || this.#options.holdHead) return
    this.#start()
    this.#sink.flushHeaders()
  }

  data(chunk: Buffer): boolean {
    if (this.#isDone) return true
    const { filter } = this.#options
    this.#left -= chunk.length
    try {
      return this.#write(filter === undefined ? chunk : filter.push(chunk))
    } catch (error) {
      this.#failWith(error)
      return true
    }
  }

  end(): void {
    if (this.#isDone) return
    const { filter, finalEvent } = this.#options
    try {
      if (filter !== undefined) this.#write(filter.end())
    } catch (error) {
      return void this.#failWith(error)
    }
    this.#start()
    // a server that stops ends its streams regularly; without event ids the client could not resume this one
    const isOver = this.#isResumable() || this.#answer.status >= 300
    const lastEvent = isOver ? undefined : finalEvent?.serverEnded()
    if (!this.#finish(lastEvent === undefined ? "complete" : "server gone")) return
    if (lastEvent === undefined) this.#endBody()
    else this.#endWith(lastEvent)
  }

  fail(): void {
    const { signal, events, brokenOff } = this.#options
    const reason = stopReason(signal)
    if (!this.#isStarted && !events && (!signal.aborted || reason !== undefined))
      return void this.#failWith(reason ?? brokenOff())
    if (!signal.aborted) return void this.#breakOff()
    if (reason !== undefined && events) return void this.#stop(reason)
    if (this.#finish(reason === undefined ? "client gone" : "stopped")) this.#sink.destroy()
  }

  /** False if it was finished before. The caller ends what the client sees. */
  #finish(ending: Ending): boolean {
    if (this.#isDone) return false
    this.#isDone = true
    this.#alive?.stop()
    this.#resolve(ending)
    return true
  }

  /** Ends an event stream with a last event. An incomplete event before it is ended first, as one that clients ignore. */
  #endWith(lastEvent: string): void {
    this.#sink.end(this.#alive?.isBetween() === true ? lastEvent : `${cutEvent}${lastEvent}`)
  }

  #isResumable(): boolean {
    return this.#alive?.isResumable() === true
  }

  #isAnswered(): boolean {
    return this.#options.finalEvent?.isAnswered() === true
  }

  async #breakOff(): Promise<void> {
    const { finalEvent, signal } = this.#options
    // the client has the answer, and only the end of its stream is missing
    if (this.#isAnswered()) return this.#endAs("complete", "")
    const lastEvent = await finalEvent?.serverGone(this.#isResumable()).catch(() => undefined)
    const reason = stopReason(signal)
    if (reason !== undefined) return void this.#stop(reason)
    if (!this.#finish("server gone")) return
    if (lastEvent === undefined || signal.aborted) this.#sink.destroy()
    else this.#endWith(lastEvent)
  }

  #endAs(ending: Ending, lastEvent: string): void {
    if (!this.#finish(ending)) return
    if (lastEvent === "") this.#sink.end()
    else this.#endWith(lastEvent)
  }

  #stop(reason: AppError): void {
    this.#start()
    const { finalEvent } = this.#options
    this.#endAs("stopped", (this.#isAnswered() ? undefined : finalEvent?.stopped(reason, this.#isResumable())) ?? "")
  }

  #start(): void {
    if (!this.#isStarted) this.#options.writeHead()
    this.#isStarted = true
  }

  #failWith(cause: unknown): void {
    const { onUnreadable, finalEvent } = this.#options
    const error = toAppError(cause)
    if (!this.#isStarted) this.#reject(error)
    else onUnreadable(error)
    // after the answer nothing is missing: the unreadable rest is left out
    const lastEvent = this.#isAnswered() ? "" : finalEvent?.unreadable(error)
    if (this.#finish("unreadable") && this.#isStarted) {
      if (lastEvent === undefined) this.#sink.destroy()
      else this.#endWith(lastEvent)
    }
    this.#answer.abort()
  }

  #write(chunk: Buffer): boolean {
    if (chunk.length === 0) return true
    const { onBytes, finalEvent } = this.#options
    onBytes?.()
    this.#alive?.wrote(chunk)
    finalEvent?.sent(chunk)
    this.#start()
    const piece = this.#left === 0 ? this.#hold(chunk) : chunk
    if (piece === undefined || this.#sink.write(piece)) return true
    if (!this.#isWaiting) this.#sink.once("drain", () => this.#resume())
    this.#isWaiting = true
    return false
  }

  /** Node writes head and body as one string, if the body is one: that takes 1 µs less than a list of two buffers. */
  #endBody(): void {
    const last = this.#last
    if (last === undefined || last.length > shortBytes || !isAscii(last)) this.#sink.end(last)
    else this.#sink.end(last.toString("latin1"), "latin1")
  }

  /** Holds a last piece; returns the one before it. */
  #hold(chunk: Buffer): Buffer | undefined {
    const before = this.#last
    this.#last = chunk
    return before
  }

  #resume(): void {
    this.#isWaiting = false
    if (!this.#isDone) this.#answer.resume()
  }
}

/**
 * Streams a server's answer to the client: the head at once (see `holdHead`), each piece as it arrives, and no faster
 * than the client reads. If the server breaks off, the stream gets a last event or the connection is cut, so that the
 * client does not take a part for the whole. Resolves when nothing more will be written. Rejects only before anything
 * was written: with the filter's error, or with the reason why the server or the gateway broke off.
 */
export const pump = (answer: UpstreamAnswer, sink: AnswerSink, options: PumpOptions): Promise<Ending> =>
  new Promise((resolve, reject) => new Passage({ answer, sink, options }, resolve, reject).begin())
