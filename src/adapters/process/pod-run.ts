import { type Container, type Pod, serverContainer } from "../../api/kinds/pod.ts"
import { initContainersOf, runInit } from "./init-run.ts"
import type { PodContainer, PodContainers, PodScope } from "./pod-container.ts"
import { createPodLog, type PodLog } from "./pod-log.ts"
import { createPodReport, type NodeDeps, type PodCalls } from "./pod-report.ts"
import { runServer } from "./server-run.ts"
import { type ContainerView, firstView } from "./status.ts"

/** A Pod that this node runs. */
export type PodRun = {
  /** Ends the running container within `graceMs` milliseconds. A further call can only shorten that time. */
  stop(graceMs: number): void
  readonly log: PodLog
  /** Resolves when all processes of the Pod have ended. Never rejects. */
  readonly done: Promise<void>
}

const waiting = (container: Container, kind: PodContainer["kind"], view: ContainerView): PodContainer => ({
  ...{ container, kind, view },
  rings: [],
})

/** The Pod's server, and the init containers before it. Other containers beside the server are not run. */
const containersOf = (pod: Pod): PodContainers => {
  const { containers } = pod.spec
  // an API server accepts no Pod without containers
  const none: Container = { name: serverContainer, image: "" }
  const server = containers.find(({ name }) => name === serverContainer) ?? containers[0] ?? none
  const inits = initContainersOf(pod)
  const view = firstView(inits.length === 0 ? "ContainerCreating" : "PodInitializing")
  return { server: waiting(server, "server", view), inits: inits.map((each) => waiting(each, "init", view)) }
}

/** Runs the init containers one after another, then the server. The server gets its port only when they are done. */
const runAll = async (scope: PodScope, { server, inits }: PodContainers): Promise<void> => {
  if (inits.length > 0) {
    await scope.report.bind(undefined)
    scope.report.show()
  }
  for (const each of inits) if (!(await runInit(scope, each))) return
  await runServer(scope, server)
}

/** Kills the running container after `graceMs` unless it has ended by then. */
const endWithin = (scope: PodScope, graceMs: number, done: Promise<void>): void => {
  const cancel = scope.deps.clock.timer(graceMs, () => scope.child?.signal("SIGKILL"))
  void done.then(cancel)
}

/** Runs a Pod's containers until it is stopped. */
export const runPod = (deps: NodeDeps, pod: Pod): PodRun => {
  const stop = new AbortController()
  const { signal } = stop
  const { cluster, clock } = deps
  const calls: PodCalls = { cluster, clock, log: deps.log.child({ pod: pod.metadata.name }), signal }
  const containers = containersOf(pod)
  const report = createPodReport(deps, pod, containers, calls)
  const scope: PodScope = { deps, pod, calls, report, stop: signal, graceMs: 0, child: undefined }
  const done = runAll(scope, containers).catch((error: unknown) => calls.log.error("a Pod's run broke off", { error }))
  return {
    stop: (graceMs) => {
      if (signal.aborted) endWithin(scope, graceMs, done)
      scope.graceMs = graceMs
      stop.abort()
    },
    log: createPodLog(pod.metadata.name, containers),
    done,
  }
}
