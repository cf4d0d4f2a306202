/**
 * Several gateways over one embedded cluster, in this process: what a Deployment of gateways is, with real servers as
 * local processes. Each has its own client, caches, keys and port, and can be cut off or lost.
 */
import { randomBytes } from "node:crypto"
import { resolve } from "node:path"
import { gatewaysLeaseName } from "../../src/adapters/kube/access.ts"
import { createMemoryCluster, type MemoryCluster } from "../../src/adapters/memory/cluster.ts"
import { createProcessNode } from "../../src/adapters/process/node.ts"
import { systemClock as clock } from "../../src/adapters/system/clock.ts"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { MCPTargetSpec, mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import { loadConfig } from "../../src/config/load.ts"
import type { Config } from "../../src/config/schema.ts"
import { withoutSecrets } from "../../src/credentials/mask.ts"
import { mintDevToken } from "../../src/identity/own-tokens.ts"
import { createOperator } from "../../src/operator/controller.ts"
import { type Front, startFront } from "../../src/roles/front.ts"
import { type HttpListener, startHttpListener } from "../../src/roles/listen/http-listener.ts"
import { createOutgoing } from "../../src/roles/outgoing.ts"
import { loadPlugins } from "../../src/roles/plugins.ts"
import { createStarted, type Started } from "../../src/roles/role.ts"
import { createMetrics } from "../../src/telemetry/telemetry.ts"
import { createFaults, type Faults } from "./faults.ts"
import { quietTelemetry } from "./quiet-telemetry.ts"

const namespace = "reflow"
const root = resolve(import.meta.dirname, "../..")

/** One gateway. */
export type Replica = {
  readonly url: string
  readonly gateway: Front["gateway"]
  readonly targets: Front["targets"]
  /** Faults between this gateway and the cluster. */
  readonly faults: Faults
  /** What it measured, in the Prometheus text format. */
  metrics(): Promise<string>
  /** Lets its watches hear nothing more. */
  stall(): void
  /** Ends it as a machine that fails does: every connection breaks, nothing is tidied up in the cluster. */
  lose(): Promise<void>
}

/** Gateways over one cluster. */
export type Fronts = {
  readonly cluster: MemoryCluster
  /** Those that are not lost. */
  readonly replicas: readonly Replica[]
  token(subject: string): Promise<string>
  /** Starts one more gateway. */
  add(set?: Readonly<Record<string, string>>): Promise<Replica>
  addTarget(name: string, command: readonly string[], more?: Partial<MCPTargetSpec>): Promise<void>
  /** Adds a target by its whole spec, which need not have its defaults. */
  addSpec(name: string, spec: object): Promise<void>
  /** Instances of a target. */
  instances(target: string): Promise<readonly MCPInstance[]>
  close(): Promise<void>
}

/** The configuration of the role dev with these values. */
export const configOf = (set: Readonly<Record<string, string>>): Config => {
  const assignments = Object.entries({ "kubernetes.namespace": namespace, ...set }).map(([key, text]) => ({
    path: key.split("."),
    text,
    source: "the test",
  }))
  return loadConfig({ settings: { file: undefined, assignments }, role: "dev", environment: {} }).config
}

const startCluster = async (started: Started, config: Config): Promise<MemoryCluster> => {
  const telemetry = quietTelemetry()
  const cluster = createMemoryCluster({ clock, telemetry })
  await started.add("cluster", cluster.close)
  const node = createProcessNode({
    cluster: cluster.client({ fieldManager: "reflow-node" }),
    namespace,
    clock,
    telemetry,
    baseEnvironment: { PATH: `${root}/node_modules/.bin:${process.env.PATH}` },
    workingDirectory: root,
    hide: withoutSecrets,
    platform: process.platform,
  })
  await started.add("node", node.close)
  cluster.registerLogs(node)
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

type Shared = { readonly cluster: MemoryCluster; readonly devKey: Uint8Array; readonly started: Started }

const startReplica = async ({ cluster, devKey, started }: Shared, config: Config): Promise<Replica> => {
  const faults = createFaults(clock)
  const telemetry = { ...quietTelemetry(), ...createMetrics(false) }
  let front: Front | undefined
  const listener: HttpListener = await startHttpListener("127.0.0.1:0", (request, response) =>
    front?.handler(request, response),
  )
  front = await startFront({
    cluster: cluster.client({ fieldManager: "reflow-gateway", intercept: faults }),
    clock,
    telemetry,
    config,
    publicUrl: "http://localhost",
    anyHost: true,
    ownNamespace: namespace,
    tokens: [],
    plugins: await loadPlugins({ config, clock, telemetry }),
    outgoing: createOutgoing({ config, telemetry, role: "dev" }),
    devKey,
    started,
    signal: new AbortController().signal,
  })
  await started.add("listener", listener.close)
  const { gateway, targets } = front
  return {
    url: listener.url,
    gateway,
    targets,
    faults,
    metrics: telemetry.metrics,
    stall: () => faults.lag(24 * 3_600_000),
    lose: async () => {
      await listener.close()
      await gateway.close()
    },
  }
}

/** Resolves when a watch has told of an object. */
const known = (objects: Replica["targets"], name: string): Promise<void> =>
  new Promise((resolve) => {
    const look = () => {
      if (objects.get(name) === undefined) return
      unsubscribe()
      resolve()
    }
    const unsubscribe = objects.subscribe(look)
    look()
  })

/** Starts `count` gateways, with these values of the configuration. Close them. */
export const startFronts = async (count: number, set: Readonly<Record<string, string>> = {}): Promise<Fronts> => {
  const started = createStarted((name, error) => console.error(`${name} could not be closed`, error))
  const cluster = await startCluster(started, configOf(set))
  const shared = { cluster, devKey: randomBytes(32), started }
  const replicas: Replica[] = []
  const add = async (more: Readonly<Record<string, string>> = {}): Promise<Replica> => {
    const made = await startReplica(shared, configOf({ ...set, ...more }))
    const lose = async (): Promise<void> => {
      replicas.splice(replicas.indexOf(replica), 1)
      await made.lose()
    }
    const replica = { ...made, lose }
    replicas.push(replica)
    return replica
  }
  for (let index = 0; index < count; index++) await add()
  const addSpec: Fronts["addSpec"] = async (name, spec) => {
    await cluster.create(mcpTargetKind, {
      apiVersion: "mcp.reflow.io/v1alpha1",
      kind: "MCPTarget",
      metadata: { name, namespace },
      spec: MCPTargetSpec.parse(spec),
    })
    await Promise.all(replicas.map(({ targets }) => known(targets, name)))
  }
  return {
    cluster,
    replicas,
    add,
    token: (subject) => mintDevToken(shared.devKey, { subject, for: ["mcp", "api"], ttlSeconds: 3_600 }),
    addTarget: (name, command, more = {}) =>
      addSpec(name, { image: `example.invalid/${name}:1`, port: 8080, command, ...more }),
    addSpec,
    instances: async (target) => {
      const { items } = await cluster.list(mcpInstanceKind, { namespace })
      return items.filter(({ spec }) => spec.targetName === target)
    },
    close: started.close,
  }
}
