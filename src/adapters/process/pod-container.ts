import type { Container, Pod } from "../../api/kinds/pod.ts"
import { type HealthWatch, type RunEnd, runContainer } from "./container-run.ts"
import { type ResolvedContainer, resolveContainer } from "./environment.ts"
import type { Child } from "./launch.ts"
import { createLogRing, type LogRing } from "./log-ring.ts"
import { type NodeDeps, type PodCalls, type PodReport, persist, refOf } from "./pod-report.ts"
import { fieldValue, missingText, readSecrets, secretAppears, unsupportedSource } from "./sources.ts"
import { type ContainerView, toEnded, toRefused, toRunning, toStartError, toTerminated, toWaiting } from "./status.ts"
import { logMessage, messageFileOf, prepareMessageFile, takeMessage } from "./termination-message.ts"

/** A container of a Pod that the node runs, and what the node knows of it. */
export type PodContainer = {
  readonly container: Container
  /** What its process is called in the node's own log. */
  readonly kind: "server" | "init"
  view: ContainerView
  /** Logs by run, the newest last; at most two. */
  rings: readonly LogRing[]
}

/** A Pod's containers that the node runs; the init containers in their order. */
export type PodContainers = { readonly server: PodContainer; readonly inits: readonly PodContainer[] }

/** What the containers of one Pod share. Only one of them runs at a time. */
export type PodScope = {
  readonly deps: NodeDeps
  readonly pod: Pod
  readonly calls: PodCalls
  readonly report: PodReport
  /** Aborted when the Pod is to end. */
  readonly stop: AbortSignal
  /** Milliseconds from SIGTERM to SIGKILL once `stop` is aborted. */
  graceMs: number
  /** The process that runs now. */
  child: Child | undefined
}

const noCommand = (image: string): string =>
  `The embedded cluster runs commands, not images: give the target a command, or use a real cluster to run ${image}.`

/** Sets a container's state and writes the Pod's status. */
export const show = ({ report }: PodScope, each: PodContainer, view: ContainerView): void => {
  each.view = view
  report.show()
}

/** Writes into status and an Event why the container cannot be created. */
const showConfigError = (scope: PodScope, each: PodContainer, message: string): void => {
  show(scope, each, toWaiting(each.view, "CreateContainerConfigError", message))
  scope.report.recordEvent("Warning", "Failed", `Error: ${message}`)
}

const showNoCommand = (scope: PodScope, each: PodContainer): void => {
  const message = noCommand(each.container.image)
  show(scope, each, toWaiting(each.view, "ErrImageNeverPull", message))
  scope.report.recordEvent("Warning", "Failed", `Error: ErrImageNeverPull: ${message}`)
}

/** Resolves with true if the embedded cluster can never run this container; status and an Event say why then. */
export const isRefused = async (scope: PodScope, each: PodContainer): Promise<boolean> => {
  const { deps, pod, report } = scope
  const isImageOnly = (each.container.command ?? []).length === 0
  const unsupported = unsupportedSource(each.container, (path) => fieldValue(pod, deps.nodeName, path) !== undefined)
  if (!isImageOnly && unsupported === undefined) return false
  await report.bind(undefined)
  if (isImageOnly) showNoCommand(scope, each)
  else if (unsupported !== undefined) showConfigError(scope, each, unsupported)
  return true
}

/** Makes command line and environment of a run; `port` is the server's. */
type Resolve = (port?: number) => ResolvedContainer

/**
 * Waits for the Secrets that the container needs; returns a function that makes its environment. Undefined once
 * stopped.
 */
export const resolve = async (scope: PodScope, each: PodContainer): Promise<Resolve | undefined> => {
  const { calls, deps, pod, stop: signal } = scope
  const { container } = each
  const { cluster, baseEnvironment: base } = deps
  const { namespace } = refOf(pod)
  while (!signal.aborted) {
    const read = () => readSecrets(cluster, namespace, container, signal)
    const found = await persist(calls, "reading a Pod's Secrets", read)
    if (found === undefined) return undefined
    const { missing, values: secrets } = found
    const field = (path: string) => fieldValue(pod, deps.nodeName, path)
    if (missing === undefined) return (port) => resolveContainer({ container, secrets, field, base, port })
    showConfigError(scope, each, missingText(missing, namespace, secrets.has(missing.secret)))
    await secretAppears(cluster, namespace, missing, signal)
  }
  return undefined
}

/** Input for {@link runOnce}. */
type Attempt = {
  readonly resolved: ResolvedContainer
  readonly restartCount: number
  /** Absent for an init container. */
  readonly health?: HealthWatch
}

/** A run of a container that is over. */
export type Ran = {
  readonly end: RunEnd
  readonly ring: LogRing
  /** What it wrote into its message file; "" if nothing. */
  readonly written: string
  readonly secretValues: readonly string[]
}

const onRunning = (scope: PodScope, each: PodContainer, attempt: Attempt, child: Child, ring: LogRing): void => {
  const { calls, deps, report } = scope
  const { container, kind } = each
  const { restartCount, health } = attempt
  scope.child = child
  each.rings = [...each.rings.slice(-1), ring]
  const port = health === undefined ? {} : { port: health.port }
  const facts = { container: container.name, pid: child.pid, ...port, restarts: restartCount }
  calls.log.info(`${kind} process started`, facts)
  show(scope, each, toRunning(each.view, container, { pid: child.pid, restartCount, now: deps.clock.now() }))
  report.recordEvent("Normal", "Started", `Started container ${container.name}`)
}

/** Runs a container once, from its start to its end. */
export const runOnce = async (scope: PodScope, each: PodContainer, attempt: Attempt): Promise<Ran> => {
  const { workingDirectory, clock } = scope.deps
  const { container } = each
  const { resolved, health } = attempt
  const ring = createLogRing()
  const file = messageFileOf(container, workingDirectory)
  if (file !== undefined) await prepareMessageFile(file)
  const end = await runContainer({
    ...{ container, resolved, workingDirectory, log: ring, clock },
    stop: scope.stop,
    graceMs: () => scope.graceMs,
    onRunning: (child) => onRunning(scope, each, attempt, child, ring),
    ...(health === undefined ? {} : { health }),
  })
  scope.child = undefined
  ring.end()
  const written = file === undefined ? "" : await takeMessage(file)
  return { end, ring, written, secretValues: resolved.secretValues }
}

const isFailed = ({ end }: Ran): boolean => end.kind === "ended" && end.exit.code !== 0

/** The termination message: what the container wrote, else, by its policy, the end of a failed container's log. */
const messageOf = async ({ deps }: PodScope, { container }: PodContainer, ran: Ran): Promise<string> => {
  const isFromLog = container.terminationMessagePolicy === "FallbackToLogsOnError" && isFailed(ran)
  if (ran.written !== "" || !isFromLog) return ran.written
  return logMessage(ran.ring, (text) => deps.hide(text, ran.secretValues))
}

/** Writes the end of a run into status and Events; returns the exit code. */
export const showEnd = async (scope: PodScope, each: PodContainer, ran: Ran, restartCount: number): Promise<number> => {
  const { calls, deps, report } = scope
  const { end } = ran
  const { kind, container } = each
  if (end.kind === "refused") {
    show(scope, each, toRefused(restartCount, toStartError(end.message, deps.clock.now())))
    report.recordEvent("Warning", "Failed", `Error: ${end.message}`)
    calls.log.warn(`${kind} process could not be started`, { container: container.name, reason: end.message })
    return 128
  }
  const terminated = toTerminated({ ...end, message: await messageOf(scope, each, ran) })
  show(scope, each, toEnded(each.view, terminated))
  const { exitCode, signal } = terminated
  const facts = { container: container.name, exitCode, ...(signal === undefined ? {} : { signal }) }
  calls.log.info(`${kind} process ended`, facts)
  return exitCode
}
