import type { Container } from "../../api/kinds/pod.ts"
import type { ClockPort } from "../../ports/clock.ts"
import { type ResolvedContainer, unusablePart } from "./environment.ts"
import { type Child, launch, terminate, whyNotRunnable } from "./launch.ts"
import type { LogRing } from "./log-ring.ts"
import { type ProbeName, watchHealth } from "./probe.ts"
import type { Exit } from "./status.ts"

/** How the node follows a server's health. */
export type HealthWatch = {
  readonly port: number
  readonly onHealth: (health: { readonly started: boolean; readonly ready: boolean }) => void
  readonly onUnhealthy: (probe: ProbeName, message: string) => void
  /** Called when a startup or liveness probe has failed so often that the container must be restarted. */
  readonly onKilling: (probe: ProbeName) => void
}

/** Input for one run of a container, from its start to its end. */
type RunInput = {
  readonly container: Container
  readonly resolved: ResolvedContainer
  readonly workingDirectory: string
  readonly log: LogRing
  readonly clock: ClockPort
  /** Ends the run: SIGTERM, then SIGKILL after the milliseconds that `graceMs` returns at that time. */
  readonly stop: AbortSignal
  readonly graceMs: () => number
  readonly onRunning: (child: Child) => void
  /** Absent for an init container, which has no probes. */
  readonly health?: HealthWatch
}

/** How a run ended. Times are epoch milliseconds. */
export type RunEnd =
  | { readonly kind: "ended"; readonly exit: Exit; readonly startedAt: number; readonly endedAt: number }
  | { readonly kind: "refused"; readonly message: string }

/** Time between SIGTERM and SIGKILL for a container that is restarted because of a probe, milliseconds. */
const probeGraceMs = 10_000

const guard = async (input: RunInput, child: Child, signal: AbortSignal): Promise<void> => {
  const { container, clock, health } = input
  if (health === undefined) return
  const { port, onHealth: onChange, onUnhealthy, onKilling } = health
  const failed = await watchHealth({ container, port, clock, signal, onChange, onUnhealthy })
  if (failed === undefined || signal.aborted) return
  onKilling(failed)
  await terminate(child, probeGraceMs, clock)
}

/**
 * Runs a container once. Resolves when all processes of its group have ended. Never rejects for a failed start:
 * `refused`.
 */
export const runContainer = async (input: RunInput): Promise<RunEnd> => {
  const { resolved, workingDirectory, log, clock, stop } = input
  const { argv, variables, program } = resolved
  const place = { path: variables.PATH ?? "", workingDirectory }
  const whyNot = unusablePart(resolved) ?? whyNotRunnable(argv[0] ?? "", place, program)
  if (whyNot !== undefined) return { kind: "refused", message: whyNot }
  const startedAt = clock.now()
  const child = await launch({ argv, variables, workingDirectory, log, clock })
  if ("refused" in child) return { kind: "refused", message: child.refused }
  const over = new AbortController()
  const end = () => {
    over.abort()
    void terminate(child, input.graceMs(), clock)
  }
  stop.addEventListener("abort", end, { once: true })
  if (stop.aborted) end()
  input.onRunning(child)
  const guarded = guard(input, child, over.signal)
  const exit = await child.exited
  over.abort()
  stop.removeEventListener("abort", end)
  await guarded
  return { kind: "ended", exit, startedAt, endedAt: clock.now() }
}

const firstMs = 10_000
const longestMs = 300_000
const stableMs = 2 * longestMs

/** The state of the back-off between two restarts. */
export type Backoff = {
  /** Delay of the next restart, counted from the end of the container. */
  readonly delayMs: number
  /** When the container was last restarted (epoch milliseconds). */
  readonly restartedAt: number
}

const isStable = (backoff: Backoff, endedAt: number): boolean => endedAt - backoff.restartedAt > stableMs

/**
 * Milliseconds from the container's end to its restart, as in the kubelet: 0 for the first restart, then 10 s, doubled each
 * time up to 5 minutes. After a run of more than 10 minutes the sequence begins again.
 */
export const restartDelay = (backoff: Backoff | undefined, endedAt: number): number =>
  backoff === undefined || isStable(backoff, endedAt) ? 0 : backoff.delayMs

/** The back-off after a restart at `now` of a container that ended at `endedAt`. */
export const afterRestart = (backoff: Backoff | undefined, endedAt: number, now: number): Backoff => ({
  delayMs: backoff === undefined || isStable(backoff, endedAt) ? firstMs : Math.min(backoff.delayMs * 2, longestMs),
  restartedAt: now,
})
