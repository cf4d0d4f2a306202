/** `reflow check`: checks whether a role could run with this configuration and cluster. Changes nothing. */
import { createHash } from "node:crypto"
import { readFile } from "node:fs/promises"
import type { Actor } from "../../adapters/kube/access.ts"
import { createKubeCluster, type KubeCluster } from "../../adapters/kube/cluster.ts"
import { createPreflight } from "../../adapters/kube/preflight.ts"
import { systemClock } from "../../adapters/system/clock.ts"
import { type OwnKind, ownKinds } from "../../api/schema/own-kinds.ts"
import type { CheckedRole } from "../../cli/commands.ts"
import { readProblem } from "../../config/file.ts"
import { type Environment, type Loaded, loadConfig, type Settings } from "../../config/load.ts"
import { errorTable, toAppError } from "../../errors.ts"
import type { OutgoingGuard } from "../../outgoing/guard.ts"
import { createTelemetry } from "../../telemetry/telemetry.ts"
import { needsBootstrapToken } from "../bootstrap-token.ts"
import { createOutgoing, issuersFetch } from "../outgoing.ts"
import { type ClusterCheck, checkKinds, checkNamespaces, checkRights, checkSecrets, checkServer } from "./cluster.ts"
import { type Finding, findingText } from "./finding.ts"
import { checkGateway, type GatewayCheck } from "./gateway.ts"
import { checkIssuers } from "./issuers.ts"

/** Options of {@link runCheck}. */
export type CheckRequest = {
  readonly role: CheckedRole
  readonly settings: Settings
  readonly environment: Environment
  /** URL at which a gateway must answer; absent = no gateway is asked. */
  readonly reach?: string | undefined
  /** Gets one line (with its newline) for each finding. */
  readonly write: (line: string) => void
  /** The kinds that the API server must serve; default: those of this program. */
  readonly kinds?: readonly OwnKind[]
}

/** Longest time of all questions to issuers, cluster and gateway together, in milliseconds. */
const limitMs = 60_000

const actorsOf = (role: CheckedRole): readonly Actor[] => (role === "all" ? ["operator", "gateway"] : [role])

type PluginFile = { readonly path: string; readonly sha256?: string | undefined }

const checkPlugin = async ({ path, sha256 }: PluginFile): Promise<Finding> => {
  const what = `plugin ${path}`
  try {
    const digest = createHash("sha256")
      .update(await readFile(path))
      .digest("hex")
    if (sha256 === undefined) return { what, ok: true, detail: `is there, not pinned; its sha256 is ${digest}` }
    if (sha256 === digest) return { what, ok: true, detail: "is there, with the configured sha256" }
    const help = "do not run it unless you know why it differs; then correct plugins[].sha256"
    return { what, ok: false, detail: `its sha256 is ${digest}, not the configured one`, help }
  } catch (error) {
    return { what, ok: false, detail: readProblem(error), help: "correct plugins[].path" }
  }
}

/** Checks the cluster. If the API server cannot be used, the other questions are skipped. */
const checkCluster = async function* (check: ClusterCheck): AsyncGenerator<Finding> {
  const server = await checkServer(check)
  yield server
  if (!server.ok) return
  for (const step of [checkNamespaces, checkKinds, checkRights, checkSecrets]) yield* await step(check)
}

const toCheck = (
  cluster: KubeCluster,
  { config }: Loaded,
  { role, kinds, signal }: CheckRequest & Pick<ClusterCheck, "signal">,
): ClusterCheck => ({
  preflight: createPreflight(cluster.transport),
  kinds: kinds ?? ownKinds(),
  actors: actorsOf(role),
  namespaces: {
    own: cluster.ownNamespace ?? config.kubernetes.namespace,
    instances: config.kubernetes.namespace,
  },
  keysSecret: config.gateway.keys_secret,
  needsBootstrapToken: needsBootstrapToken(config.auth),
  signal,
})

/** Checks the issuers, which only gateways use; nothing for the role operator. */
const checkIssuersFor = (
  { config }: Loaded,
  { role, outgoing }: Pick<CheckRequest, "role"> & { readonly outgoing: OutgoingGuard },
  signal: AbortSignal,
): Promise<readonly Finding[]> => {
  const { issuers } = config.auth
  if (!actorsOf(role).includes("gateway")) return Promise.resolve([])
  const fetch = issuersFetch(outgoing, config)
  return checkIssuers({ issuers, publicUrl: config.gateway.public_url, fetch, signal })
}

const toGatewayCheck = (url: string, { config }: Loaded, { signal }: ClusterCheck): GatewayCheck => ({
  url,
  publicUrl: config.gateway.public_url,
  clock: systemClock,
  signal,
})

const silent = { level: "error", format: "text", write: () => {}, processMetrics: false } as const

const findings = async function* (request: CheckRequest): AsyncGenerator<Finding> {
  const loaded = loadConfig(request)
  const { kubeconfig } = loaded.config.kubernetes
  const telemetry = createTelemetry(silent)
  const cluster = createKubeCluster({ kubeconfig, fieldManager: "reflow-check", clock: systemClock, telemetry })
  try {
    for (const warning of loaded.warnings) yield { what: "configuration", ok: true, detail: warning }
    yield { what: "configuration", ok: true, detail: "can be loaded" }
    for (const { path, sha256 } of loaded.config.plugins)
      if (path !== undefined) yield await checkPlugin({ path, sha256 })
    const signal = AbortSignal.timeout(limitMs)
    const apiServer = () => cluster.server
    const outgoing = createOutgoing({ config: loaded.config, telemetry, role: "gateway", apiServer })
    yield* await checkIssuersFor(loaded, { ...request, outgoing }, signal)
    const check = toCheck(cluster, loaded, { ...request, signal })
    yield* checkCluster(check)
    if (request.reach !== undefined) yield await checkGateway(toGatewayCheck(request.reach, loaded, check))
  } finally {
    await cluster.close()
  }
}

/** The finding for an error that ended the check, e.g. because the configuration cannot be read. */
const unfinished = (error: unknown): Finding => {
  const { code, message } = toAppError(error)
  return {
    what: code === "ConfigInvalid" ? "configuration" : "check",
    ok: false,
    detail: message,
    help: errorTable[code].help,
  }
}

/** Writes a line for each finding; resolves with true if none is a failure. Never rejects. */
export const runCheck = async (request: CheckRequest): Promise<boolean> => {
  let allWell = true
  const report = (finding: Finding): void => {
    allWell &&= finding.ok
    request.write(findingText(finding))
  }
  try {
    for await (const finding of findings(request)) report(finding)
  } catch (error) {
    report(unfinished(error))
  }
  return allWell
}
