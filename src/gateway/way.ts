import type { MCPTarget } from "../api/mcp-target.ts"
import { AppError } from "../errors.ts"
import type { Identity, Purpose } from "../identity/identity.ts"
import type { LogNames } from "../identity/log-names.ts"
import { ownerOf } from "../identity/owner.ts"
import type { SubjectKey } from "../identity/subject-key.ts"
import type { Budget } from "../intake/budget.ts"
import type { Turns } from "../intake/turns.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { Reflection } from "../ports/cluster.ts"
import type { TelemetryPort } from "../ports/telemetry.ts"
import { checkMedia, readBody } from "./body.ts"
import type { ExchangeDeps } from "./exchange.ts"
import type { Incoming } from "./incoming.ts"
import { key } from "./keying.ts"
import { createLivesOn } from "./lives.ts"
import { readMessages } from "./message.ts"
import { type Admitted, type Identified, type Known, type Placed, pipeline, type Read } from "./pipeline.ts"
import type { PlacementPort } from "./placement/port.ts"
import { place } from "./placing.ts"
import { permit } from "./policy.ts"
import { trustNetworks } from "./proxy-trust.ts"
import { createReinitializer } from "./reinitialize.ts"
import { type Outcome, respond } from "./respond.ts"
import { createSealer } from "./session.ts"
import type { SessionKeys } from "./session-keys.ts"
import type { ToolPolicies } from "./tool-policy.ts"
import { type AskServer, createTrial } from "./trial.ts"
import type { Upstream } from "./upstream.ts"

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
  readonly subjectKeyOf: (target: MCPTarget, identity: Identity, requestId: string) => SubjectKey | Promise<SubjectKey>
  readonly mayUse: (target: MCPTarget, identity: Identity) => boolean
  /** Where the metadata of the resource at a path is served; see protected-resources.ts. Absent: nowhere. */
  readonly metadataUrl?: (path: string) => string | undefined
  readonly sessionKeys: SessionKeys
  /** Where the bytes of bodies are counted; the REST API's too. */
  readonly bodies: Budget
  readonly clock: ClockPort
  readonly telemetry: TelemetryPort
  /** How the log names callers; default by digest. */
  readonly logNames?: LogNames
  readonly options: GatewayOptions
}

const defaultSilenceMs = 15_000
const identify =
  ({ authenticate }: GatewayDeps) =>
  (input: Incoming): Identified | Promise<Identified> => {
    const { authorization } = input.request.headers
    const resource = `/mcp/${input.targetName}`
    const identity = authenticate({ authorization, purpose: "mcp", resource })
    if (identity instanceof Promise) return identity.then((known) => ({ ...input, identity: known }))
    return { ...input, identity }
  }

/** A body of more bytes takes milliseconds to read: only so much of that is done in one turn of the event loop. */
const heavyBytes = 16 * 1_024

const read =
  ({ options }: GatewayDeps, turns: Turns) =>
  async (input: Admitted): Promise<Read> => {
    if (input.verb !== "POST") return { ...input, body: undefined, reading: undefined }
    checkMedia(input.request.headers)
    const { request, signal, identity, holding } = input
    const owner = ownerOf(identity)
    const take = (bytes: number): boolean => holding.take(owner, bytes)
    const body = await readBody(request, { limit: options.maxBodyBytes, signal, take })
    if (body.length <= heavyBytes) return { ...input, body, reading: readMessages(body) }
    if (turns.isSpent()) await turns.next(owner, signal)
    return { ...input, body, reading: turns.measure(() => readMessages(body)) }
  }

/** Finds targets in the local copy. Throws ClusterUnavailable before its first list. */
export const targetNamed = (targets: Reflection<MCPTarget>) => (name: string) => {
  if (targets.hasSynced()) return targets.get(name)
  throw new AppError("ClusterUnavailable", { detail: "The targets are not known yet.", retryAfterSeconds: 1 })
}

/** What the way of a request shares with the gateway around it. */
export type WayParts = {
  readonly upstream: Upstream
  readonly toolPolicyOf: ToolPolicies
  readonly admit: (input: Identified) => Admitted
  /** True once the gateway is about to end. */
  readonly isLeaving: () => boolean
  readonly turns: Turns
}

/** The way of requests, and what tries a server on the same way. */
export type Way = {
  readonly run: (incoming: Incoming, seen: (known: Known) => void) => Promise<Outcome>
  readonly ask: AskServer
}

/** Puts the way of a request together; tsc rejects it if a step is missing. */
export const buildWay = (deps: GatewayDeps, { upstream, toolPolicyOf, admit, isLeaving, turns }: WayParts): Way => {
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
    .step(read(deps, turns))
    .step(permit)
    .step(key({ subjectKeyOf: deps.subjectKeyOf, sealer }))
    .step(placeStep)
  const toolsNow = ({ target, targetName }: Placed) => {
    const current = deps.targets.get(targetName) ?? target
    return toolPolicyOf(current.metadata.uid === target.metadata.uid ? current : target)
  }
  const { log } = telemetry
  const livesOn = createLivesOn({ placement, clock })
  const answer = respond({ exchange, placement, livesOn, sealer, clock, log, silenceMs, isLeaving, toolsNow, turns })
  return {
    run: async (incoming, seen) => answer(await way.run(incoming, seen)),
    ask: createTrial({ exchange, toolPolicyOf, toolsNow, turns, clock, publicUrl: options.publicUrl }),
  }
}
