import type { IncomingHttpHeaders } from "node:http"
import type { Dispatcher, Pool } from "undici"
import type { Placement } from "../../placement/port.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { Signal } from "../../waiting/in-progress.ts"
import type { Verb } from "../incoming.ts"
import { type ConnectRemote, createOpening, createPools, type Lease } from "./pools.ts"
import {
  type BodySink,
  checkNoRedirect,
  createDetours,
  detourOf,
  dropBody,
  singleHeaders,
  toFailure,
  tooSlow,
  type UpstreamAnswer,
} from "./upstream-answer.ts"

/** A request to a server. */
type UpstreamRequest = {
  readonly placement: Placement
  readonly verb: Verb
  /** Flat list of names and values. */
  readonly headers: string[]
  readonly body: Buffer | undefined
  /** How long the server may take until the head of its answer, milliseconds. */
  readonly headersTimeoutMs: number
  /** `stream` for answers that stay open without a call (GET, subscriptions/listen). */
  readonly lane: "call" | "stream"
  /** Aborted when the client is gone: ends the exchange at once, waiting or streaming. */
  readonly signal: Signal
}

/** Sends requests to servers over pooled connections. */
export type Upstream = {
  /**
   * Sends a request; resolves with the head of the answer. Throws UpstreamUnreachable, UpstreamTimeout and
   * UpstreamInvalid with `data.phase`: `connect` = nothing was sent, `head` = the server may have seen the request.
   * Rejects with the signal's reason once the client is gone. A redirect (307, 308) to another path of the same server
   * is followed once, and remembered for this incarnation if the paths differ only in slashes at the end; any other
   * redirect is UpstreamInvalid.
   */
  send(request: UpstreamRequest): Promise<UpstreamAnswer>
  /** Ends all connections. */
  close(): Promise<void>
}

/** Most bytes of a body that are held before it is consumed; then reading pauses. */
const maxEarlyBytes = 64 * 2 ** 10

const aborted = (): DOMException => new DOMException("The exchange was ended.", "AbortError")

/** What becomes of an answer when its head is there; may throw. */
type Judge = (answer: UpstreamAnswer) => UpstreamAnswer | Promise<UpstreamAnswer>

const asItIs: Judge = (answer) => answer

/** What an exchange uses until it ends. */
type Means = {
  readonly lease: Lease<Pool>
  readonly signal: Signal
  readonly judge: Judge
  /** Called with the bytes of each piece of a body. */
  readonly read: (bytes: number) => void
}

/** One exchange with a server: undici's handler on one side, the answer on the other; released exactly once. */
class Exchange implements Dispatcher.DispatchHandler, UpstreamAnswer {
  status = 0
  headers: IncomingHttpHeaders = {}
  readonly #means: Means
  readonly #resolve: (answer: UpstreamAnswer | Promise<UpstreamAnswer>) => void
  readonly #reject: (error: unknown) => void
  /** Cancels the limit of the wait for the head. */
  #cancel = () => {}
  readonly #onAbort = () => this.abort()
  #controller: Dispatcher.DispatchController | undefined
  #sink: BodySink | undefined
  #early: Buffer[] = []
  #earlyBytes = 0
  #state: "open" | "ended" | "failed" = "open"
  #aborted = false
  #error: unknown

  constructor(
    means: Means,
    resolve: (answer: UpstreamAnswer | Promise<UpstreamAnswer>) => void,
    reject: (error: unknown) => void,
  ) {
    this.#means = means
    this.#resolve = resolve
    this.#reject = reject
    means.signal.addEventListener("abort", this.#onAbort)
  }

  /**
   * Ends the exchange unless the head of the answer arrives in time: undici's own timeout restarts with each 1xx of a
   * server.
   */
  limit(clock: ClockPort, ms: number): void {
    this.#cancel = clock.timer(ms, () => {
      if (this.status === 0) this.#fail(tooSlow())
    })
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#aborted) controller.abort(aborted())
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    // after an abort nobody waits for it, and a redirect must not be followed
    if (status < 200 || this.#aborted) return
    try {
      this.headers = singleHeaders(headers)
      this.status = status
      this.#cancel()
      this.#resolve(this.#means.judge(this))
    } catch (error) {
      this.#fail(error)
    }
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#means.read(chunk.length)
    if (this.#sink !== undefined) {
      if (!this.#sink.data(chunk)) controller.pause()
      return
    }
    this.#early.push(chunk)
    this.#earlyBytes += chunk.length
    if (this.#earlyBytes > maxEarlyBytes) controller.pause()
  }

  onResponseEnd(): void {
    if (this.#settle("ended")) this.#sink?.end()
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    if (!this.#settle("failed")) return
    this.#error = this.#aborted ? this.#reason() : error
    if (this.status > 0) this.#sink?.fail(this.#error)
    else this.#refuse(this.#aborted ? this.#error : toFailure(error, this.#controller !== undefined))
  }

  consume(sink: BodySink): void {
    this.#sink = sink
    let flowing = true
    for (const chunk of this.#early) flowing = sink.data(chunk) && flowing
    this.#early = []
    if (this.#state === "ended") sink.end()
    else if (this.#state === "failed") sink.fail(this.#error)
    else if (!flowing) this.#controller?.pause()
    else if (this.#controller?.paused) this.#controller.resume()
  }

  resume(): void {
    this.#controller?.resume()
  }

  abort(): void {
    if (this.#state !== "open" || this.#aborted) return
    this.#aborted = true
    // still connecting: reject now, and abort undici's request when it has a connection (onRequestStart)
    if (this.#controller === undefined) this.#refuse(this.#reason())
    else this.#controller.abort(aborted())
  }

  #refuse(error: unknown): void {
    this.#cancel()
    this.#reject(error)
  }

  #fail(error: unknown): void {
    this.#refuse(error)
    this.abort()
  }

  #reason(): unknown {
    const { signal } = this.#means
    return signal.aborted ? signal.reason : aborted()
  }

  #settle(state: "ended" | "failed"): boolean {
    if (this.#state !== "open") return false
    this.#state = state
    this.#means.signal.removeEventListener("abort", this.#onAbort)
    this.#means.lease.release()
    return true
  }
}

const origins = new WeakMap<URL, string>()

/** The origin of a server's address, remembered: a URL makes the text anew each time, for 0.2 KB of each request. */
const originOf = (url: URL): string => {
  const known = origins.get(url)
  if (known !== undefined) return known
  const { origin } = url
  origins.set(url, origin)
  return origin
}

/** Settings of {@link createUpstream}. */
type UpstreamOptions = {
  /** Called with the bytes of each piece of a body; default: nobody. */
  readonly read?: ((bytes: number) => void) | undefined
  /** Absent: servers outside of the cluster cannot be called. */
  readonly connectRemote?: ConnectRemote | undefined
}

/** Sends the request; resolves with what `means.judge` makes of the answer. */
const dispatch = (means: Means, request: UpstreamRequest, path: string, clock: ClockPort): Promise<UpstreamAnswer> =>
  new Promise((resolve, reject) => {
    const { verb: method, headers, body = null, headersTimeoutMs } = request
    const exchange = new Exchange(means, resolve, reject)
    exchange.limit(clock, headersTimeoutMs)
    means.lease.pool.dispatch({ path, method, headers, body }, exchange)
  })

const refuseRedirect = (answer: UpstreamAnswer, { placement }: UpstreamRequest): void => {
  try {
    checkNoRedirect(answer, placement.remote !== undefined)
  } catch (error) {
    answer.abort()
    throw error
  }
}

/** Creates the upstream: connections are kept per incarnation and never survive it. */
export const createUpstream = (
  clock: ClockPort,
  { read = () => {}, connectRemote }: UpstreamOptions = {},
): Upstream => {
  const pools = createPools(createOpening(connectRemote), clock)
  const detours = createDetours()
  const meansFor = (
    { placement: { instance, incarnation, url, remote }, lane, signal }: UpstreamRequest,
    judge: Judge,
  ): Means => ({
    lease: pools.lease({ instance, incarnation: remote?.pool ?? incarnation, origin: originOf(url), lane, remote }),
    signal,
    judge,
    read,
  })
  const follow = async (request: UpstreamRequest, redirect: UpstreamAnswer, path: string): Promise<UpstreamAnswer> => {
    await dropBody(redirect, clock)
    request.signal.throwIfAborted()
    const answer = await dispatch(meansFor(request, asItIs), request, path, clock)
    refuseRedirect(answer, request)
    detours.remember(request.placement, path)
    return answer
  }
  const redirected = (request: UpstreamRequest, answer: UpstreamAnswer, path: string) => {
    // concatenated, not resolved: a path that begins with two slashes would name a host
    const detour = detourOf(answer, new URL(`${request.placement.url.origin}${path}`), request.headers)
    if (detour !== undefined) return follow(request, answer, detour)
    refuseRedirect(answer, request)
    return answer
  }
  return {
    send: (request) => {
      if (request.signal.aborted) return Promise.reject(request.signal.reason)
      const path = detours.pathOf(request.placement)
      // nearly all answers pass as they are, so they get no promise of their own for it
      const judge: Judge = (answer) =>
        answer.status < 300 || answer.status >= 400 ? answer : redirected(request, answer, path)
      return dispatch(meansFor(request, judge), request, path, clock)
    },
    close: pools.close,
  }
}
