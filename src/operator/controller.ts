import { controllerUID, type KubeObject } from "../api/kinds/kind.ts"
import { leaseKind } from "../api/kinds/kubernetes.ts"
import { type MCPInstance, mcpInstanceKind } from "../api/kinds/mcp-instance.ts"
import { type MCPTarget, mcpTargetKind } from "../api/kinds/mcp-target.ts"
import { labels } from "../api/names.ts"
import type { Config } from "../config/schema.ts"
import { AppError } from "../errors.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { Change, ClusterPort, ObjectRef } from "../ports/cluster.ts"
import type { ProbeRemote } from "../ports/remote-probe.ts"
import type { TelemetryPort } from "../ports/telemetry.ts"
import { backoffMs } from "../waiting/backoff.ts"
import type { BridgeSupply } from "./desired/bridge-delivery.ts"
import type { LocalPackages } from "./desired/local-packages.ts"
import { keptPodKind, keptServiceKind } from "./kept.ts"
import { instanceMetrics, probeCount, queueMetrics, reconcileMetrics } from "./metrics.ts"
import type { Observatory } from "./observe.ts"
import { checkPeriodically, nextReconcileMs } from "./periodic.ts"
import { createPlanner } from "./planner.ts"
import { createQueue, type Queue } from "./queue.ts"
import { isOutage, reconcileInstance } from "./reconcile.ts"
import { createProbes, noProbes, type Probes } from "./remote/probes.ts"
import { createGateways, createSightings } from "./sightings.ts"
import type { OutsideSettings, Settings } from "./snapshot.ts"
import { sweep } from "./sweep.ts"
import { countDebounceMs, instancesOf, reconcileTarget } from "./target.ts"
import { createView } from "./view.ts"

/** The operator's configuration. */
type OperatorOptions = Omit<Config["kubernetes"], "bridge"> & {
  /** True on the embedded cluster, where a Pod listens on the port that its node annotates. */
  readonly embedded: boolean
  /** How the bridge gets to stdio servers; undefined = they cannot run. */
  readonly bridge: BridgeSupply | undefined
  /** How packages are installed on the embedded cluster; absent on a real one. */
  readonly localPackages?: LocalPackages | undefined
}

/** Dependencies of the operator. */
type OperatorDeps = {
  readonly cluster: ClusterPort
  readonly clock: ClockPort
  readonly telemetry: TelemetryPort
  readonly options: OperatorOptions
  /** Settings of plugins and issuers; by default no plugins, and issuers unknown. */
  readonly outside?: Partial<OutsideSettings>
  /** The Lease in which gateways announce that they run; without it drains wait for no gateway. */
  readonly gateways?: ObjectRef
  /** How the servers of remote targets are probed; without it nothing is known of them. */
  readonly probe?: ProbeRemote
}

/** A running operator. */
export type Operator = {
  /** Resolves when its caches are filled and it reconciles; rejects with ShuttingDown if it is closed before. */
  readonly ready: Promise<void>
  /** False if a reconcile has run for more than 10 minutes: then only a new process can help. */
  isAlive(): boolean
  /** Aborts its writes and ends everything it started. The next operator finishes what is incomplete. */
  close(): Promise<void>
}

/** Most instances that are reconciled at the same time. */
const instanceWorkers = 10
/** Most targets that are reconciled at the same time. */
const targetWorkers = 1
/** A reconcile that takes longer is stuck, since each of its calls has a limit of seconds. */
const stuckMs = 10 * 60_000

/** Pause before a retry: 250 ms, doubling up to a minute, or up to 2 s while the API server does not answer. */
const backoff = (attempt: number, error: unknown): number =>
  backoffMs(attempt, { firstMs: 250, longestMs: isOutage(error) ? 2_000 : 60_000 })

type Core = OperatorDeps & { readonly at: Observatory; readonly settings: Settings }

/** Probes of the servers of remote targets; a change of what is known makes `onNews` reconcile the target. */
const probesOf = ({ probe, clock, telemetry, at }: Core, onNews: (name: string) => void): Probes => {
  if (probe === undefined) return noProbes
  const observer = queueMetrics(telemetry, "remoteprobe")
  const log = telemetry.log.child({ component: "operator" })
  return createProbes({ clock, probe, target: at.targets.get, onNews, count: probeCount(telemetry), observer, log })
}

const createQueues = (core: Core) => {
  const { cluster, clock, telemetry, settings, at } = core
  const { namespace } = settings
  const log = telemetry.log.child({ component: "operator" })
  const metrics = instanceMetrics(telemetry)
  const timeInstance = reconcileMetrics(telemetry, clock, { controller: "mcpinstance", workers: instanceWorkers })
  const timeTarget = reconcileMetrics(telemetry, clock, { controller: "mcptarget", workers: targetWorkers })
  const onError = (key: string, error: unknown) => {
    // without the API server every reconcile fails: the election logs that, and the metrics count the failures
    const level = isOutage(error) ? "debug" : "warn"
    log[level]("a reconcile failed and is tried again", { key, error })
  }
  const shared = { clock, backoff, onError }
  const wake = (other: string): void => instances.add(other)
  const instanceDeps = { cluster, namespace, at, metrics, log, wake }
  const instances: Queue = createQueue({
    ...shared,
    workers: instanceWorkers,
    observer: queueMetrics(telemetry, "mcpinstance"),
    work: (name, signal) =>
      timeInstance(async () => {
        const dueMs = await reconcileInstance(instanceDeps, name, signal)
        return dueMs === undefined ? undefined : nextReconcileMs(dueMs, settings.gc_interval, Math.random())
      }),
  })
  const probes = probesOf(core, (name) => targets.add(name))
  const of = { cluster, namespace, targets: at.targets, instances: at.instances, settings, now: clock.now, log }
  const targetDeps = { ...of, probedOf: probes.resultOf }
  const targets: Queue = createQueue({
    ...shared,
    workers: targetWorkers,
    observer: queueMetrics(telemetry, "mcptarget"),
    work: (name, signal) => timeTarget(() => reconcileTarget(targetDeps, name, signal)),
  })
  return { instances, targets, probes, metrics, log }
}

type Queues = ReturnType<typeof createQueues>

/** Reconciles all instances that wait for a place: one may have become free. */
const wakeWaiting = ({ at }: Core, { instances }: Queues): void => {
  for (const name of at.planner.waiting()) instances.add(name)
}

const onInstance = (core: Core, queues: Queues, { type, object }: Change<MCPInstance>): void => {
  const { planner, sightings, instances } = core.at
  const { uid = "", name } = object.metadata
  if (type === "deleted") {
    planner.forget(uid)
    sightings.forget(uid)
    queues.metrics.forget(uid)
    if (instances.get(name) === undefined) queues.instances.forget(name)
    wakeWaiting(core, queues)
  }
  const known = instances.get(name)
  if (known !== undefined) {
    sightings.see(known)
    planner.see(known)
    queues.metrics.see(known.metadata.uid ?? "", known.status?.phase)
    queues.instances.add(name)
  }
  queues.targets.addAfter(object.spec.targetName, countDebounceMs)
}

const onTarget = (core: Core, queues: Queues, { type, object, previous }: Change<MCPTarget>): void => {
  const isSame = previous !== undefined && previous.metadata.generation === object.metadata.generation
  if (!isSame || type === "deleted") core.at.planner.changed()
  if (type === "deleted") queues.probes.forget(object)
  if (isSame) return
  queues.targets.add(object.metadata.name)
  if (type !== "deleted") queues.probes.add(object)
  for (const instance of instancesOf(core.at.instances, object.metadata.name))
    queues.instances.add(instance.metadata.name)
}

/** After a change of a Pod or a Service: reconciles its owner, and an instance that needs the object's name. */
const onChild = (core: Core, queues: Queues, { type, object }: Change<KubeObject>): void => {
  core.at.planner.changed(controllerUID(object))
  const owner = object.metadata.ownerReferences?.find(({ kind }) => kind === mcpInstanceKind.kind)?.name
  for (const name of new Set([owner, object.metadata.labels?.[labels.instance], object.metadata.name]))
    if (name !== undefined && core.at.instances.get(name) !== undefined) queues.instances.add(name)
  if (type === "deleted") wakeWaiting(core, queues)
}

const subscribeAll = (core: Core, queues: Queues): (() => void) => {
  const { instances, targets, pods, services, gateways } = core.at
  for (const object of instances.items()) onInstance(core, queues, { type: "added", object })
  for (const object of targets.items()) onTarget(core, queues, { type: "added", object })
  const ends = [
    instances.subscribe((change) => onInstance(core, queues, change)),
    targets.subscribe((change) => onTarget(core, queues, change)),
    pods.subscribe((change) => onChild(core, queues, change)),
    services.subscribe((change) => onChild(core, queues, change)),
  ]
  return () => {
    for (const end of [...ends, instances.close, targets.close, pods.close, services.close, gateways.close]) end()
  }
}

/** Starts the periodic checks. They end when the signal aborts. */
const startPeriodic = (
  core: Core,
  { instances, targets, log, metrics }: Queues,
  signal: AbortSignal,
): Promise<void> => {
  const { cluster, clock, settings, at } = core
  const sweepDeps = { cluster, namespace: settings.namespace, ...at, log, onSwept: metrics.swept }
  const reconcileAll = (): void => {
    for (const { metadata } of at.instances.items()) instances.add(metadata.name)
  }
  const sweepOnce = async (): Promise<void> => {
    if ((await settings.bridge?.keep(signal)) === true) {
      reconcileAll()
      for (const { metadata } of at.targets.items()) targets.add(metadata.name)
    }
    await sweep(sweepDeps, signal)
  }
  return checkPeriodically({ clock, gcIntervalMs: settings.gc_interval, sweep: sweepOnce, reconcileAll, log }, signal)
}

/** Starts queues, subscriptions and the sweep. The caches must be filled. */
const work = (core: Core): Pick<Operator, "isAlive" | "close"> => {
  const queues = createQueues(core)
  const ending = new AbortController()
  const unsubscribe = subscribeAll(core, queues)
  const periodic = startPeriodic(core, queues, ending.signal)
  return {
    isAlive: () => Math.max(queues.instances.longestMs(), queues.targets.longestMs()) < stuckMs,
    close: async () => {
      ending.abort()
      unsubscribe()
      await Promise.all([queues.instances.close(), queues.targets.close(), queues.probes.close(), periodic])
      queues.metrics.close()
    },
  }
}

const nothingOutside: OutsideSettings = {
  podTemplates: new Set(),
  template: (pod) => pod,
  pluginFaults: () => [],
  knownIssuers: undefined,
}

/**
 * Starts the operator: it watches instances, targets, Pods and Services of one namespace, reconciles each instance, and
 * writes conditions. All its state can be rebuilt from the cluster, so it can be closed and created again at any time.
 */
export const createOperator = (deps: OperatorDeps): Operator => {
  const { cluster, clock, options, outside, gateways } = deps
  const selection = { namespace: options.namespace }
  const reflections = {
    instances: cluster.watch(mcpInstanceKind, selection),
    targets: cluster.watch(mcpTargetKind, selection),
    pods: cluster.watch(keptPodKind, selection),
    services: cluster.watch(keptServiceKind, selection),
  }
  const leases =
    gateways &&
    cluster.watch(leaseKind, { namespace: gateways.namespace, fieldSelector: `metadata.name=${gateways.name}` })
  const all = [...Object.values(reflections), ...(leases === undefined ? [] : [leases])]
  let closed = false
  let working: Pick<Operator, "isAlive" | "close"> | undefined

  const start = async (): Promise<void> => {
    await Promise.all(all.map(({ synced }) => synced))
    if (closed) throw new AppError("ShuttingDown", { detail: "The operator was closed before it was ready." })
    const settings: Settings = { ...nothingOutside, ...outside, ...options }
    const views = {
      instances: createView(reflections.instances, clock),
      targets: createView(reflections.targets, clock),
      pods: createView(reflections.pods, clock),
      services: createView(reflections.services, clock),
    }
    const sightings = createSightings(clock)
    const planner = createPlanner({ ...views, sightings, clock, settings })
    const at = { ...views, sightings, planner, gateways: createGateways(leases, clock), clock, settings }
    working = work({ ...deps, settings, at })
  }
  const ready = start()
  // a caller that closes the operator before it is ready need not handle the rejection
  ready.catch(() => {})
  return {
    ready,
    isAlive: () => working?.isAlive() !== false,
    close: async () => {
      closed = true
      await working?.close()
      await Promise.all(all.map((reflection) => reflection.close()))
      await ready.catch(() => {})
    },
  }
}
