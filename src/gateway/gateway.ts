import type { IncomingMessage, ServerResponse } from "node:http"
import { AppError, hasCode, isAbort, isAppError, toAppError } from "../errors.ts"
import type { Holding } from "../intake/bodies.ts"
import { loopTurns as turns } from "../intake/turns.ts"
import { createToolPolicies } from "../mcp/tool-policy.ts"
import type { ClockPort } from "../ports/clock.ts"
import { createRoster, LazySignal, type Member } from "../waiting/in-progress.ts"
import { type ErrorAnswer, errorAnswer, requestIdHeader, toProblem } from "./answer/error-answer.ts"
import { createAudit } from "./audit.ts"
import { bodyOf, type ClientOrigin, mcpPrefix, newRequestId, receive, targetNameIn } from "./incoming.ts"
import type { Known } from "./pipeline.ts"
import { admit, atExpiry, lostRight } from "./policy.ts"
import { buildRequestPath, type GatewayDeps, targetNamed } from "./request-path.ts"
import type { AskServer } from "./trial.ts"
import { createUpstream } from "./wire/upstream.ts"

/** A request that could not be read as HTTP, and the error that its client got. */
export type Unreadable = {
  readonly requestId: string
  readonly error: AppError
}

/** The data path: MCP requests in, answers of the right instances out. */
export type Gateway = {
  /**
   * Serves one request to `/mcp/{target}`, errors included; `origin` is where it came from. Resolves when the answer
   * has been written; never rejects.
   */
  handle(request: IncomingMessage, response: ServerResponse, origin: ClientOrigin): Promise<void>
  /** Answers a request that is not an MCP request with a problem document, and logs it with its request id. */
  refuse(request: IncomingMessage, response: ServerResponse, cause: unknown): void
  /** Logs and counts a request that could not be read as HTTP. The caller answers it. */
  logUnreadable(unreadable: Unreadable): void
  /** Asks a server as a client's request would, for the test of a target; see trial.ts. */
  readonly ask: AskServer
  /**
   * Ends the streams that have no call: those with a head at once, the others when their head arrives or after 10 s.
   * Waits for the calls until `signal` is aborted; then ends them too and refuses new requests. Until then new requests
   * are served, except that new streams end at once.
   */
  drain(signal: AbortSignal): Promise<void>
  /** Ends every exchange and connection. */
  close(): Promise<void>
}

/**
 * How long a drain waits for the head of a stream, milliseconds, so that the client sees the stream end instead of an
 * error.
 */
const headMs = 10_000

const isStream = ({ openStream, verb }: Known): boolean => openStream === true || verb === "GET"

/** A request in progress. */
type Flight = Member & {
  readonly signal: LazySignal
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** What it holds of the memory for bodies. */
  readonly holding: Holding
  known: Known
  /** Cancels the timer that ends the request when its caller's token expires; absent without such a timer. */
  keep?: () => void
  done: Promise<void>
}

const shuttingDown = (): AppError =>
  new AppError("ShuttingDown", {
    detail: "This replica is stopping.",
    retryAfterSeconds: 1,
    headers: { connection: "close" },
  })

/** How long a connection that ends with an answer is still read, milliseconds. */
const lingerMs = 2_000

/** A request, and where its answer goes. */
type Place = { readonly request: IncomingMessage; readonly response: ServerResponse; readonly clock: ClockPort }

/**
 * Sends an answer after which the connection closes. Closing it while the client still sends would be a reset, because
 * of the unread bytes, and a reset can take the answer from a client that has not read it yet. So the answer is written
 * whole, and the connection closes when the request has arrived or after `lingerMs`.
 */
const endConnection = ({ request, response, clock }: Place, body: string): void => {
  response.write(body)
  const end = (): void => {
    cancel()
    response.end()
  }
  const cancel = clock.timer(lingerMs, end)
  request.once("end", end)
  response.once("close", cancel)
  // read and drop the body: otherwise its `end` never comes
  request.resume()
}

const send = (place: Place, answer: ErrorAnswer, requestId: string): void => {
  const { request, response } = place
  if (response.headersSent || response.destroyed) return void response.destroy()
  const length = String(Buffer.byteLength(answer.body))
  response.writeHead(answer.status, { ...answer.headers, "content-length": length, [requestIdHeader]: requestId })
  if (answer.headers.connection !== "close" || request.complete) response.end(answer.body)
  else endConnection(place, answer.body)
}

/** Creates the gateway's data path, which follows `targets` from now on. The caller must close it. */
export const createGateway = (deps: GatewayDeps): Gateway => {
  const { clock } = deps
  const upstream = createUpstream(clock, { read: deps.onAnswerBytes, connectRemote: deps.connectRemote })
  const audit = createAudit(deps.telemetry, deps.logNames)
  const flights = createRoster<Flight>()
  let leaving = false
  let over = false
  const toolPolicyOf = createToolPolicies()
  const admitNow = admit({ ...deps, toolPolicyOf, targetNamed: targetNamed(deps.targets) })
  const { place, answer, ask } = buildRequestPath(deps, {
    upstream,
    toolPolicyOf,
    admit: admitNow,
    isLeaving: () => leaving,
    turns,
  })

  /** Streams without a call end when their caller's token expires; a call that began in time runs to its end. */
  const endInTime = (flight: Flight): void => {
    const { known, signal, keep } = flight
    if (keep !== undefined || known.identity === undefined || !isStream(known)) return
    flight.keep = atExpiry(clock, known.identity, (reason) => signal.abort(reason))
  }
  const serve = async (flight: Flight): Promise<void> => {
    const { signal, request, response, holding, known: incoming } = flight
    const reading = { limit: deps.options.maxBodyBytes, declared: request.headers["content-length"], signal, holding }
    const end = audit.begin()
    try {
      const placing = place(incoming, bodyOf(request, reading), (known) => {
        flight.known = known
        endInTime(flight)
      })
      const outcome = await answer(placing instanceof Promise ? await placing : placing, response)
      end({ known: flight.known, now: clock.now(), outcome })
    } catch (cause) {
      const error = toAppError(signal.aborted ? signal.reason : cause)
      const left = signal.aborted ? !isAppError(signal.reason) : isAbort(cause)
      end({ known: flight.known, now: clock.now(), error, left })
      if (left) response.destroy()
      else send({ request, response, clock }, errorAnswer(flight.known, error), incoming.requestId)
    } finally {
      flight.keep?.()
      holding.end()
      flights.remove(flight)
    }
  }
  /** Ends the requests for a target that their callers may no longer use. */
  const endLostRights = (target: string): void => {
    for (const { known, signal } of flights.all()) {
      const reason = known.targetName === target ? lostRight(known, admitNow) : undefined
      if (reason !== undefined) signal.abort(reason)
    }
  }
  const unsubscribe = deps.targets.subscribe(({ object }) => endLostRights(object.metadata.name))
  const refuse = (request: IncomingMessage, response: ServerResponse, cause: unknown, requestId = newRequestId()) => {
    const error = toAppError(cause)
    audit.refuse({ request, requestId, error })
    send({ request, response, clock }, toProblem(error, request, requestId), requestId)
  }
  /**
   * A caller without a valid token gets Unauthenticated instead of MethodNotAllowed: clients find out by HEAD who
   * issues tokens.
   */
  const challenged = async ({ url = "", headers: { authorization } }: IncomingMessage, error: unknown) => {
    if (!hasCode(error, "MethodNotAllowed")) return error
    try {
      await deps.authenticate({ authorization, purpose: "mcp", resource: `${mcpPrefix}${targetNameIn(url) ?? ""}` })
      return error
    } catch (refusal) {
      return refusal
    }
  }
  const handle: Gateway["handle"] = (request, response, origin) => {
    const requestId = newRequestId()
    const signal = new LazySignal()
    response.on("close", () => {
      if (!response.writableFinished) signal.abort()
    })
    try {
      if (over) throw shuttingDown()
      const { headers } = request
      const facts = { requestId, receivedAt: clock.now(), headers, origin, signal }
      const known: Known = receive(request, facts)
      const flight: Flight = {
        place: -1,
        signal,
        request,
        response,
        holding: deps.bodies.open(),
        known,
        done: Promise.resolve(),
      }
      flights.add(flight)
      flight.done = serve(flight)
      return flight.done
    } catch (error) {
      return challenged(request, error).then((cause) => refuse(request, response, cause, requestId))
    }
  }
  const end = (which: (flight: Flight) => boolean): void => {
    for (const flight of flights.all()) if (which(flight)) flight.signal.abort(shuttingDown())
  }
  const drain = async (signal: AbortSignal): Promise<void> => {
    leaving = true
    end(({ known, response }) => isStream(known) && response.headersSent)
    const cancel = clock.timer(headMs, () => end(({ known }) => isStream(known)))
    const cut = (): void => {
      over = true
      end(() => true)
    }
    if (signal.aborted) cut()
    signal.addEventListener("abort", cut, { once: true })
    for (let left = flights.all(); left.length > 0; left = flights.all())
      await Promise.allSettled(left.map((flight) => flight.done))
    signal.removeEventListener("abort", cut)
    cancel()
  }
  const close = async (): Promise<void> => {
    over = true
    unsubscribe()
    end(() => true)
    await upstream.close()
  }
  return {
    handle,
    refuse: (request, response, cause) => refuse(request, response, cause),
    logUnreadable: (unreadable) => audit.refuse({ request: {}, ...unreadable }),
    ask,
    drain,
    close,
  }
}
