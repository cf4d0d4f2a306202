import { gatewaysLeaseName } from "../../adapters/kube/access.ts"
import { createMemoryCluster, type MemoryCluster } from "../../adapters/memory/cluster.ts"
import { createProcessNode, requirePlatform } from "../../adapters/process/node.ts"
import { systemClock as clock } from "../../adapters/system/clock.ts"
import type { Config } from "../../config/schema.ts"
import { withoutSecrets } from "../../credentials/mask.ts"
import { AppError } from "../../errors.ts"
import { configuredIssuers } from "../../identity/access.ts"
import { createDevTokens } from "../../identity/own-tokens.ts"
import { localBridge } from "../../operator/bridge-supply.ts"
import { createOperator } from "../../operator/controller.ts"
import type { OutgoingGuard } from "../../outgoing/guard.ts"
import { createRemoteProbe } from "../../outgoing/probe.ts"
import type { PluginHost } from "../../plugin/host.ts"
import { createTelemetry } from "../../telemetry/telemetry.ts"
import { version } from "../../version.ts"
import { type Front, startFront } from "../front.ts"
import { startHealth } from "../listen/health-listener.ts"
import type { HttpListener } from "../listen/http-listener.ts"
import { listenPublicly } from "../listen/public-listener.ts"
import { createOutgoing, placeOfListener } from "../outgoing.ts"
import { loadPlugins, outsideOf } from "../plugins.ts"
import { type Base, type RunningRole, runRole } from "../role.ts"
import { createTerminal, type Output, type Terminal } from "../terminal.ts"
import { bannerText } from "./banner.ts"
import { type Begun, begin } from "./begin.ts"
import { bridgeCommand } from "./bridge-command.ts"
import { createExample } from "./example.ts"
import { devToken, ensureDevKey } from "./key.ts"
import { localPackages } from "./local-packages.ts"
import { showProgress } from "./progress.ts"
import { answerOnceKept, keepChanges, openStateFolder, type Saver } from "./state.ts"
import type { DevState } from "./state-file.ts"
import { ensureSound, readTargets, targetPaths } from "./targets.ts"

/** Variables that most programs need. No other variable of this process's environment reaches a server, except LC_*. */
const passed: readonly string[] = [
  "HOME",
  "LANG",
  "LANGUAGE",
  "LOGNAME",
  "NODE_EXTRA_CA_CERTS",
  "PATH",
  "SHELL",
  "SSL_CERT_DIR",
  "SSL_CERT_FILE",
  "TMPDIR",
  "TZ",
  "USER",
  "XDG_CACHE_HOME",
]

/** The part of this process's environment that the embedded cluster's servers get, below their own variables. */
export const baseEnvironment = (environment: Readonly<Record<string, string | undefined>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(environment).flatMap(([name, value]) =>
      value !== undefined && (passed.includes(name) || name.startsWith("LC_")) ? [[name, value]] : [],
    ),
  )

/** Options of {@link startDev}. */
export type DevOptions = {
  readonly config: Config
  /** Variables of this process; servers get those of {@link baseEnvironment}. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Working directory of the servers. */
  readonly workingDirectory: string
  readonly platform: NodeJS.Platform
  /** Gets the banner. */
  readonly stdout: Output
  /** Gets log and progress. */
  readonly stderr: Output
  /** True: delete the targets and values kept from earlier runs. Default false. */
  readonly fresh?: boolean
}

type Deps = DevOptions & Base & { readonly terminal: Terminal }

/** Upper bound of the drain, in milliseconds, even if drain_timeout is longer: a user waits at the terminal. */
const longestDrainMs = 3_000

/** Lifetime of the banner's tokens in milliseconds: 30 days. */
const tokenMs = 30 * 24 * 3_600_000

/** Starts the embedded cluster. */
const startCluster = async ({ started, telemetry }: Deps): Promise<MemoryCluster> => {
  const cluster = createMemoryCluster({ clock, telemetry })
  await started.add("cluster", cluster.close)
  return cluster
}

/** Starts the embedded cluster's node and the operator; resolves when both are ready. */
const startOperator = async (
  deps: Deps,
  cluster: MemoryCluster,
  { plugins, outgoing }: { readonly plugins: PluginHost; readonly outgoing: OutgoingGuard },
): Promise<void> => {
  const { config, started, telemetry, environment, workingDirectory, platform } = deps
  const { namespace } = config.kubernetes
  const node = createProcessNode({
    cluster: cluster.client({ fieldManager: "reflow-node" }),
    namespace,
    clock,
    telemetry,
    baseEnvironment: baseEnvironment(environment),
    workingDirectory,
    hide: withoutSecrets,
    platform,
  })
  await started.add("node", node.close)
  cluster.registerLogs(node)
  const operator = createOperator({
    cluster: cluster.client({ fieldManager: "reflow-operator" }),
    clock,
    telemetry,
    options: {
      ...config.kubernetes,
      embedded: true,
      bridge: localBridge(bridgeCommand(process.argv)),
      localPackages: localPackages(environment, process.argv, workingDirectory),
    },
    outside: outsideOf(plugins, configuredIssuers(config.auth, { dev: true })),
    gateways: { namespace, name: gatewaysLeaseName },
    probe: createRemoteProbe(outgoing),
  })
  await started.add("operator", operator.close)
  await Promise.all([node.ready, operator.ready])
}

/** Stops accepting requests, asks the clients of streams to reconnect, and waits a bounded time for open calls. */
const drain = async ({ config }: Deps, { gateway }: Front, listener: HttpListener): Promise<void> => {
  const limit = new AbortController()
  const cancel = clock.timer(Math.min(config.kubernetes.drain_timeout, longestDrainMs), () => limit.abort())
  await listener.stopAccepting()
  await gateway.drain(limit.signal)
  cancel()
}

/** How to call this program here: in a clone `reflow` is not on the PATH, only the script of package.json exists. */
const programOf = ({ npm_lifecycle_event: script }: Deps["environment"]): string =>
  script === "start" || script === "reflow" ? "npm run --silent reflow --" : "reflow"

type Shown = { readonly url: string; readonly front: Front; readonly plugins: PluginHost; readonly back: Begun["back"] }

const printBanner = async (deps: Deps, cluster: MemoryCluster, { url, front, plugins, back }: Shown): Promise<void> => {
  const { config, environment, stdout, signal } = deps
  const { state_dir: folder } = config.dev
  const key = await ensureDevKey(folder)
  const mint = (subject: string, roles: readonly string[] = []) =>
    devToken(folder, { subject, groups: [], roles, purposes: ["mcp", "api"], ttlMs: tokenMs })
  const [role = "admin"] = config.auth.admin_roles
  const tokens = { alice: await mint("alice"), bob: await mint("bob"), admin: await mint("admin", [role]) }
  const alice = await createDevTokens(key)(tokens.alice)
  if (alice === undefined || "noIdentity" in alice)
    throw new AppError("Internal", { detail: "The banner's token is none." })
  const judge = createExample({ cluster, config, plugins, signal })
  const found = [...front.targets.items()].map(async (target) => ({
    ...(await judge(target, alice.identity)),
    boundary: target.spec.subjectKey?.strategy ?? target.spec.isolationBoundary,
  }))
  const targets = (await Promise.all(found)).sort((left, right) => (left.name < right.name ? -1 : 1))
  stdout.write(
    bannerText({ version, url, program: programOf(environment), targets, tokens, state: { folder, ...back } }),
  )
}

/**
 * Fills the cluster with the kept state and the targets of files, and saves every change from then on. Throws
 * `ConfigInvalid` with all problems of the files.
 */
const fillCluster = async (deps: Deps, cluster: MemoryCluster, state: DevState): Promise<Begun & { saver: Saver }> => {
  const { config, telemetry, started, signal } = deps
  const { namespace } = config.kubernetes
  const { log } = telemetry
  const { documents, problems } = readTargets(targetPaths(config.dev.targets), namespace)
  const begun = await begin({ cluster, namespace, state, documents, log, signal })
  ensureSound([...problems, ...begun.problems])
  const saver = keepChanges({ cluster, namespace, log }, begun, config.dev.state_dir)
  // at the end, retry a write that failed before
  await started.add("kept targets and values", () => {
    saver.touch()
    return saver.settled()
  })
  return { ...begun, saver }
}

const start = async (deps: Deps): Promise<{ readonly url: string }> => {
  const { config, telemetry, terminal, started, signal } = deps
  const { namespace } = config.kubernetes
  // before the state folder is read or created
  requirePlatform(deps.platform)
  const folder = await openStateFolder(config.dev.state_dir, deps.fresh === true)
  await started.add("state folder", folder.close)
  const { listener, serve, publicUrl: url } = await listenPublicly(deps)
  const cluster = await startCluster(deps)
  const { saver, back } = await fillCluster(deps, cluster, folder.state)
  const gatewayCluster = answerOnceKept(cluster.client({ fieldManager: "reflow-gateway" }), saver)
  const plugins = await loadPlugins({ ...deps, clock, cluster: gatewayCluster })
  const listeners = [placeOfListener(config.gateway.listen, listener)]
  const outgoing = createOutgoing({ config, telemetry, role: "dev", listeners })
  await startOperator(deps, cluster, { plugins, outgoing })
  const devKey = await ensureDevKey(config.dev.state_dir)
  const front = await startFront({
    ...deps,
    cluster: gatewayCluster,
    clock,
    publicUrl: url,
    anyHost: false,
    ownNamespace: namespace,
    tokens: config.auth.tokens,
    plugins,
    outgoing,
    devKey,
  })
  const endProgress = showProgress({ instances: front.instances, clock, terminal, log: telemetry.log })
  await started.add("progress", endProgress)
  await startHealth(deps, { isReady: () => !signal.aborted })
  await started.add("requests", () => drain(deps, front, listener))
  signal.throwIfAborted()
  serve(front)
  await printBanner(deps, cluster, { url, front, plugins, back })
  return { url }
}

/**
 * The role dev: embedded cluster, node, operator, gateway and REST API in one process on one port, for one user on one
 * machine. `ready` rejects with PlatformUnsupported, PortInUse, StateInUse, StateInvalid, PluginFailed or ConfigInvalid
 * (also for a fault in a file of targets).
 */
export const startDev = (options: DevOptions): RunningRole<{ readonly url: string }> => {
  const { config, stderr } = options
  const terminal = createTerminal(stderr)
  const telemetry = createTelemetry({
    ...config.log,
    write: terminal.line,
    processMetrics: config.metrics.listen !== undefined,
  })
  return runRole({ config, telemetry }, (base) => start({ ...options, ...base, terminal }))
}
