import type { ServerResponse } from "node:http"
import { type AppError, isAppError, toAppError } from "../errors.ts"
import { comment, endsBetweenEvents, hasEventId, tailAfter } from "../mcp/sse.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { LastWords } from "./last-words.ts"
import type { BodyFilter } from "./tool-filter.ts"
import type { UpstreamAnswer } from "./upstream-answer.ts"

/** How a body's way to the client ended. */
export type Ending = "complete" | "client gone" | "server gone" | "unreadable" | "stopped"

/** How a body is handed on. */
export type PumpOptions = {
  readonly clock: ClockPort
  /** Writes status and headers; called once, before anything else goes out. */
  readonly writeHead: () => void
  /** Aborted when the client is gone, or with an AppError as its reason when the gateway ends the stream. */
  readonly signal: AbortSignal
  /** True for event streams: they get a comment after `silenceMs` without bytes, so that nothing on the way ends them. */
  readonly events: boolean
  readonly silenceMs: number
  /** True: the head waits for the first piece, so that an answer which cannot be read is refused with a status of ours. */
  readonly holdHead: boolean
  readonly filter: BodyFilter | undefined
  /** Called for each piece that goes to the client. */
  readonly onBytes: (() => void) | undefined
  /** What an event stream still says when it ends too early; undefined for every other body. */
  readonly lastWords?: LastWords | undefined
  /** The error of an answer that its server broke off before anything of it went out. */
  readonly brokenOff: () => AppError
  /** Hears why a filter gave up. */
  readonly onUnreadable: (error: unknown) => void
}

/** Follows an event stream, and writes a comment whenever it has been silent for too long, between two events. */
const keepAlive = (response: ServerResponse, options: PumpOptions) => {
  const { clock, silenceMs } = options
  let tail = ""
  let resumable = false
  let writtenAt = clock.now()
  const look = (): void => {
    const silent = clock.now() - writtenAt
    if (silent >= silenceMs && endsBetweenEvents(tail) && !response.writableNeedDrain) {
      response.write(comment)
      writtenAt = clock.now()
    }
    cancel = clock.timer(silent < silenceMs ? silenceMs - silent : silenceMs, look)
  }
  let cancel = clock.timer(silenceMs, look)
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

/** Ends an event in whichever place it is, as one of a type that is no message's, so that half a message is not read. */
const cutEvent = "\nevent: cut\n\n"

/** Why the gateway ends the stream; undefined if it does not, but the client is gone. */
const stopReason = ({ reason }: AbortSignal): AppError | undefined => (isAppError(reason) ? reason : undefined)

/**
 * Hands a server's answer to the client: the head at once, every piece as it comes, waiting for a client that reads
 * slowly. When the server goes away in the middle the client's connection is cut, so that it cannot take the part for
 * the whole. Resolves when nothing more will be written; rejects while nothing has been: with a filter's error, or with why
 * the server or the gateway broke off.
 */
export const pump = (answer: UpstreamAnswer, response: ServerResponse, options: PumpOptions): Promise<Ending> =>
  new Promise((resolve, reject) => {
    const { filter, signal, onBytes } = options
    const alive = options.events ? keepAlive(response, options) : undefined
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
    const cut = () => void response.destroy()
    /** Ends an event stream with last words, in a place of their own: an event that was cut becomes one that nobody reads. */
    const endWith = (words: string): void => void response.end(isBetween() ? words : `${cutEvent}${words}`)
    const isResumable = () => alive?.isResumable() === true
    const { lastWords } = options
    const isAnswered = () => lastWords?.isAnswered() === true
    const lose = async (): Promise<void> => {
      // the answer is there, and only the end of its stream is missing
      if (isAnswered()) return finish("complete", () => void response.end())
      const words = await lastWords?.serverGone(isResumable()).catch(() => undefined)
      const reason = stopReason(signal)
      if (reason !== undefined) return stop(reason)
      finish("server gone", words === undefined || signal.aborted ? cut : () => endWith(words))
    }
    const stop = (reason: AppError): void => {
      start()
      const words = isAnswered() ? undefined : lastWords?.stopped(reason, isResumable())
      finish("stopped", () => (words === undefined ? void response.end() : endWith(words)))
    }
    const start = (): void => {
      if (!started) options.writeHead()
      started = true
    }
    const giveUp = (cause: unknown): void => {
      const error = toAppError(cause)
      if (!started) reject(error)
      else options.onUnreadable(error)
      // after the answer nothing is missing: what cannot be read is left out
      const words = isAnswered() ? "" : lastWords?.unreadable(error)
      const end = words === undefined ? cut : () => endWith(words)
      finish("unreadable", started ? end : () => {})
      answer.abort()
    }
    const write = (chunk: Buffer): boolean => {
      if (chunk.length === 0) return true
      onBytes?.()
      alive?.wrote(chunk)
      lastWords?.sent(chunk)
      start()
      if (response.write(chunk)) return true
      if (!waiting) response.once("drain", resume)
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
          giveUp(error)
          return true
        }
      },
      end: () => {
        if (done) return
        try {
          if (filter !== undefined) write(filter.end())
        } catch (error) {
          return giveUp(error)
        }
        start()
        // a server that stops ends its streams in order: without ids of events nobody could take this one up again
        const words = isResumable() || answer.status >= 300 ? undefined : lastWords?.serverEnded()
        if (words === undefined) finish("complete", () => void response.end())
        else finish("server gone", () => endWith(words))
      },
      fail: () => {
        const reason = stopReason(signal)
        if (!started && !options.events && (!signal.aborted || reason !== undefined))
          return giveUp(reason ?? options.brokenOff())
        if (!signal.aborted) return void lose()
        if (reason !== undefined && options.events) return stop(reason)
        finish(reason === undefined ? "client gone" : "stopped", cut)
      },
    })
    // no piece came with the head: it must not wait for the first one
    if (!started && !done && !options.holdHead) {
      start()
      response.flushHeaders()
    }
  })
