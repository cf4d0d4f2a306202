import { constants } from "node:os"
import { isDeepStrictEqual } from "node:util"
import { toKubeTime } from "../../api/kinds/kind.ts"
import type { Container, ContainerState, ContainerStatus, Pod, PodCondition, PodStatus } from "../../api/kinds/pod.ts"

/** The `terminated` state of a container in a Pod's status. */
type Terminated = NonNullable<ContainerState["terminated"]>

/** The state of a Pod's one container, as the node knows it. */
export type ContainerView = {
  readonly state: ContainerState
  readonly lastState?: ContainerState
  readonly restartCount: number
  /** True if the container passed its startup probe, or runs and has none. */
  readonly started: boolean
  /** True if the container passes its readiness probe, or runs and has none. */
  readonly ready: boolean
  /** Process id of this run. */
  readonly pid?: number
}

/** The state of a container before its first start. */
export const firstView: ContainerView = {
  state: { waiting: { reason: "ContainerCreating" } },
  restartCount: 0,
  started: false,
  ready: false,
}

/** `lastState` for the next state: the end of the current run if it has ended, else the present `lastState`. */
const lastEnd = ({ state, lastState }: ContainerView): Pick<ContainerView, "lastState"> => {
  const last = state.terminated === undefined ? lastState : state
  return last === undefined ? {} : { lastState: last }
}

/** The container waits; `reason` and `message` are like the kubelet's. */
export const toWaiting = (view: ContainerView, reason: string, message?: string): ContainerView => ({
  state: { waiting: { reason, ...(message === undefined ? {} : { message }) } },
  ...lastEnd(view),
  restartCount: view.restartCount,
  started: false,
  ready: false,
})

/** A run has begun at `now` (epoch milliseconds). */
export const toRunning = (
  view: ContainerView,
  container: Container,
  run: { readonly pid: number; readonly restartCount: number; readonly now: number },
): ContainerView => {
  const started = container.startupProbe === undefined
  return {
    state: { running: { startedAt: toKubeTime(run.now) } },
    ...lastEnd(view),
    restartCount: run.restartCount,
    started,
    ready: started && container.readinessProbe === undefined,
    pid: run.pid,
  }
}

/** A run has ended. */
export const toEnded = (view: ContainerView, terminated: Terminated): ContainerView => ({
  state: { terminated },
  ...lastEnd(view),
  restartCount: view.restartCount,
  started: false,
  ready: false,
  ...(view.pid === undefined ? {} : { pid: view.pid }),
})

/**
 * The program could not be started: the container waits, and the failed start is its `lastState`, as with a kubelet.
 */
export const toRefused = (restartCount: number, terminated: Terminated): ContainerView => ({
  state: { waiting: { reason: "RunContainerError", message: terminated.message ?? "" } },
  lastState: { terminated },
  restartCount,
  started: false,
  ready: false,
})

/** How a process ended, as Node.js reports it. */
export type Exit = { readonly code: number | null; readonly signal: NodeJS.Signals | null }

/** Facts about an ended run. Times are epoch milliseconds. */
type EndOfRun = {
  readonly exit: Exit
  readonly startedAt: number
  readonly endedAt: number
  readonly message: string
}

/**
 * The terminated state of a process. A signal gives exit code 128 + its number, as in shells and container runtimes. A
 * process that was killed for lack of memory cannot be distinguished from any other SIGKILL here.
 */
export const toTerminated = ({ exit, startedAt, endedAt, message }: EndOfRun): Terminated => {
  const signal = exit.signal === null ? undefined : constants.signals[exit.signal]
  const exitCode = exit.code ?? 128 + (signal ?? 0)
  return {
    exitCode,
    ...(signal === undefined ? {} : { signal }),
    reason: exitCode === 0 ? "Completed" : "Error",
    ...(message === "" || exitCode === 0 ? {} : { message }),
    startedAt: toKubeTime(startedAt),
    finishedAt: toKubeTime(endedAt),
  }
}

/** The terminated state of a program that could not be started; exit code 128 as in containerd. */
export const toStartError = (message: string, at: number): Terminated => ({
  exitCode: 128,
  reason: "StartError",
  message,
  startedAt: toKubeTime(at),
  finishedAt: toKubeTime(at),
})

/** True if the restart policy allows no further run after this one. */
export const isLastRun = (policy: Pod["spec"]["restartPolicy"], exitCode: number): boolean =>
  policy === "Never" || (policy === "OnFailure" && exitCode === 0)

const phaseOf = (view: ContainerView, policy: Pod["spec"]["restartPolicy"]): PodStatus["phase"] => {
  const { waiting, terminated } = view.state
  if (terminated !== undefined && isLastRun(policy, terminated.exitCode))
    return terminated.exitCode === 0 ? "Succeeded" : "Failed"
  return waiting !== undefined && view.lastState === undefined ? "Pending" : "Running"
}

const conditionsOf = (name: string, view: ContainerView): PodCondition[] => {
  const ready: Omit<PodCondition, "type"> = view.ready
    ? { status: "True" }
    : { status: "False", reason: "ContainersNotReady", message: `containers with unready status: [${name}]` }
  return [
    { type: "PodScheduled", status: "True" },
    { type: "Initialized", status: "True" },
    { type: "ContainersReady", ...ready },
    { type: "Ready", ...ready },
  ]
}

/** `conditions` with lastTransitionTime, which becomes `now` only if the status of the condition changes. */
const withTimes = (conditions: readonly PodCondition[], before: PodStatus | undefined, now: string): PodCondition[] =>
  conditions.map((condition) => {
    const old = before?.conditions?.find(({ type }) => type === condition.type)
    const same = old?.status === condition.status && old.lastTransitionTime !== undefined
    return { ...condition, lastTransitionTime: same ? old.lastTransitionTime : now }
  })

const statusOf = (container: Container, view: ContainerView): ContainerStatus => ({
  name: container.name,
  ready: view.ready,
  started: view.started,
  restartCount: view.restartCount,
  image: container.image,
  imageID: "",
  ...(view.pid === undefined ? {} : { containerID: `process://${view.pid}` }),
  state: view.state,
  ...(view.lastState === undefined ? {} : { lastState: view.lastState }),
})

/** Input for {@link toPodStatus}. */
type StatusInput = {
  readonly pod: Pod
  readonly container: Container
  readonly view: ContainerView
  /** The status written before. */
  readonly before: PodStatus | undefined
  /** Epoch milliseconds. */
  readonly now: number
}

/** The status that the node reports for a Pod. */
export const toPodStatus = ({ pod, container, view, before, now }: StatusInput): PodStatus => {
  const phase = phaseOf(view, pod.spec.restartPolicy)
  return {
    ...(phase === undefined ? {} : { phase }),
    podIP: "127.0.0.1",
    startTime: before?.startTime ?? toKubeTime(now),
    conditions: withTimes(conditionsOf(container.name, view), before, toKubeTime(now)),
    containerStatuses: [statusOf(container, view)],
  }
}

/** True if writing `next` would change nothing. */
export const isSameStatus = (before: PodStatus | undefined, next: PodStatus): boolean => isDeepStrictEqual(before, next)
