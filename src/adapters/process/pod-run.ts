import { type Container, type Pod, serverContainer } from "../../api/kinds/pod.ts"
import type { LogQuery } from "../../ports/cluster.ts"
import { afterRestart, type Backoff, type RunEnd, restartDelay, runContainer } from "./container-run.ts"
import { type ResolvedContainer, resolveContainer } from "./environment.ts"
import type { Child } from "./launch.ts"
import { createLogRing, type LogRing, terminationMessage } from "./log-ring.ts"
import { createPodReport, type NodeDeps, type PodCalls, type PodReport, persist, refOf } from "./pod-report.ts"
import { reportsPortTaken } from "./ports.ts"
import { fieldValue, missingText, readSecrets, secretAppears, unsupportedSource } from "./sources.ts"
import {
  type ContainerView,
  firstView,
  isLastRun,
  toEnded,
  toRefused,
  toRunning,
  toStartError,
  toTerminated,
  toWaiting,
} from "./status.ts"

/** A Pod that this node runs. */
export type PodRun = {
  /** Ends the container within `graceMs` milliseconds. A further call can only shorten that time. */
  stop(graceMs: number): void
  /** The container's log; empty before its first run. */
  logs(query: LogQuery): string
  /** The log of the newest run as it is written; ends with that run, or at once if there was none. */
  follow(query: LogQuery, signal: AbortSignal | undefined): AsyncIterable<string>
  /** Resolves when all processes of the Pod have ended. Never rejects. */
  readonly done: Promise<void>
}

type Run = {
  readonly deps: NodeDeps
  readonly pod: Pod
  readonly container: Container
  readonly calls: PodCalls
  readonly report: PodReport
  readonly stop: AbortController
  graceMs: number
  view: ContainerView
  child: Child | undefined
  port: number | undefined
  /** Logs by run, the newest last; at most two. */
  rings: readonly LogRing[]
}

/** A server that ends within this time, milliseconds, with a log message about a port in use gets another port. */
const stolenMs = 10_000

const noCommand = (image: string): string =>
  `The embedded cluster runs commands, not images: give the target a command, or use a real cluster to run ${image}.`

const show = (run: Run, view: ContainerView): void => {
  run.view = view
  run.report.show(view)
}

/** Takes a port, the former one if it is still free, and writes a new port into the Pod's annotation. */
const takePort = async (run: Run, former = run.port): Promise<number> => {
  const { ports } = run.deps
  if (former !== undefined) ports.release(former)
  const port = await ports.take(former)
  run.port = port
  if (port !== former) await run.report.bind(port)
  return port
}

/**
 * Takes another port in place of one that another program has; the old one is released afterwards, so it is not taken
 * again.
 */
const changePort = async (run: Run): Promise<number> => {
  const stolen = run.port
  run.port = await run.deps.ports.take()
  if (stolen !== undefined) run.deps.ports.release(stolen)
  await run.report.bind(run.port)
  return run.port
}

type Resolve = (port: number) => ResolvedContainer

/** Writes into status and an Event why the container cannot be created. */
const reportMissing = (run: Run, message: string): void => {
  show(run, toWaiting(run.view, "CreateContainerConfigError", message))
  run.report.recordEvent("Warning", "Failed", `Error: ${message}`)
}

/**
 * Waits for the Secrets that the container needs; returns a function that makes its environment. Undefined once
 * stopped.
 */
const resolve = async (run: Run): Promise<Resolve | undefined> => {
  const { deps, container, calls } = run
  const { cluster, baseEnvironment: base } = deps
  const { namespace } = refOf(run.pod)
  const { signal } = run.stop
  while (!signal.aborted) {
    const read = () => readSecrets(cluster, namespace, container, signal)
    const found = await persist(calls, "reading a Pod's Secrets", read)
    if (found === undefined) return undefined
    const { missing, values: secrets } = found
    const field = (path: string) => fieldValue(run.pod, deps.nodeName, path)
    if (missing === undefined) return (port) => resolveContainer({ container, secrets, field, base, port })
    reportMissing(run, missingText(missing, namespace, secrets.has(missing.secret)))
    await secretAppears(cluster, namespace, missing, signal)
  }
  return undefined
}

type Ran = { readonly end: RunEnd; readonly ring: LogRing; readonly secretValues: readonly string[] }

const onRunning = (run: Run, child: Child, log: LogRing, restartCount: number): void => {
  const { calls, container, deps, port, report } = run
  run.child = child
  run.rings = [...run.rings.slice(-1), log]
  calls.log.info("server process started", { pid: child.pid, port, restarts: restartCount })
  show(run, toRunning(run.view, container, { pid: child.pid, restartCount, now: deps.clock.now() }))
  report.recordEvent("Normal", "Started", `Started container ${container.name}`)
}

const runAt = async (run: Run, port: number, resolved: ResolvedContainer, restartCount: number): Promise<Ran> => {
  const { deps, container, report } = run
  const { workingDirectory, clock } = deps
  const log = createLogRing()
  const restarts = `Container ${container.name} failed`
  const end = await runContainer({
    ...{ container, resolved, port, workingDirectory, log, clock },
    stop: run.stop.signal,
    graceMs: () => run.graceMs,
    onRunning: (child) => onRunning(run, child, log, restartCount),
    onHealth: (health) => show(run, { ...run.view, ...health }),
    onUnhealthy: (probe, message) => report.recordEvent("Warning", "Unhealthy", `${probe} probe failed: ${message}`),
    onKilling: (probe) =>
      report.recordEvent("Normal", "Killing", `${restarts} ${probe.toLowerCase()} probe, will be restarted`),
  })
  run.child = undefined
  log.end()
  return { end, ring: log, secretValues: resolved.secretValues }
}

const portWasTaken = ({ end, ring }: Ran): boolean =>
  end.kind === "ended" &&
  end.exit.code !== 0 &&
  end.endedAt - end.startedAt < stolenMs &&
  reportsPortTaken(ring.read({ tailLines: 80 }))

/** One run, with a second attempt at another port if another program had the first. Undefined once stopped. */
const runOnce = async (run: Run, restartCount: number): Promise<Ran | undefined> => {
  const resolved = await resolve(run)
  if (resolved === undefined) return undefined
  const port = await takePort(run)
  const ran = await runAt(run, port, resolved(port), restartCount)
  if (!portWasTaken(ran) || run.stop.signal.aborted) return ran
  run.calls.log.info("another program took the port; trying another one", { port })
  run.rings = run.rings.slice(0, -1)
  // the other program at the old port may have answered the probes
  show(run, toWaiting(run.view, "ContainerCreating"))
  const other = await changePort(run)
  return runAt(run, other, resolved(other), restartCount)
}

/** Writes the end of a run into status and Events; returns the exit code. */
const showEnd = async (run: Run, { end, ring, secretValues }: Ran, restartCount: number): Promise<number> => {
  const { calls, container, deps, report } = run
  if (end.kind === "refused") {
    show(run, toRefused(restartCount, toStartError(end.message, deps.clock.now())))
    report.recordEvent("Warning", "Failed", `Error: ${end.message}`)
    calls.log.warn("server process could not be started", { reason: end.message })
    return 128
  }
  const fromLog = container.terminationMessagePolicy === "FallbackToLogsOnError"
  const message = fromLog ? await terminationMessage(ring, (text) => deps.hide(text, secretValues)) : ""
  const terminated = toTerminated({ ...end, message })
  show(run, toEnded(run.view, terminated))
  const { exitCode, signal } = terminated
  calls.log.info("server process ended", { exitCode, ...(signal === undefined ? {} : { signal }) })
  return exitCode
}

/** Waits before the next run as long as the kubelet would; see {@link restartDelay}. */
const backOff = async (run: Run, backoff: Backoff | undefined, endedAt: number): Promise<void> => {
  const { deps, container, pod, report } = run
  const delay = restartDelay(backoff, endedAt)
  if (delay === 0) return
  const { namespace, name } = refOf(pod)
  const message = `restarting failed container=${container.name} pod=${name}_${namespace}(${pod.metadata.uid})`
  show(run, toWaiting(run.view, "CrashLoopBackOff", `back-off ${delay / 1000}s ${message}`))
  report.recordEvent("Warning", "BackOff", `Back-off ${message}`)
  await deps.clock.sleep(delay, run.stop.signal).catch(() => {})
}

/** Runs the container again and again until stopped, or until the restart policy demands no further run. */
const runUntilStopped = async (run: Run): Promise<void> => {
  const { container, deps, pod, stop } = run
  if ((container.command ?? []).length === 0) {
    await run.report.bind(undefined)
    show(run, toWaiting(run.view, "ErrImageNeverPull", noCommand(container.image)))
    return run.report.recordEvent("Warning", "Failed", `Error: ErrImageNeverPull: ${noCommand(container.image)}`)
  }
  const unsupported = unsupportedSource(container, (path) => fieldValue(pod, deps.nodeName, path) !== undefined)
  if (unsupported !== undefined) {
    await run.report.bind(undefined)
    return reportMissing(run, unsupported)
  }
  await takePort(run)
  show(run, run.view)
  let backoff: Backoff | undefined
  for (let restarts = 0; !stop.signal.aborted; restarts++) {
    const ran = await runOnce(run, restarts)
    if (ran === undefined || stop.signal.aborted) return
    const endedAt = deps.clock.now()
    if (isLastRun(pod.spec.restartPolicy, await showEnd(run, ran, restarts))) return
    await backOff(run, backoff, endedAt)
    backoff = afterRestart(backoff, endedAt, deps.clock.now())
  }
}

const logsOf = (run: Run, { previous, ...query }: LogQuery): string => {
  const isWaiting = run.view.state.waiting !== undefined
  // while the next run waits, the newest ring is the log of the run before the restart
  const ring = previous === true && !isWaiting ? run.rings.at(-2) : run.rings.at(-1)
  const exists = previous !== true || run.view.lastState !== undefined
  return exists ? (ring?.read(query) ?? "") : ""
}

const nothing = async function* (): AsyncGenerator<string> {}

/** Kills the container after `graceMs` unless it has ended by then. */
const endWithin = (run: Run, graceMs: number, done: Promise<void>): void => {
  const cancel = run.deps.clock.timer(graceMs, () => run.child?.signal("SIGKILL"))
  void done.then(cancel)
}

/** Runs a Pod's container until it is stopped. */
export const runPod = (deps: NodeDeps, pod: Pod): PodRun => {
  const container = pod.spec.containers.find(({ name }) => name === serverContainer) ?? pod.spec.containers[0]
  const stop = new AbortController()
  if (container === undefined) return { stop: () => {}, logs: () => "", follow: nothing, done: Promise.resolve() }
  const { cluster, clock } = deps
  const calls: PodCalls = { cluster, clock, log: deps.log.child({ pod: pod.metadata.name }), signal: stop.signal }
  const report = createPodReport(deps, pod, container, calls)
  const fresh = { graceMs: 0, view: firstView, child: undefined, port: undefined, rings: [] }
  const run: Run = { deps, pod, container, calls, report, stop, ...fresh }
  const done = runUntilStopped(run)
    .catch((error: unknown) => calls.log.error("a Pod's run broke off", { error }))
    .finally(() => {
      if (run.port !== undefined) deps.ports.release(run.port)
    })
  return {
    stop: (graceMs) => {
      if (stop.signal.aborted) endWithin(run, graceMs, done)
      run.graceMs = graceMs
      stop.abort()
    },
    logs: (query) => logsOf(run, query),
    follow: (query, signal) => run.rings.at(-1)?.follow(query, signal) ?? nothing(),
    done,
  }
}
