import { AppError } from "../errors.ts"
import type { BridgeLog } from "./log.ts"
import { Peer, type PeerHandlers } from "./peer.ts"
import { type Child, type ChildOptions, startChild } from "./process/child.ts"

/** Somebody who has a child of its own. */
export type Holder = {
  /** Since when nobody has used it, by `performance.now()`; undefined while it is in use. */
  readonly idleSince: number | undefined
  /** Ends it. Resolves when its child has ended. */
  end(): Promise<void>
}

/** Who has been idle longest of those that have been idle since this time. */
export const longestIdle = <H extends Holder>(holders: Iterable<H>, since: number): H | undefined => {
  let oldest = since
  let longest: H | undefined
  for (const holder of holders) {
    const at = holder.idleSince
    if (at === undefined || at > oldest) continue
    oldest = at
    longest = holder
  }
  return longest
}

/** A child and the peer that speaks to it. */
export type Started = { readonly child: Child; readonly peer: Peer; readonly label: string }

/** What becomes of the messages of a child that is not handed over yet, or for good. */
type Handlers = Omit<PeerHandlers, "junk">

/** What the processes need. */
export type ProcessesOptions = ChildOptions & {
  /** Most children at once. */
  readonly most: number
  /** How long a holder must be idle before another one may take its place, milliseconds. */
  readonly idleMs: number
  readonly log: BridgeLog
}

/** Seconds after which a client that found no place should try again. */
const retrySeconds = 10

/** The error of somebody who finds all places taken. */
export const exhausted = (most: number, places = "processes"): AppError =>
  new AppError("ProcessesExhausted", {
    detail: `All ${most} ${places} of this server are in use.`,
    retryAfterSeconds: retrySeconds,
  })

/** The children of a bridge: at most so many at once. */
export class Processes {
  readonly #options: ProcessesOptions
  /** Children that have not ended, those included whose end was asked for. */
  readonly #alive = new Set<Child>()
  readonly #ending = new Set<Promise<void>>()
  readonly #holders = new Set<Holder>()
  #started = 0
  #spare: { readonly started: Started; readonly handOver: (to: Handlers) => void } | undefined
  #isClosed = false
  #refusal: AppError | undefined
  /** Lines on stdout that were no message. */
  junk = 0

  constructor(options: ProcessesOptions) {
    this.#options = options
  }

  /** How many children have not ended. */
  get alive(): number {
    return this.#alive.size
  }

  /** Starts a child before anybody needs it; the next {@link take} gets it. */
  prepare(): Child {
    let handlers: Handlers = { request: () => {}, notification: () => {} }
    const started = this.#start(() => handlers)
    const handOver = (to: Handlers): void => {
      handlers = to
    }
    this.#spare = { started, handOver }
    return started.child
  }

  /** Writes a line about a child to the log. */
  tell(label: string, text: string): void {
    this.#options.log.line(label, text)
  }

  /** True if this child is not handed to anybody yet. */
  isSpare(child: Child): boolean {
    return this.#spare?.started.child === child
  }

  /** From now on nobody gets a child: {@link take} throws this. */
  refuse(error: AppError): void {
    this.#refusal = error
  }

  /**
   * Hands over the prepared child, or starts one. If there are too many, ends the holder that has been idle longest, or
   * waits for one that ends anyway. Throws ProcessesExhausted, and what {@link refuse} was given.
   */
  async take(handlers: Handlers): Promise<Started> {
    if (this.#refusal !== undefined) throw this.#refusal
    const spare = this.#spare
    this.#spare = undefined
    if (spare !== undefined && this.#alive.has(spare.started.child)) {
      spare.handOver(handlers)
      return spare.started
    }
    while (this.#alive.size >= this.#options.most) await this.#makeRoom()
    if (this.#isClosed) throw exhausted(this.#options.most)
    return this.#start(() => handlers)
  }

  /** Counts a holder, whose child may be ended for another one when it is idle. Returns the function that ends this. */
  hold(holder: Holder): () => void {
    this.#holders.add(holder)
    return () => void this.#holders.delete(holder)
  }

  /** Ends all holders that have been idle since this time. */
  endIdle(since: number): void {
    for (const holder of this.#holders)
      if (holder.idleSince !== undefined && holder.idleSince <= since) void this.#end(holder)
  }

  /** Ends all children; none is started any more. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all([...this.#alive].map((child) => child.end()))
  }

  async #makeRoom(): Promise<void> {
    const { most, idleMs } = this.#options
    if (this.#isClosed) throw exhausted(most)
    if (this.#ending.size === 0) {
      const longest = longestIdle(this.#holders, performance.now() - idleMs)
      if (longest === undefined) throw exhausted(most)
      void this.#end(longest)
    }
    if (this.#ending.size === 0) throw exhausted(most)
    await Promise.race(this.#ending)
  }

  #end(holder: Holder): Promise<void> {
    this.#holders.delete(holder)
    return holder.end()
  }

  #start(handlers: () => Handlers): Started {
    const { log } = this.#options
    const label = `c${++this.#started}`
    const junk = (line: Buffer | undefined): void => {
      this.junk++
      log.line(
        label,
        line === undefined
          ? "(a line of stdout was longer than 16 MiB and was dropped)"
          : `stdout: ${line.toString().slice(0, 500)}`,
      )
    }
    const { write, end } = log.stream(label)
    const peer: Peer = new Peer(
      startChild(this.#options, {
        line: (line) => peer.take(line),
        tooLong: () => peer.take(undefined),
        stderr: write,
      }),
      {
        request: (message) => handlers().request(message),
        notification: (message) => handlers().notification(message),
        junk,
      },
    )
    this.#watch(peer.child, label, end)
    return { child: peer.child, peer, label }
  }

  /** Follows a child until it has ended; then calls `flush`. */
  #watch(child: Child, label: string, flush: () => void): void {
    const { log } = this.#options
    this.#alive.add(child)
    log.note(`${label}: started${child.pid === undefined ? "" : `, process ${child.pid}`}`)
    const over = child.ended.then(({ code, signal, refused }) => {
      this.#alive.delete(child)
      this.#ending.delete(over)
      flush()
      const how = signal === null ? `with exit code ${code}` : `by ${signal}`
      log.note(`${label}: ${refused === undefined ? `ended ${how}` : `could not be started (${refused})`}`)
    })
    // somebody may ask for the end of a child that has ended: then nobody must wait for it
    child.onEnding(() => {
      if (this.#alive.has(child)) this.#ending.add(over)
    })
  }
}
