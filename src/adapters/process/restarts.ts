import { afterRestart, type Backoff, restartDelay } from "./container-run.ts"
import { type PodContainer, type PodScope, type Ran, show, showEnd } from "./pod-container.ts"
import { refOf } from "./pod-report.ts"
import { toWaiting } from "./status.ts"

/** Waits before the next run as long as the kubelet would; see {@link restartDelay}. */
const backOff = async (
  scope: PodScope,
  each: PodContainer,
  backoff: Backoff | undefined,
  endedAt: number,
): Promise<void> => {
  const { deps, pod, report, stop } = scope
  const delay = restartDelay(backoff, endedAt)
  if (delay === 0) return
  const { namespace, name } = refOf(pod)
  const message = `restarting failed container=${each.container.name} pod=${name}_${namespace}(${pod.metadata.uid})`
  show(scope, each, toWaiting(each.view, "CrashLoopBackOff", `back-off ${delay / 1000}s ${message}`))
  report.recordEvent("Warning", "BackOff", `Back-off ${message}`)
  await deps.clock.sleep(delay, stop).catch(() => {})
}

/** How a container is run again and again. */
type Repetition = {
  /** One run, given the number of those before; undefined once stopped. */
  readonly run: (restarts: number) => Promise<Ran | undefined>
  /** True if there is no further run after this exit code. */
  readonly isLast: (exitCode: number) => boolean
}

/**
 * Runs a container again and again, with the kubelet's back-off between its runs. Resolves with the exit code of the
 * last run, or with undefined once stopped.
 */
export const runRepeatedly = async (
  scope: PodScope,
  each: PodContainer,
  { run, isLast }: Repetition,
): Promise<number | undefined> => {
  const { deps, stop } = scope
  let backoff: Backoff | undefined
  for (let restarts = 0; !stop.aborted; restarts++) {
    const ran = await run(restarts)
    if (ran === undefined || stop.aborted) return undefined
    const endedAt = deps.clock.now()
    const exitCode = await showEnd(scope, each, ran, restarts)
    if (isLast(exitCode)) return exitCode
    await backOff(scope, each, backoff, endedAt)
    backoff = afterRestart(backoff, endedAt, deps.clock.now())
  }
  return undefined
}
