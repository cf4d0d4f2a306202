import { toKubeTime } from "../../api/kube-time.ts"
import type { Container, ContainerState } from "../../api/pod.ts"

/** How a container ended, in Kubernetes' words. */
export type Terminated = NonNullable<ContainerState["terminated"]>

/** The state of a Pod's one container, as the node knows it. */
export type ContainerView = {
  readonly state: ContainerState
  readonly lastState?: ContainerState
  readonly restartCount: number
  /** It answered its startup probe, or has none. */
  readonly started: boolean
  /** It answers its readiness probe, or has none. */
  readonly ready: boolean
  /** Process id of this life. */
  readonly pid?: number
}

/** A container that nothing was done for yet. */
export const firstView: ContainerView = {
  state: { waiting: { reason: "ContainerCreating" } },
  restartCount: 0,
  started: false,
  ready: false,
}

/** The end that becomes `lastState` when another state follows. */
const lastEnd = ({ state, lastState }: ContainerView): Pick<ContainerView, "lastState"> => {
  const last = state.terminated === undefined ? lastState : state
  return last === undefined ? {} : { lastState: last }
}

/** The container waits, for a reason in the kubelet's words. */
export const toWaiting = (view: ContainerView, reason: string, message?: string): ContainerView => ({
  state: { waiting: { reason, ...(message === undefined ? {} : { message }) } },
  ...lastEnd(view),
  restartCount: view.restartCount,
  started: false,
  ready: false,
})

/** A life has begun at `now` (epoch milliseconds). */
export const toRunning = (
  view: ContainerView,
  container: Container,
  life: { readonly pid: number; readonly restartCount: number; readonly now: number },
): ContainerView => {
  const started = container.startupProbe === undefined
  return {
    state: { running: { startedAt: toKubeTime(life.now) } },
    ...lastEnd(view),
    restartCount: life.restartCount,
    started,
    ready: started && container.readinessProbe === undefined,
    pid: life.pid,
  }
}

/** A life has ended. */
export const toEnded = (view: ContainerView, terminated: Terminated): ContainerView => ({
  state: { terminated },
  ...lastEnd(view),
  restartCount: view.restartCount,
  started: false,
  ready: false,
  ...(view.pid === undefined ? {} : { pid: view.pid }),
})

/** The program could not be started: waiting at once, as a kubelet shows it. */
export const toRefused = (restartCount: number, terminated: Terminated): ContainerView => ({
  state: { waiting: { reason: "RunContainerError", message: terminated.message ?? "" } },
  lastState: { terminated },
  restartCount,
  started: false,
  ready: false,
})
