import { type AppError, isAppError, toAppError } from "../../errors.ts"
import { comment, endsBetweenEvents, hasEventId, tailAfter } from "../../mcp/sse.ts"
import type { BodyFilter } from "../../mcp/tool-filter.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { Ending } from "../pipeline.ts"
import type { UpstreamAnswer } from "../wire/upstream-answer.ts"
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
  /** Cuts the connection, so that the client does not take a part of the body for the whole. */
  destroy(): unknown
}

/** How a body is passed on. */
type PumpOptions = {
  readonly clock: ClockPort
  /** Writes status and headers; called once, before anything else goes out. */
  readonly writeHead: () => void
  /** Aborted when the client is gone, or with an AppError as its reason when the gateway ends the stream. */
  readonly signal: AbortSignal
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
const stopReason = ({ reason }: AbortSignal): AppError | undefined => (isAppError(reason) ? reason : undefined)

/**
 * Streams a server's answer to the client: the head at once (see `holdHead`), each piece as it arrives, and no faster
 * than the client reads. If the server breaks off, the stream gets a last event or the connection is cut, so that the
 * client does not take a part for the whole. Resolves when nothing more will be written. Rejects only before anything
 * was written: with the filter's error, or with the reason why the server or the gateway broke off.
 */
export const pump = (answer: UpstreamAnswer, sink: AnswerSink, options: PumpOptions): Promise<Ending> =>
  new Promise((resolve, reject) => {
    const { filter, signal, onBytes } = options
    const alive = options.events ? keepAlive(sink, options) : undefined
    let done = false
    let waiting = false
    let started = false

    const finish = (ending: Ending, end: () => void): void => {
      if (done) return
      done = true
      alive?.stop()
      end()
      resolve(ending)
    }
    const isBetween = () => alive?.isBetween() === true
    const cut = () => void sink.destroy()
    /**
     * Ends an event stream with a last event. An incomplete event before it is ended first, as one that clients ignore.
     */
    const endWith = (lastEvent: string): void => void sink.end(isBetween() ? lastEvent : `${cutEvent}${lastEvent}`)
    const isResumable = () => alive?.isResumable() === true
    const { finalEvent } = options
    const isAnswered = () => finalEvent?.isAnswered() === true
    const breakOff = async (): Promise<void> => {
      // the client has the answer, and only the end of its stream is missing
      if (isAnswered()) return finish("complete", () => void sink.end())
      const lastEvent = await finalEvent?.serverGone(isResumable()).catch(() => undefined)
      const reason = stopReason(signal)
      if (reason !== undefined) return stop(reason)
      finish("server gone", lastEvent === undefined || signal.aborted ? cut : () => endWith(lastEvent))
    }
    const stop = (reason: AppError): void => {
      start()
      const lastEvent = isAnswered() ? undefined : finalEvent?.stopped(reason, isResumable())
      finish("stopped", () => (lastEvent === undefined ? void sink.end() : endWith(lastEvent)))
    }
    const start = (): void => {
      if (!started) options.writeHead()
      started = true
    }
    const failWith = (cause: unknown): void => {
      const error = toAppError(cause)
      if (!started) reject(error)
      else options.onUnreadable(error)
      // after the answer nothing is missing: the unreadable rest is left out
      const lastEvent = isAnswered() ? "" : finalEvent?.unreadable(error)
      const end = lastEvent === undefined ? cut : () => endWith(lastEvent)
      finish("unreadable", started ? end : () => {})
      answer.abort()
    }
    const write = (chunk: Buffer): boolean => {
      if (chunk.length === 0) return true
      onBytes?.()
      alive?.wrote(chunk)
      finalEvent?.sent(chunk)
      start()
      if (sink.write(chunk)) return true
      if (!waiting) sink.once("drain", resume)
      waiting = true
      return false
    }
    const resume = (): void => {
      waiting = false
      if (!done) answer.resume()
    }
    answer.consume({
      data: (chunk) => {
        if (done) return true
        try {
          return write(filter === undefined ? chunk : filter.push(chunk))
        } catch (error) {
          failWith(error)
          return true
        }
      },
      end: () => {
        if (done) return
        try {
          if (filter !== undefined) write(filter.end())
        } catch (error) {
          return failWith(error)
        }
        start()
        // a server that stops ends its streams regularly; without event ids the client could not resume this one
        const lastEvent = isResumable() || answer.status >= 300 ? undefined : finalEvent?.serverEnded()
        if (lastEvent === undefined) finish("complete", () => void sink.end())
        else finish("server gone", () => endWith(lastEvent))
      },
      fail: () => {
        const reason = stopReason(signal)
        if (!started && !options.events && (!signal.aborted || reason !== undefined))
          return failWith(reason ?? options.brokenOff())
        if (!signal.aborted) return void breakOff()
        if (reason !== undefined && options.events) return stop(reason)
        finish(reason === undefined ? "client gone" : "stopped", cut)
      },
    })
    // no piece came with the head: send the head without waiting for the first one
    if (!started && !done && !options.holdHead) {
      start()
      sink.flushHeaders()
    }
  })
