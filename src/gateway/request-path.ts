import type { MCPTarget } from "../api/kinds/mcp-target.ts"
import { AppError } from "../errors.ts"
import { type Identity, ownerOf, type Purpose } from "../identity/identity.ts"
import type { LogNames, SubjectKey } from "../identity/subject-key.ts"
import type { Budget } from "../intake/bodies.ts"
import { heavyBytes, type Turns } from "../intake/turns.ts"
import { type Reading, readMessages } from "../mcp/message.ts"
import type { ToolPolicies } from "../mcp/tool-policy.ts"
import type { PlacementPort } from "../placement/port.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { Reflection } from "../ports/cluster.ts"
import type { TelemetryPort } from "../ports/telemetry.ts"
import { respond } from "./answer/respond.ts"
import type { AnswerSink } from "./answer/stream.ts"
import type { ExchangeDeps } from "./exchange.ts"
import { type BodySource, checkMedia, type Incoming } from "./incoming.ts"
import {
  type Admitted,
  type Answered,
  type Identified,
  type Keyed,
  type Known,
  type Permitted,
  type Placed,
  pipeline,
  type Read,
  writable,
} from "./pipeline.ts"
import { permit } from "./policy.ts"
import { findServer } from "./session/find-server.ts"
import { createReopener } from "./session/reopen.ts"
import { createSealer, type OpenSession, type SessionSealer, targetUID } from "./session/session.ts"
import type { SessionKeys } from "./session/session-keys.ts"
import { type AskServer, createTrial } from "./trial.ts"
import type { ConnectRemote } from "./wire/pools.ts"
import type { Upstream } from "./wire/upstream.ts"

type KeyingDeps = {
  /** `requestId` is for the log. Throws SubjectKeyDenied. */
  readonly subjectKeyOf: (target: MCPTarget, identity: Identity, requestId: string) => SubjectKey | Promise<SubjectKey>
  readonly sealer: SessionSealer
}

type MaybeOpen = OpenSession | undefined

const opensSession = ({ messages: [first] }: Permitted): boolean =>
  first?.kind === "request" && first.method === "initialize"

const sessionOf = (input: Permitted, sealer: SessionSealer): MaybeOpen | Promise<MaybeOpen> => {
  const sealed = input.headers["mcp-session-id"]
  // the modern era has no sessions, and `initialize` opens a new one, even if the client sends an old or empty id
  if (sealed === undefined || input.era === "modern" || opensSession(input)) return undefined
  return sealer.open({ identity: input.identity, targetUID: targetUID(input.target) }, String(sealed))
}

/** Only a POST creates an instance, and one with a session only if the target's sessions can be reopened. */
const modeOf = (input: Permitted, session: OpenSession | undefined): "create" | "find" =>
  input.verb === "POST" && (session === undefined || input.target.spec.statefulness === "stateless") ? "create" : "find"

/**
 * Determines the subject key and opens the session id, before placement. Throws SessionNotFound and SubjectKeyDenied.
 */
export const key = (deps: KeyingDeps) => {
  const withSession = (input: Permitted, session: MaybeOpen): Keyed | Promise<Keyed> => {
    const mode = modeOf(input, session)
    const subjectKey = deps.subjectKeyOf(input.target, input.identity, input.requestId)
    const add = (known: SubjectKey): Keyed => {
      const keyed = writable<Keyed>(input)
      keyed.subjectKey = known
      keyed.session = session
      keyed.mode = mode
      return keyed
    }
    return subjectKey instanceof Promise ? subjectKey.then(add) : add(subjectKey)
  }
  return (input: Permitted): Keyed | Promise<Keyed> => {
    const session = sessionOf(input, deps.sealer)
    if (session instanceof Promise) return session.then((opened) => withSession(input, opened))
    return withSession(input, session)
  }
}

/** Returns who is calling, from an Authorization header; throws Unauthenticated. */
type Authenticate = (credential: {
  readonly authorization: string | undefined
  readonly purpose: Purpose
  /** Path of the called endpoint: its URL may be a token's audience. */
  readonly resource: string
}) => Identity | Promise<Identity>

/** Settings of the gateway. */
export type GatewayOptions = {
  /** Origin under which clients reach the gateway, e.g. `https://mcp.example.com`. */
  readonly publicUrl: string
  /** How long a server may take until its answer begins, milliseconds; a target's own requestTimeout overrides it. */
  readonly requestTimeoutMs: number
  /** How long a sealed session id can be used, milliseconds. */
  readonly sessionLifetimeMs: number
  /** Largest request body, bytes. */
  readonly maxBodyBytes: number
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
  /** Counts the bytes of request bodies; shared with the REST API. */
  readonly bodies: Budget
  /** Called with the bytes of each piece of a server's answer; absent: nobody. */
  readonly onAnswerBytes?: (bytes: number) => void
  /** Opens connections to servers outside of the cluster; absent: they cannot be called. */
  readonly connectRemote?: ConnectRemote
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
    const { authorization } = input.headers
    const resource = `/mcp/${input.targetName}`
    const identity = authenticate({ authorization, purpose: "mcp", resource })
    const add = (known: Identity): Identified => {
      const identified = writable<Identified>(input)
      identified.identity = known
      return identified
    }
    return identity instanceof Promise ? identity.then(add) : add(identity)
  }

const addBody = (input: Admitted, body: Buffer | undefined, reading: Reading | undefined): Read => {
  const read = writable<Read>(input)
  read.body = body
  read.reading = reading
  return read
}

type Heavy = { readonly owner: string; readonly body: Buffer }

const readHeavy = async (turns: Turns, input: Admitted, { owner, body }: Heavy): Promise<Read> => {
  if (turns.isSpent()) await turns.next(owner, input.signal)
  return addBody(
    input,
    body,
    turns.measure(() => readMessages(body)),
  )
}

const read =
  (turns: Turns) =>
  (input: Admitted, source: BodySource): Read | Promise<Read> => {
    if (input.verb !== "POST") return addBody(input, undefined, undefined)
    checkMedia(input.headers)
    const owner = ownerOf(input.identity)
    return source
      .read(owner)
      .then((body) =>
        body.length <= heavyBytes ? addBody(input, body, readMessages(body)) : readHeavy(turns, input, { owner, body }),
      )
  }

/** Finds targets in the local copy. Throws ClusterUnavailable before its first list. */
export const targetNamed = (targets: Reflection<MCPTarget>) => (name: string) => {
  if (targets.hasSynced()) return targets.get(name)
  throw new AppError("ClusterUnavailable", { detail: "The targets are not known yet.", retryAfterSeconds: 1 })
}

/** Parts that the request path shares with gateway.ts. */
type RequestPathParts = {
  readonly upstream: Upstream
  readonly toolPolicyOf: ToolPolicies
  readonly admit: (input: Identified) => Admitted
  /** True once the gateway drains. */
  readonly isLeaving: () => boolean
  readonly turns: Turns
}

/** The path of requests, and what tests a server over the same path. */
type RequestPath = {
  /** From the incoming request to its server. A promise only if a step had to wait. */
  readonly place: (incoming: Incoming, body: BodySource, seen: (known: Known) => void) => Placed | Promise<Placed>
  /** Sends the placed request to its server, and the answer to `sink`; see {@link respond}. */
  readonly answer: (placed: Placed, sink: AnswerSink) => Promise<Answered>
  readonly ask: AskServer
}

/** Builds the request path; tsc rejects it if a step is missing. */
export const buildRequestPath = (
  deps: GatewayDeps,
  { upstream, toolPolicyOf, admit, isLeaving, turns }: RequestPathParts,
): RequestPath => {
  const { clock, placement, options, telemetry } = deps
  const now = () => clock.now()
  const sealer = createSealer({ keys: deps.sessionKeys, now, lifetimeMs: options.sessionLifetimeMs })
  const reopener = createReopener({ upstream, clock })
  const find = findServer({ placement, reopener, clock })
  const { requestTimeoutMs } = options
  const exchange: ExchangeDeps = {
    upstream,
    placement,
    reopener,
    findServer: find,
    clock,
    requestTimeoutMs,
  }
  const silenceMs = options.silenceMs ?? defaultSilenceMs
  const steps = pipeline()
    .step(identify(deps))
    .step(admit)
    .step(read(turns))
    .step(permit)
    .step(key({ subjectKeyOf: deps.subjectKeyOf, sealer }))
    .step(find)
  const toolsNow = ({ target, targetName }: Placed) => {
    const current = deps.targets.get(targetName) ?? target
    return toolPolicyOf(current.metadata.uid === target.metadata.uid ? current : target)
  }
  const { log } = telemetry
  const answer = respond({ exchange, placement, sealer, clock, log, silenceMs, isLeaving, toolsNow, turns })
  return {
    place: steps.run,
    answer,
    ask: createTrial({ exchange, toolPolicyOf, toolsNow, turns, clock, publicUrl: options.publicUrl }),
  }
}
