import { constants } from "node:os"
import { isDeepStrictEqual } from "node:util"
import { toKubeTime } from "../../api/kinds/kind.ts"
import type { Container, ContainerState, ContainerStatus, Pod, PodCondition, PodStatus } from "../../api/kinds/pod.ts"

/** The `terminated` state of a container in a Pod's status. */
type Terminated = NonNullable<ContainerState["terminated"]>

/** The state of a container, as the node knows it. */
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

/** A container of a Pod and its state. */
export type ContainerNow = { readonly container: Container; readonly view: ContainerView }

/**
 * The state of a container before its first start; `PodInitializing` in a Pod with init containers, as with a kubelet.
 */
export const firstView = (reason: "ContainerCreating" | "PodInitializing"): ContainerView => ({
  state: { waiting: { reason } },
  restartCount: 0,
  started: false,
  ready: false,
})

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
    ...(message === "" ? {} : { message }),
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

/** True if no further run of an init container is allowed after this one. Only success lets the Pod go on. */
export const isLastInitRun = (policy: Pod["spec"]["restartPolicy"], exitCode: number): boolean =>
  exitCode === 0 || policy === "Never"

const isComplete = ({ view }: ContainerNow): boolean => view.state.terminated?.exitCode === 0

const hasFailed = ({ view: { state } }: ContainerNow, policy: Pod["spec"]["restartPolicy"]): boolean =>
  policy === "Never" && state.terminated !== undefined && state.terminated.exitCode !== 0

const phaseOf = ({ pod, server: { view }, inits }: StatusInput): PodStatus["phase"] => {
  const policy = pod.spec.restartPolicy
  if (inits.some((each) => hasFailed(each, policy))) return "Failed"
  const { waiting, terminated } = view.state
  if (terminated !== undefined && isLastRun(policy, terminated.exitCode))
    return terminated.exitCode === 0 ? "Succeeded" : "Failed"
  return waiting !== undefined && view.lastState === undefined ? "Pending" : "Running"
}

const namesOf = (containers: readonly ContainerNow[]): string =>
  `[${containers.map(({ container }) => container.name).join(" ")}]`

const conditionsOf = ({ server, inits }: StatusInput): PodCondition[] => {
  const incomplete = inits.filter((each) => !isComplete(each))
  const initialized: Omit<PodCondition, "type"> =
    incomplete.length === 0
      ? { status: "True" }
      : {
          status: "False",
          reason: "ContainersNotInitialized",
          message: `containers with incomplete status: ${namesOf(incomplete)}`,
        }
  const ready: Omit<PodCondition, "type"> = server.view.ready
    ? { status: "True" }
    : { status: "False", reason: "ContainersNotReady", message: `containers with unready status: ${namesOf([server])}` }
  return [
    { type: "PodScheduled", status: "True" },
    { type: "Initialized", ...initialized },
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

const statusOf = ({ container, view }: ContainerNow): ContainerStatus => ({
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
  readonly server: ContainerNow
  /** The init containers that the node runs, in their order. */
  readonly inits: readonly ContainerNow[]
  /** The status written before. */
  readonly before: PodStatus | undefined
  /** Epoch milliseconds. */
  readonly now: number
}

/** The status that the node reports for a Pod. An init container is ready once it has ended well, as with a kubelet. */
export const toPodStatus = (input: StatusInput): PodStatus => {
  const { server, inits, before, now } = input
  const phase = phaseOf(input)
  const initStatuses = inits.map((each) => ({ ...statusOf(each), ready: isComplete(each) }))
  return {
    ...(phase === undefined ? {} : { phase }),
    podIP: "127.0.0.1",
    startTime: before?.startTime ?? toKubeTime(now),
    conditions: withTimes(conditionsOf(input), before, toKubeTime(now)),
    ...(initStatuses.length === 0 ? {} : { initContainerStatuses: initStatuses }),
    containerStatuses: [statusOf(server)],
  }
}

/** True if writing `next` would change nothing. */
export const isSameStatus = (before: PodStatus | undefined, next: PodStatus): boolean => isDeepStrictEqual(before, next)
