import type { Connection } from "./http/connection.ts"
import type { CallSink } from "./peer.ts"

/** The event stream of a reply. */
export type Outlet = {
  /** True while a client is connected. */
  readonly isAttached: boolean
  send(text: string): void
  end(): void
}

/** What a reply needs. */
type ReplyDeps = {
  readonly connection: Connection
  /** How many calls the POST has. */
  readonly calls: number
  /** Opens the event stream of the reply. */
  readonly open: () => Outlet
  /** HTTP status of a lone response. */
  readonly statusOf: (text: string) => number
  /** Called when a lone response was sent without a stream. */
  readonly sent?: () => void
  /** Called once when all calls are over. */
  readonly done: () => void
  /** The stream opens at the latest after this time, milliseconds: clients and proxies then see that the call lives. */
  readonly silenceMs: number
}

/**
 * The answer to one POST with calls: a JSON response if the first message is the only one, else an event stream, which
 * ends with the last response.
 */
export class Reply {
  readonly #deps: ReplyDeps
  readonly #timer: NodeJS.Timeout
  #open: number
  #outlet: Outlet | undefined

  constructor(deps: ReplyDeps) {
    this.#deps = deps
    this.#open = deps.calls
    this.#timer = setTimeout(() => this.stream(), deps.silenceMs)
  }

  /** False if its client is gone and cannot get its messages. */
  get isReachable(): boolean {
    return !this.#deps.connection.isOver || this.#outlet?.isAttached === true
  }

  /** The event stream, opened now if it was not. */
  stream(): Outlet {
    clearTimeout(this.#timer)
    this.#outlet ??= this.#deps.open()
    return this.#outlet
  }

  /** Where the messages of one call go. */
  sink(): CallSink {
    return {
      note: (text) => this.stream().send(text),
      answer: (text) => this.#answer(text),
      over: () => this.#over(),
    }
  }

  #answer(text: string): void {
    const { connection, calls, statusOf } = this.#deps
    if (this.#outlet === undefined && calls === 1) {
      clearTimeout(this.#timer)
      if (!connection.isOver) connection.json(statusOf(text), text)
      this.#deps.sent?.()
      this.#open = 0
      return void this.#deps.done()
    }
    this.stream().send(text)
    this.#over()
  }

  #over(): void {
    if (--this.#open > 0) return
    this.stream().end()
    this.#deps.done()
  }
}
