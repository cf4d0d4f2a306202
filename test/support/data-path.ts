/** A whole data path over the embedded cluster: real tokens, policy, placement and sessions; only the operator is played. */
import { createHash } from "node:crypto"
import type { RequestListener } from "node:http"
import type { JWTPayload } from "jose"
import { createMemoryCluster } from "../../src/adapters/memory/cluster.ts"
import { mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { type MCPTargetSpec, mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import { configSchema } from "../../src/config/schema.ts"
import { createCompose } from "../../src/credentials/compose.ts"
import { createNeedleShare } from "../../src/credentials/needle-share.ts"
import { createFrontDoor } from "../../src/door/front-door.ts"
import { createGuard } from "../../src/door/guard.ts"
import { createGateway } from "../../src/gateway/gateway.ts"
import { createAuthenticator } from "../../src/identity/authenticate.ts"
import { createJwtIssuers } from "../../src/identity/jwt-issuers.ts"
import { createProtectedResources } from "../../src/identity/protected-resources.ts"
import { createSubjectKeys } from "../../src/identity/subject-key.ts"
import { createBudget } from "../../src/intake/bodies.ts"
import { createPlacement } from "../../src/placement/placement.ts"
import type { ClockPort } from "../../src/ports/clock.ts"
import type { ClusterPort } from "../../src/ports/cluster.ts"
import type { TelemetryPort } from "../../src/ports/telemetry.ts"
import { readyStatus } from "./build/placed.ts"
import { target as targetOf } from "./build/who.ts"
import { quietTelemetry } from "./quiet-telemetry.ts"
import { tokenIssuer } from "./token-issuer.ts"

const namespace = "reflow"
const publicUrl = "http://localhost:8080"
const issuer = "https://login.example.com/realm"
const issuers = ["static", "corp"]
const staticToken = "a-static-token-of-alice"
const minute = 60_000

/** What a data path is made of. */
export type DataPathOptions = {
  readonly clock: ClockPort
  readonly telemetry: TelemetryPort
  /** Settings of the target, which is called github. */
  readonly spec?: Partial<MCPTargetSpec>
  /** Stands between the gateway and the cluster, e.g. to note calls. */
  readonly around?: (cluster: ClusterPort) => ClusterPort
  /** Lets what is due at once happen, where the clock stands still by itself. */
  readonly settle?: () => Promise<void>
}

/** A data path whose only target is at {@link DataPath.path}; its idle TTL is 30 minutes. */
export type DataPath = {
  readonly handler: RequestListener
  readonly path: string
  /** A static token, and one of an issuer, which is checked once and then remembered. Both are alice's. */
  readonly tokens: { readonly fixed: string; readonly signed: string }
  /** A token of the issuer with these claims instead of alice's. */
  sign(claims: JWTPayload): Promise<string>
  /** Names of the instances that there are. */
  instances(): Promise<readonly string[]>
  /** Plays the operator: the instance is Ready at this URL from now on. */
  report(instance: string, url: URL): Promise<void>
  close(): Promise<void>
}

/** Static tokens and an issuer's, as a gateway has both. */
const createTokens = async (clock: ClockPort, telemetry: TelemetryPort, path: string) => {
  const corp = await tokenIssuer({ issuer, audience: `${publicUrl}${path}`, clock })
  const sha256 = createHash("sha256").update(staticToken).digest("hex")
  const { auth } = configSchema.parse({
    auth: { issuers: [{ name: "corp", issuer }], tokens: [{ name: "alice", subject: "alice", sha256 }] },
  })
  const { authenticate } = createAuthenticator({
    tokens: auth.tokens,
    issuers: {
      tokens: createJwtIssuers(auth.issuers, { fetch: corp.fetch, clock, log: telemetry.log }),
      resources: createProtectedResources({ publicUrl, issuers: [{ issuer, scopes: [] }] }),
      publicUrl,
    },
    clock,
    telemetry,
  })
  return { authenticate, sign: corp.sign, tokens: { fixed: staticToken, signed: await corp.sign() } }
}

const startCluster = async ({ clock, spec, around = (all) => all, settle }: DataPathOptions) => {
  const cluster = createMemoryCluster({ clock, telemetry: quietTelemetry() })
  await cluster.create(mcpTargetKind, { ...targetOf(spec), metadata: { name: "github", namespace } })
  const instances = cluster.watch(mcpInstanceKind, { namespace })
  const targets = cluster.watch(mcpTargetKind, { namespace })
  await settle?.()
  await Promise.all([instances.synced, targets.synced])
  return { cluster, seen: around(cluster), instances, targets }
}
type Started = Awaited<ReturnType<typeof startCluster>>

const startPlacement = ({ seen, instances, targets }: Started, { clock, telemetry }: DataPathOptions) =>
  createPlacement({
    needles: createNeedleShare(),
    cluster: seen,
    instances,
    targets,
    compose: createCompose({ cluster: seen, namespace, apiUrl: `${publicUrl}/api` }),
    clock,
    telemetry,
    replica: "gw-0",
    options: {
      namespace,
      hold_timeout: 45_000,
      idle_ttl: 30 * minute,
      stream_ttl: undefined,
      max_instances: 100,
      expose_subjects: true,
      max_waiting: 100,
      issuers,
    },
  })

/** Starts a data path. Whoever serves its handler closes it. */
export const startDataPath = async (options: DataPathOptions): Promise<DataPath> => {
  const { clock, telemetry, settle } = options
  const path = "/mcp/github"
  const { authenticate, sign, tokens } = await createTokens(clock, telemetry, path)
  const started = await startCluster(options)
  const { cluster, targets } = started
  const placement = startPlacement(started, options)
  const sessionKey = { id: "00c0ffee", secret: Buffer.alloc(32, 7) }
  const gateway = createGateway({
    targets,
    placement,
    authenticate,
    subjectKeyOf: createSubjectKeys({ issuers }),
    mayUse: () => true,
    sessionKeys: { current: () => sessionKey, find: () => sessionKey, lookUp: async () => sessionKey },
    clock,
    telemetry,
    bodies: createBudget(256 * 2 ** 20),
    options: {
      publicUrl,
      requestTimeoutMs: 900_000,
      sessionLifetimeMs: 24 * 60 * minute,
      maxBodyBytes: 4 * 2 ** 20,
    },
  })
  const guard = createGuard({ publicUrl, allowedHosts: [], allowedOrigins: [], loopback: true })
  const list = async () => (await cluster.list(mcpInstanceKind, { namespace })).items
  return {
    handler: createFrontDoor({ guard, gateway }),
    path,
    tokens,
    sign,
    instances: async () => {
      await settle?.()
      return (await list()).map(({ metadata }) => metadata.name)
    },
    report: async (name, { href }) => {
      const readyTime = new Date(clock.now()).toISOString()
      const status = readyStatus({ url: href, podURL: href, readyTime })
      await cluster.patchStatus(mcpInstanceKind, { namespace, name }, { status })
      await settle?.()
    },
    close: async () => {
      const closed = Promise.all([placement.close(), gateway.close()])
      await settle?.()
      await closed
      await cluster.close()
    },
  }
}
