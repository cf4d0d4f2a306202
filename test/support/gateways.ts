import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gatewaysLeaseName } from "../../src/adapters/kube/access.ts"
import { createMemoryCluster, type MemoryCluster } from "../../src/adapters/memory/cluster.ts"
import { createProcessNode } from "../../src/adapters/process/node.ts"
import { systemClock as clock } from "../../src/adapters/system/clock.ts"
import { parseCommand } from "../../src/cli/flags.ts"
import { loadConfig } from "../../src/config/load.ts"
import type { Config } from "../../src/config/schema.ts"
import { withoutSecrets } from "../../src/credentials/mask.ts"
import { mintDevToken } from "../../src/identity/own-tokens.ts"
import { createOperator } from "../../src/operator/controller.ts"
import type { ClusterPort } from "../../src/ports/cluster.ts"
import type { TelemetryPort } from "../../src/ports/telemetry.ts"
import { begin } from "../../src/roles/dev/begin.ts"
import { baseEnvironment } from "../../src/roles/dev/dev.ts"
import { ensureDevKey } from "../../src/roles/dev/key.ts"
import { emptyState } from "../../src/roles/dev/state-file.ts"
import { ensureSound, readTargets } from "../../src/roles/dev/targets.ts"
import { startFront } from "../../src/roles/front.ts"
import { startHttpListener } from "../../src/roles/listen/http-listener.ts"
import { createOutgoing } from "../../src/roles/outgoing.ts"
import { loadPlugins } from "../../src/roles/plugins.ts"
import { createStarted, type Started } from "../../src/roles/role.ts"
import { type Balancer, startBalancer } from "./balancer.ts"
import { quietTelemetry } from "./quiet-telemetry.ts"
import { repositoryFile } from "./reflow.ts"

/** Gateways that share nothing but a cluster, behind a balancer that sends each request to the next of them. */
export type Gateways = {
  readonly balancer: Balancer
  /** Where each of them listens. */
  readonly urls: readonly string[]
  /** The cluster, as an administrator sees it. */
  readonly cluster: ClusterPort
  readonly config: Config
  /** A token of the embedded default, for MCP and the REST API. */
  token(subject: string, who?: { readonly roles?: string[]; readonly groups?: string[] }): Promise<string>
  /**
   * A request to the REST API, by default as the administrator and at whichever gateway comes next; resolves with status
   * and parsed body.
   */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of any shape
  api(method: string, path: string, body?: unknown, how?: ApiCall): Promise<{ status: number; body: any }>
  close(): Promise<void>
}

/** Whose token a request to the REST API has, and to which gateway it goes. */
export type ApiCall = { readonly token?: string; readonly url?: string }

type Parts = {
  readonly config: Config
  readonly started: Started
  readonly signal: AbortSignal
  /** Makes the log and the metrics of one gateway. */
  readonly telemetry: () => TelemetryPort
}

/** The configuration of the role dev with these files. */
const configOf = (folder: string, targets: string): Config => {
  const file = join(folder, "targets.yaml")
  writeFileSync(file, targets)
  const flags = ["--role", "dev", "--targets", file, "--set", "gateway.listen=127.0.0.1:0"]
  const command = parseCommand([...flags, "--set", `dev.state_dir=${join(folder, "state")}`])
  if (command.kind !== "run") throw new Error("the flags do not start a role")
  return loadConfig({ settings: command.settings, role: "dev", environment: {} }).config
}

/** The embedded cluster with its node and its operator. */
const startCluster = async ({ config, started }: Parts): Promise<MemoryCluster> => {
  const { namespace } = config.kubernetes
  const telemetry = quietTelemetry()
  const cluster = createMemoryCluster({ clock, telemetry })
  await started.add("cluster", cluster.close)
  const node = createProcessNode({
    cluster: cluster.client({ fieldManager: "reflow-node" }),
    namespace,
    clock,
    telemetry,
    baseEnvironment: baseEnvironment(process.env),
    workingDirectory: repositoryFile("."),
    hide: withoutSecrets,
    platform: process.platform,
  })
  await started.add("node", node.close)
  const operator = createOperator({
    cluster: cluster.client({ fieldManager: "reflow-operator" }),
    clock,
    telemetry,
    options: { ...config.kubernetes, embedded: true, bridge: undefined },
    gateways: { namespace, name: gatewaysLeaseName },
  })
  await started.add("operator", operator.close)
  await Promise.all([node.ready, operator.ready])
  return cluster
}

/** One gateway with a server, client, caches, keys and connections of its own; resolves with its address. */
const startGateway = async (parts: Parts, cluster: MemoryCluster, publicUrl: string): Promise<string> => {
  const { config, started, signal } = parts
  const telemetry = parts.telemetry()
  const front = await startFront({
    ...parts,
    cluster: cluster.client({ fieldManager: "reflow-gateway" }),
    clock,
    telemetry,
    publicUrl,
    anyHost: false,
    ownNamespace: config.kubernetes.namespace,
    tokens: config.auth.tokens,
    plugins: await loadPlugins({ config, clock, telemetry }),
    outgoing: createOutgoing({ config, telemetry, role: "dev" }),
    devKey: await ensureDevKey(config.dev.state_dir),
  })
  const listener = await startHttpListener(config.gateway.listen, front.handler)
  await started.add("listener", listener.close)
  await started.add("requests", () => front.gateway.drain(AbortSignal.any([signal, AbortSignal.timeout(1_000)])))
  return listener.url
}

/** Starts an embedded cluster and gateways over it, in this process. Close them. */
export const startGateways = async (
  count: number,
  targets: string,
  telemetry: () => TelemetryPort = quietTelemetry,
): Promise<Gateways> => {
  const folder = mkdtempSync(join(tmpdir(), "reflow-gateways-"))
  const stop = new AbortController()
  const failures: unknown[] = []
  const started = createStarted((_, error) => failures.push(error))
  await started.add("folder", () => rmSync(folder, { recursive: true, force: true }))
  const config = configOf(folder, targets)
  const parts = { config, started, signal: stop.signal, telemetry }
  const cluster = await startCluster(parts)
  const { namespace } = config.kubernetes
  const admin = cluster.client({ fieldManager: "test" })
  const { documents, problems } = readTargets(config.dev.targets, namespace)
  const { log } = quietTelemetry()
  const begun = await begin({ cluster, namespace, state: emptyState, documents, log, signal: stop.signal })
  ensureSound([...problems, ...begun.problems])
  const balancer = await startBalancer()
  await started.add("balancer", balancer.close)
  // all at once, as a Deployment's Pods start: one of them makes what they share
  const urls = await Promise.all(Array.from({ length: count }, () => startGateway(parts, cluster, balancer.url)))
  balancer.lead(urls)
  const token: Gateways["token"] = async (subject, { roles = [], groups = [] } = {}) => {
    const key = await ensureDevKey(config.dev.state_dir)
    return mintDevToken(key, { subject, roles, groups, for: ["mcp", "api"], ttlSeconds: 3_600 })
  }
  return {
    balancer,
    urls,
    cluster: admin,
    config,
    token,
    api: async (method, path, body, how = {}) => {
      const as = how.token ?? (await token("root", { roles: ["admin"] }))
      const type = method === "PATCH" ? "application/merge-patch+json" : "application/json"
      const response = await fetch(`${how.url ?? balancer.url}/api${path}`, {
        method,
        headers: { authorization: `Bearer ${as}`, ...(body === undefined ? {} : { "content-type": type }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      const text = await response.text()
      return { status: response.status, body: text === "" ? undefined : JSON.parse(text) }
    },
    close: async () => {
      stop.abort()
      await started.close()
      if (failures.length > 0) throw new AggregateError(failures, "not everything could be closed")
    },
  }
}
