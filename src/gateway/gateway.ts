import type { IncomingMessage, ServerResponse } from "node:http"
import type { MCPTarget } from "../api/mcp-target.ts"
import { AppError, isAbort, isAppError, toAppError } from "../errors.ts"
import type { Identity, Purpose } from "../identity/identity.ts"
import { ownerOf } from "../identity/owner.ts"
import type { SubjectKey } from "../identity/subject-key.ts"
import type { Budget } from "../intake/budget.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { Reflection } from "../ports/cluster.ts"
import type { TelemetryPort } from "../ports/telemetry.ts"
import { answerError, answerProblem } from "./answer.ts"
import { createAudit } from "./audit.ts"
import { checkMedia, readBody } from "./body.ts"
import type { ExchangeDeps } from "./exchange.ts"
import { type Incoming, newRequestId, receive } from "./incoming.ts"
import { key } from "./keying.ts"
import { readMessages } from "./message.ts"
import { type Admitted, type Identified, type Known, type Placed, pipeline, type Read } from "./pipeline.ts"
import type { PlacementPort } from "./placement/port.ts"
import { place } from "./placing.ts"
import { admit, permit } from "./policy.ts"
import { trustNetworks } from "./proxy-trust.ts"
import { createReinitializer } from "./reinitialize.ts"
import { type Outcome, respond } from "./respond.ts"
import { atExpiry, lostRight } from "./rights.ts"
import { createSealer } from "./session.ts"
import type { SessionKeys } from "./session-keys.ts"
import { createToolPolicies, type ToolPolicies } from "./tool-policy.ts"
import { createUpstream, type Upstream } from "./upstream.ts"

/** Who is calling, from an Authorization header; throws Unauthenticated. */
export type Authenticate = (credential: {
  readonly authorization: string | undefined
  readonly purpose: Purpose
  /** Path of what is called: its URL may be a token's audience. */
  readonly resource: string
}) => Identity | Promise<Identity>

/** Settings of the gateway. */
export type GatewayOptions = {
  /** Origin under which clients reach the gateway, e.g. `https://mcp.example.com`. */
  readonly publicUrl: string
  /** How long a server may take until its answer begins, milliseconds; a target's own requestTimeout is stronger. */
  readonly requestTimeoutMs: number
  /** How long a sealed session id can be used, milliseconds. */
  readonly sessionLifetimeMs: number
  /** Largest request body, bytes. */
  readonly maxBodyBytes: number
  /** Networks whose X-Forwarded-* headers are believed. */
  readonly trustedProxies: readonly string[]
  /** Silence after which an event stream gets a comment, milliseconds; default 15 s. */
  readonly silenceMs?: number
}

/** Everything the gateway's data path is built from. */
export type GatewayDeps = {
  readonly targets: Reflection<MCPTarget>
  readonly placement: PlacementPort
  readonly authenticate: Authenticate
  readonly subjectKeyOf: (target: MCPTarget, identity: Identity) => SubjectKey | Promise<SubjectKey>
  readonly mayUse: (target: MCPTarget, identity: Identity) => boolean
  /** Where the metadata of the resource at a path is served; see protected-resources.ts. Absent: nowhere. */
  readonly metadataUrl?: (path: string) => string | undefined
  readonly sessionKeys: SessionKeys
  /** Where the bytes of bodies are counted; the REST API's too. */
  readonly bodies: Budget
  readonly clock: ClockPort
  readonly telemetry: TelemetryPort
  readonly options: GatewayOptions
}

/** The data path: MCP requests in, answers of the right instances out. */
export type Gateway = {
  /** Serves one request to `/mcp/{target}`, errors included. Resolves when the answer is out; never rejects. */
  handle(request: IncomingMessage, response: ServerResponse): Promise<void>
  /** Answers a request that is no MCP request with a problem; its id is in the log. */
  refuse(request: IncomingMessage, response: ServerResponse, cause: unknown): void
  /**
   * Ends streams that have no call, those without a head as soon as it is there, within 10 s; and waits for the calls until
   * `signal` is aborted, then ends those too and takes no more. Until then whatever still comes is served, new streams to
   * end at once.
   */
  drain(signal: AbortSignal): Promise<void>
  /** Ends every exchange and connection. */
  close(): Promise<void>
}

const defaultSilenceMs = 15_000
/** How long a drain waits for the head of a stream, so that the client hears of an end and not of an error. */
const headMs = 10_000

const isStream = ({ openStream, verb }: Known): boolean => openStream === true || verb === "GET"

const identify =
  ({ authenticate }: GatewayDeps) =>
  (input: Incoming): Identified | Promise<Identified> => {
    const { authorization } = input.request.headers
    const resource = `/mcp/${input.targetName}`
    const identity = authenticate({ authorization, purpose: "mcp", resource })
    if (identity instanceof Promise) return identity.then((known) => ({ ...input, identity: known }))
    return { ...input, identity }
  }

const read =
  ({ options }: GatewayDeps) =>
  async (input: Admitted): Promise<Read> => {
    if (input.verb !== "POST") return { ...input, body: undefined, reading: undefined }
    checkMedia(input.request.headers)
    const { request, signal, identity, holding } = input
    const owner = ownerOf(identity)
    const take = (bytes: number): boolean => holding.take(owner, bytes)
    const body = await readBody(request, { limit: options.maxBodyBytes, signal, take })
    return { ...input, body, reading: readMessages(body) }
  }

const targetNamed = (targets: Reflection<MCPTarget>) => (name: string) => {
  if (targets.hasSynced()) return targets.get(name)
  throw new AppError("ClusterUnavailable", { detail: "The targets are not known yet.", retryAfterSeconds: 1 })
}

type Ways = {
  readonly upstream: Upstream
  readonly toolPolicyOf: ToolPolicies
  readonly admit: (input: Identified) => Admitted
  readonly isLeaving: () => boolean
}

/** Puts the way of a request together; tsc rejects it if a step is missing. */
const buildWay = (deps: GatewayDeps, { upstream, toolPolicyOf, admit, isLeaving }: Ways) => {
  const { clock, placement, options, telemetry } = deps
  const trusts = trustNetworks(options.trustedProxies)
  const now = () => clock.now()
  const sealer = createSealer({ keys: deps.sessionKeys, now, lifetimeMs: options.sessionLifetimeMs })
  const reinitializer = createReinitializer({ upstream, trusts, clock })
  const placeStep = place({ placement, reinitializer })
  const { requestTimeoutMs } = options
  const exchange: ExchangeDeps = {
    upstream,
    placement,
    reinitializer,
    place: placeStep,
    trusts,
    clock,
    requestTimeoutMs,
  }
  const silenceMs = options.silenceMs ?? defaultSilenceMs
  const way = pipeline()
    .step(identify(deps))
    .step(admit)
    .step(read(deps))
    .step(permit)
    .step(key({ subjectKeyOf: deps.subjectKeyOf, sealer }))
    .step(placeStep)
  const toolsNow = ({ target, targetName }: Placed) => {
    const current = deps.targets.get(targetName) ?? target
    return toolPolicyOf(current.metadata.uid === target.metadata.uid ? current : target)
  }
  const { log } = telemetry
  const answer = respond({ exchange, placement, sealer, clock, log, silenceMs, isLeaving, toolsNow })
  return async (incoming: Incoming, seen: (known: Known) => void): Promise<Outcome> =>
    answer(await way.run(incoming, seen))
}

/** A request on its way. */
type Flight = {
  readonly life: AbortController
  known: Known
  /** Takes back that it ends with its caller's token; absent while it does not. */
  keep?: () => void
  done: Promise<void>
}

const shuttingDown = (): AppError =>
  new AppError("ShuttingDown", {
    detail: "This replica is stopping.",
    retryAfterSeconds: 1,
    headers: { connection: "close" },
  })

/** Makes the gateway's data path. It starts nothing by itself; close what you make. */
export const createGateway = (deps: GatewayDeps): Gateway => {
  const { clock } = deps
  const upstream = createUpstream(clock)
  const audit = createAudit(deps.telemetry)
  const flights = new Set<Flight>()
  let leaving = false
  let over = false
  const toolPolicyOf = createToolPolicies()
  const admitNow = admit({ ...deps, toolPolicyOf, targetNamed: targetNamed(deps.targets) })
  const run = buildWay(deps, { upstream, toolPolicyOf, admit: admitNow, isLeaving: () => leaving })

  /** A call that began in time runs to its end; what only listens ends with the token that opened it. */
  const endInTime = (flight: Flight): void => {
    const { known, life, keep } = flight
    if (keep !== undefined || known.identity === undefined || !isStream(known)) return
    flight.keep = atExpiry(clock, known.identity, (reason) => life.abort(reason))
  }
  const fly = async (flight: Flight): Promise<void> => {
    const { signal } = flight.life
    const incoming = flight.known
    const end = audit.begin()
    try {
      const outcome = await run(incoming, (known) => {
        flight.known = known
        endInTime(flight)
      })
      end({ known: flight.known, now: clock.now(), outcome })
    } catch (cause) {
      const error = toAppError(signal.aborted ? signal.reason : cause)
      const left = signal.aborted ? !isAppError(signal.reason) : isAbort(cause)
      end({ known: flight.known, now: clock.now(), error, left })
      if (left) incoming.response.destroy()
      else answerError(flight.known, error, clock)
    } finally {
      flight.keep?.()
      incoming.holding.end()
    }
  }
  /** Access that is taken away ends what it had opened. */
  const judgeAgain = (target: string): void => {
    for (const { known, life } of flights) {
      const reason = known.targetName === target ? lostRight(known, admitNow) : undefined
      if (reason !== undefined) life.abort(reason)
    }
  }
  const unsubscribe = deps.targets.subscribe(({ object }) => judgeAgain(object.metadata.name))
  const refuse = (request: IncomingMessage, response: ServerResponse, cause: unknown, requestId = newRequestId()) => {
    const error = toAppError(cause)
    audit.refuse({ request, requestId, error })
    answerProblem({ request, response, clock }, { error, requestId })
  }
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const requestId = newRequestId()
    const life = new AbortController()
    response.on("close", () => {
      if (!response.writableFinished) life.abort()
    })
    try {
      if (over) throw shuttingDown()
      const facts = { requestId, receivedAt: clock.now(), signal: life.signal, holding: deps.bodies.open() }
      const known: Known = receive(request, response, facts)
      const flight: Flight = { life, known, done: Promise.resolve() }
      flights.add(flight)
      flight.done = fly(flight).finally(() => flights.delete(flight))
      await flight.done
    } catch (error) {
      refuse(request, response, error, requestId)
    }
  }
  const end = (which: (known: Known) => boolean): void => {
    for (const { life, known } of flights) if (which(known)) life.abort(shuttingDown())
  }
  const drain = async (signal: AbortSignal): Promise<void> => {
    leaving = true
    end((known) => isStream(known) && known.response.headersSent)
    const cancel = clock.timer(headMs, () => end(isStream))
    const cut = (): void => {
      over = true
      end(() => true)
    }
    if (signal.aborted) cut()
    signal.addEventListener("abort", cut, { once: true })
    while (flights.size > 0) await Promise.allSettled([...flights].map((flight) => flight.done))
    signal.removeEventListener("abort", cut)
    cancel()
  }
  const close = async (): Promise<void> => {
    over = true
    unsubscribe()
    end(() => true)
    await upstream.close()
  }
  return { handle, refuse: (request, response, cause) => refuse(request, response, cause), drain, close }
}
