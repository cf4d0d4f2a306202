import { randomBytes } from "node:crypto"
import { gatewaysLeaseName } from "../adapters/kube/access.ts"
import { createLitterCount } from "../adapters/system/garbage.ts"
import { createAdmin } from "../admin/admin.ts"
import type { TrialPort } from "../admin/trial-port.ts"
import { type MCPInstance, mcpInstanceKind } from "../api/kinds/mcp-instance.ts"
import { type MCPTarget, mcpTargetKind } from "../api/kinds/mcp-target.ts"
import type { Config } from "../config/schema.ts"
import { createCompose } from "../credentials/compose.ts"
import { createNeedleShare } from "../credentials/needle-share.ts"
import { createFrontDoor } from "../door/front-door.ts"
import { createGuard } from "../door/guard.ts"
import { createGateway, type Gateway } from "../gateway/gateway.ts"
import type { GatewayDeps } from "../gateway/request-path.ts"
import { ensureSessionKeys } from "../gateway/session/session-keys.ts"
import { configuredIssuers, createAccess } from "../identity/access.ts"
import { createAuthenticator } from "../identity/authenticate.ts"
import { createJwtIssuers } from "../identity/jwt-issuers.ts"
import type { DevKey } from "../identity/own-tokens.ts"
import { createProtectedResources } from "../identity/protected-resources.ts"
import { createLogNames, createSubjectKeys, type SubjectKeyOptions, subjectKeyFor } from "../identity/subject-key.ts"
import { type Budget, createBudget } from "../intake/bodies.ts"
import { guardedConnector } from "../outgoing/connect.ts"
import type { OutgoingGuard } from "../outgoing/guard.ts"
import { createPlacement, eitherPlacement, type PlacementDeps } from "../placement/placement.ts"
import type { PlacementPort } from "../placement/port.ts"
import { createRemotePlacement } from "../placement/remote/remote-placement.ts"
import { announcePresence } from "../placement/use/presence.ts"
import type { PluginHost } from "../plugin/host.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { ClusterPort, Reflection } from "../ports/cluster.ts"
import type { TelemetryPort } from "../ports/telemetry.ts"
import { isLoopback } from "./listen/http-listener.ts"
import type { PublicServer } from "./listen/public-listener.ts"
import { issuersFetch } from "./outgoing.ts"
import { resolveBy } from "./plugins.ts"
import { type Started, untilReached } from "./role.ts"

/** Creates the byte budget for all request bodies of this replica (MCP and REST API), with its metrics. */
const createBodies = (telemetry: TelemetryPort, limit: number): Budget => {
  const refused = telemetry.counter({
    name: "reflow_bodies_refused_total",
    help: "Request bodies refused because the caller's share (owner) or the whole budget (replica) of bytes is used up.",
    labels: ["by"],
  })
  const budget = createBudget(limit, (by) => refused.inc({ by }))
  telemetry.reading(
    {
      name: "reflow_body_bytes",
      help: "Bytes of request bodies in memory, of MCP requests and REST API calls.",
    },
    () => budget.held,
  )
  return budget
}

type Tokens = Config["auth"]["tokens"]

/** Dependencies of {@link startFront}. */
type FrontDeps = {
  readonly cluster: ClusterPort
  readonly clock: ClockPort
  readonly telemetry: TelemetryPort
  readonly config: Config
  /** Origin under which clients reach the gateway, e.g. `https://mcp.example.com`. */
  readonly publicUrl: string
  /** True if requests with any Host header are accepted. */
  readonly anyHost: boolean
  /** Namespace of the Secret with the session keys, and of the Lease in which gateways record that they run. */
  readonly ownNamespace: string
  /** Static tokens to accept; a promise if one of them is being read. */
  readonly tokens: Tokens | Promise<Tokens>
  readonly plugins: PluginHost
  /** Decides where connections to hosts may go that targets and issuers' metadata name. */
  readonly outgoing: OutgoingGuard
  /** Key of the tokens of the role dev; absent = such tokens are refused. */
  readonly devKey?: DevKey
  /** Collects the close functions of everything that is started. */
  readonly started: Started
  readonly signal: AbortSignal
}

/** Gateway and REST API over one cluster, ready to serve. */
export type Front = PublicServer & {
  readonly gateway: Gateway
  readonly targets: Reflection<MCPTarget>
  readonly instances: Reflection<MCPInstance>
}

/**
 * Records this gateway in the gateways' Lease, until it is closed after its last call. A drain waits for every recorded
 * gateway. Resolves with the name of this replica.
 */
const announce = async ({ cluster, clock, telemetry, ownNamespace, started, signal }: FrontDeps): Promise<string> => {
  const { log } = telemetry
  const replica = `gateway-${randomBytes(6).toString("hex")}`
  const lease = { namespace: ownNamespace, name: gatewaysLeaseName }
  const presence = await untilReached({ clock, log, signal }, "the Lease of the gateways", () =>
    announcePresence({ cluster, clock, log, lease, replica }, signal),
  )
  await started.add("presence", presence.close)
  return replica
}

/** Starts watches of targets and instances; resolves when both first lists are complete. */
const follow = async ({ cluster, config, started }: FrontDeps): Promise<Pick<Front, "targets" | "instances">> => {
  const { namespace } = config.kubernetes
  const targets = cluster.watch(mcpTargetKind, { namespace })
  const instances = cluster.watch(mcpInstanceKind, { namespace })
  await started.add("reflections", async () => {
    await Promise.all([targets.close(), instances.close()])
  })
  await Promise.all([targets.synced, instances.synced])
  return { targets, instances }
}

type Seen = Pick<Front, "targets" | "instances"> & { readonly replica: string }

/**
 * Announces this replica, and then reads the instances: a drain that began before the announcement, and so does not wait
 * for this replica, is in the list.
 */
const arrive = async (deps: FrontDeps): Promise<Seen> => {
  const replica = await announce(deps)
  return { ...(await follow(deps)), replica }
}

/** Reads the keys of session ids, and follows their changes. */
const readSessionKeys = async ({ cluster, clock, telemetry, config, ownNamespace, started, signal }: FrontDeps) => {
  const { session_lifetime: sessionLifetimeMs, keys_secret: name } = config.gateway
  const { log } = telemetry
  const sessionKeys = await untilReached({ clock, log, signal }, "the session keys", () =>
    ensureSessionKeys({ cluster, clock, log }, { namespace: ownNamespace, name }, { sessionLifetimeMs, signal }),
  )
  await started.add("session keys", sessionKeys.close)
  return sessionKeys
}

type Who = Awaited<ReturnType<typeof createWho>>

/** Authentication and access control: who is calling, and which targets they may use. */
const createWho = async (
  { config, devKey, clock, telemetry, publicUrl, outgoing, started }: FrontDeps,
  tokens: Tokens,
) => {
  const { issuers: known, admin_roles: adminRoles } = config.auth
  const issuers = configuredIssuers({ issuers: known, tokens }, { dev: devKey !== undefined })
  const dev = devKey === undefined ? {} : { dev: devKey }
  const resources = createProtectedResources({ publicUrl, issuers: known })
  const jwt = createJwtIssuers(known, { fetch: issuersFetch(outgoing, config), clock, log: telemetry.log })
  await started.add("issuers", async () => jwt.close())
  return {
    issuers,
    resources,
    logNames: createLogNames(config.log.subjects),
    access: createAccess({ issuers, adminRoles }),
    authenticator: createAuthenticator({
      tokens,
      issuers: { tokens: jwt, resources, publicUrl },
      clock,
      telemetry,
      ...dev,
    }),
  }
}

const startPlacement = async (
  deps: FrontDeps,
  { needles, ...seen }: Seen & Pick<PlacementDeps, "needles">,
  { issuers }: Who,
): Promise<PlacementPort> => {
  const { cluster, clock, telemetry, config, publicUrl, outgoing } = deps
  const { namespace } = config.kubernetes
  const apiUrl = `${publicUrl}/api`
  const compose = createCompose({ cluster, namespace, apiUrl, resolve: resolveBy(deps.plugins) })
  const shared = { ...seen, cluster, clock, telemetry, compose }
  const inCluster = createPlacement({
    ...shared,
    needles,
    options: { ...config.kubernetes, ...config.gateway, issuers },
  })
  const { checkUrl } = outgoing
  const remote = createRemotePlacement({ ...shared, checkUrl, options: { namespace, issuers, apiUrl } })
  const placement = eitherPlacement(inCluster, remote)
  await deps.started.add("placement", placement.close)
  return placement
}

const startGateway = async (
  deps: FrontDeps,
  parts: Pick<Front, "targets"> & Pick<GatewayDeps, "placement" | "bodies" | "sessionKeys">,
  { access, authenticator, issuers, logNames, resources }: Who,
): Promise<Gateway> => {
  const { clock, telemetry, config, publicUrl, outgoing, started } = deps
  const strategies = deps.plugins.subjectKey
  const { request_timeout, session_lifetime, max_body } = config.gateway
  const gateway = createGateway({
    ...parts,
    authenticate: authenticator.authenticate,
    subjectKeyOf: createSubjectKeys({ issuers, strategies }),
    mayUse: access.mayUse,
    metadataUrl: resources.url,
    onAnswerBytes: createLitterCount(),
    connectRemote: (ca) => guardedConnector(outgoing, ca === undefined ? {} : { ca }),
    clock,
    telemetry,
    logNames,
    options: {
      publicUrl,
      requestTimeoutMs: request_timeout,
      sessionLifetimeMs: session_lifetime,
      maxBodyBytes: max_body,
    },
  })
  await started.add("gateway", gateway.close)
  return gateway
}

/** Lets the REST API test a target: places the caller's instance and sends requests to it. */
const trialOf = (placement: PlacementPort, { ask }: Gateway, options: SubjectKeyOptions): TrialPort => ({
  place: async (target, identity, { requestId, signal }) => {
    const subjectKey = await subjectKeyFor(target, identity, { ...options, requestId })
    const placed = await placement.place({ target, identity, subjectKey, mode: "create", requestId, signal })
    const seat = { target, identity, subjectKey, placement: placed }
    const instance = placed.remote === undefined ? placed.instance : undefined
    return { instance, ask: (request) => ask(seat, request), end: placement.beginCall(placed) }
  },
})

/** Builds gateway and REST API over a cluster. Everything that must be closed goes into `started`. Opens no port. */
export const startFront = async (deps: FrontDeps): Promise<Front> => {
  const { cluster, clock, telemetry, config, publicUrl, anyHost } = deps
  const {
    listen,
    allowed_hosts: allowedHosts,
    allowed_origins: allowedOrigins,
    trusted_proxies: trustedProxies,
  } = config.gateway
  // none of them needs another one's answer
  const [{ replica, ...seen }, sessionKeys, tokens] = await Promise.all([
    arrive(deps),
    readSessionKeys(deps),
    deps.tokens,
  ])
  const who = await createWho(deps, tokens)
  const needles = createNeedleShare()
  const placement = await startPlacement(deps, { ...seen, replica, needles }, who)
  const bodies = createBodies(telemetry, config.gateway.max_held)
  const gateway = await startGateway(deps, { targets: seen.targets, placement, bodies, sessionKeys }, who)
  const { access, authenticator, logNames, resources } = who
  const { namespace } = config.kubernetes
  const strategies = deps.plugins.subjectKey
  const trial = trialOf(placement, gateway, { issuers: who.issuers, strategies })
  const whose = { access, authenticator, logNames, strategies, trial, pluginFaults: deps.plugins.faults }
  const api = createAdmin({ cluster, namespace, ...seen, ...whose, bodies, needles, clock, telemetry })
  const guard = createGuard({ publicUrl, allowedHosts, allowedOrigins, loopback: isLoopback(listen), anyHost })
  const handler = createFrontDoor({ guard, gateway, trustedProxies, resources, api })
  return { ...seen, gateway, handler, logUnreadable: gateway.logUnreadable }
}
