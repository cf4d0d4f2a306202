import { type Pod, podKind } from "../../api/kinds/pod.ts"
import { AppError } from "../../errors.ts"
import type { ClockPort } from "../../ports/clock.ts"
import type { Change, ClusterPort, LogQuery, LogStreamQuery, ObjectRef } from "../../ports/cluster.ts"
import type { TelemetryPort } from "../../ports/telemetry.ts"
import { type Hide, type NodeDeps, persist, refOf } from "./pod-report.ts"
import { type PodRun, runPod } from "./pod-run.ts"
import { createPorts } from "./ports.ts"

/** Dependencies and options of a process node. */
type ProcessNodeOptions = {
  readonly cluster: ClusterPort
  /** Namespace of the Pods that the node runs. */
  readonly namespace: string
  readonly clock: ClockPort
  readonly telemetry: TelemetryPort
  /**
   * Variables of every child, which the Pod's variables override: PATH, HOME, LANG, TMPDIR and the like. There are no
   * others.
   */
  readonly baseEnvironment: Readonly<Record<string, string>>
  /** Working directory of the commands. */
  readonly workingDirectory: string
  /** Masks secret values in a termination message that is taken from a container's log. */
  readonly hide: Hide
  /** Name that Pods are bound to; default `local`. */
  readonly nodeName?: string
  /** Milliseconds between SIGTERM and SIGKILL for servers on close; default 3000. */
  readonly closeGraceMs?: number
  /** Default: this machine's. */
  readonly platform?: NodeJS.Platform
}

/** The embedded cluster's node: scheduler and kubelet for Pods whose containers are local processes. */
export type ProcessNode = {
  /** Resolves when the node has started to run the Pods that existed before it. Never rejects. */
  readonly ready: Promise<void>
  /**
   * The log of a Pod's container, oldest line first; empty before its first start. Throws `ApiNotFound`, and
   * `ApiInvalid` for a container that the node does not run.
   */
  podLogs(ref: ObjectRef, query: LogQuery): Promise<string>
  /**
   * The same log as a stream; if followed, until the container's run ends or the signal is aborted. Throws as
   * {@link podLogs}.
   */
  streamLogs(ref: ObjectRef, query: LogStreamQuery, signal?: AbortSignal): AsyncIterable<string>
  /**
   * Ends all servers and the processes that they started, and waits a bounded time. The Pod objects stay in the
   * cluster.
   */
  close(): Promise<void>
}

/** How long close waits for killed processes after the grace period, milliseconds. */
const closeSlackMs = 6_000
const defaultCloseGraceMs = 3_000
/** Kubernetes' default of terminationGracePeriodSeconds. */
const defaultGraceSeconds = 30

type Kept = { readonly pod: Pod; readonly run: PodRun; removing: boolean }

const graceMsOf = (pod: Pod): number =>
  (pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? defaultGraceSeconds) * 1000

/** Deletes the Pod object, as the kubelet does once all processes of the Pod have ended. */
const removePod = (deps: NodeDeps, pod: Pod, signal: AbortSignal): Promise<unknown> => {
  const { uid } = pod.metadata
  const options = { gracePeriodSeconds: 0, signal, ...(uid === undefined ? {} : { preconditions: { uid } }) }
  const calls = { cluster: deps.cluster, clock: deps.clock, log: deps.log, signal }
  return persist(calls, "deleting a Pod", () => deps.cluster.delete(podKind, refOf(pod), options))
}

type State = { readonly deps: NodeDeps; readonly kept: Map<string, Kept>; readonly closing: AbortController }

const isOurs = (pod: Pod, nodeName: string): boolean =>
  pod.spec.nodeName === undefined || pod.spec.nodeName === nodeName

/**
 * Ends a Pod that is marked for deletion, then deletes the object. A later mark with less grace ends the Pod sooner.
 */
const endPod = ({ deps, kept, closing }: State, pod: Pod): void => {
  const uid = pod.metadata.uid ?? ""
  const entry = kept.get(uid)
  if (entry === undefined) void removePod(deps, pod, closing.signal)
  entry?.run.stop(graceMsOf(pod))
  if (entry === undefined || entry.removing) return
  entry.removing = true
  void entry.run.done.then(() => removePod(deps, pod, closing.signal)).then(() => kept.delete(uid))
}

const see = (state: State, pod: Pod): void => {
  const { deps, kept, closing } = state
  const uid = pod.metadata.uid ?? ""
  if (closing.signal.aborted || !isOurs(pod, deps.nodeName)) return
  if (pod.metadata.deletionTimestamp !== undefined) {
    endPod(state, pod)
    return
  }
  const isOver = pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed"
  if (!kept.has(uid) && !isOver) kept.set(uid, { pod, run: runPod(deps, pod), removing: false })
}

const onChange = (state: State, { type, object }: Change<Pod>): void => {
  const uid = object.metadata.uid ?? ""
  const entry = state.kept.get(uid)
  if (type !== "deleted") see(state, object)
  if (type !== "deleted" || entry === undefined) return
  // the Pod was deleted with grace 0: by a user, or by this node after the end of its processes
  entry.run.stop(0)
  void entry.run.done.then(() => state.kept.delete(uid))
}

const closeAll = async ({ deps, kept, closing }: State, graceMs: number): Promise<void> => {
  closing.abort()
  for (const { run } of kept.values()) run.stop(graceMs)
  const over = new AbortController()
  const late = deps.clock.sleep(graceMs + closeSlackMs, over.signal).then(
    () => deps.log.warn("servers are still ending"),
    () => {},
  )
  await Promise.race([Promise.all([...kept.values()].map(({ run }) => run.done)), late])
  over.abort()
}

/** Throws `PlatformUnsupported` on Windows. */
export const requirePlatform = (platform: NodeJS.Platform): void => {
  if (platform !== "win32") return
  throw new AppError("PlatformUnsupported", {
    detail: "The embedded cluster needs process groups and a POSIX shell, which Windows does not have.",
  })
}

/** Starts the node. Throws `PlatformUnsupported` on Windows. */
export const createProcessNode = (options: ProcessNodeOptions): ProcessNode => {
  const { cluster, namespace, clock, telemetry, baseEnvironment, workingDirectory, hide } = options
  requirePlatform(options.platform ?? process.platform)
  const deps: NodeDeps = {
    ...{ cluster, clock, baseEnvironment, workingDirectory, hide },
    log: telemetry.log.child({ component: "node" }),
    nodeName: options.nodeName ?? "local",
    ports: createPorts(),
  }
  const state: State = { deps, kept: new Map(), closing: new AbortController() }
  const pods = cluster.watch(podKind, { namespace })
  const unsubscribe = pods.subscribe((change) => onChange(state, change))
  for (const pod of pods.items()) see(state, pod)
  let closed: Promise<void> | undefined
  const find = (ref: ObjectRef): Kept => {
    const found = [...state.kept.values()].reverse().find(({ pod }) => pod.metadata.name === ref.name)
    if (found !== undefined && ref.namespace === namespace) return found
    throw new AppError("ApiNotFound", { detail: `pods "${ref.name}" not found` })
  }
  return {
    // rejects only if the node is closed before the first list
    ready: pods.synced.catch(() => {}),
    podLogs: async (ref, query) => find(ref).run.log.read(query),
    streamLogs: async function* (ref, { follow = false, ...query }, signal) {
      const { log } = find(ref).run
      if (follow) yield* log.follow(query, signal)
      else yield log.read(query)
    },
    close: () => {
      unsubscribe()
      closed ??= closeAll(state, options.closeGraceMs ?? defaultCloseGraceMs).finally(() => pods.close())
      return closed
    },
  }
}
