import type { Container } from "../../api/kinds/pod.ts"
import type { ClockPort } from "../../ports/clock.ts"
import { type ResolvedContainer, unusablePart } from "./environment.ts"
import { type Child, launch, terminate, whyNotRunnable } from "./launch.ts"
import type { LogRing } from "./log-ring.ts"
import { type ProbeName, watchHealth } from "./probe.ts"
import type { Exit } from "./status.ts"

/** One run of a container, from its start to its end. */
type RunInput = {
  readonly container: Container
  readonly resolved: ResolvedContainer
  readonly port: number
  readonly workingDirectory: string
  readonly log: LogRing
  readonly clock: ClockPort
  /** Ends the run, with the grace that `graceMs` says then. */
  readonly stop: AbortSignal
  readonly graceMs: () => number
  readonly onRunning: (child: Child) => void
  readonly onHealth: (health: { readonly started: boolean; readonly ready: boolean }) => void
  readonly onUnhealthy: (probe: ProbeName, message: string) => void
  /** A probe demands a restart. */
  readonly onKilling: (probe: ProbeName) => void
}

/** How a run ended. Times are epoch milliseconds. */
export type RunEnd =
  | { readonly kind: "ended"; readonly exit: Exit; readonly startedAt: number; readonly endedAt: number }
  | { readonly kind: "refused"; readonly message: string }

/** Grace for a container that a probe demands to restart. */
const probeGraceMs = 10_000

const guard = async (input: RunInput, child: Child, signal: AbortSignal): Promise<void> => {
  const { container, port, clock } = input
  const { onHealth: onChange, onUnhealthy } = input
  const failed = await watchHealth({ container, port, clock, signal, onChange, onUnhealthy })
  if (failed === undefined || signal.aborted) return
  input.onKilling(failed)
  await terminate(child, probeGraceMs, clock)
}

/** Runs a container once. Resolves when its process and everything in its group have ended. */
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

/**
 * How long a container that ended waits for its next start, as the kubelet does it: the first restart is immediate,
 * then 10 s, doubled each time up to 5 minutes; a container that ran for 10 minutes starts from the beginning.
 */

const firstMs = 10_000
const longestMs = 300_000
const stableMs = 2 * longestMs

/** What is remembered from restart to restart. */
export type Backoff = {
  /** How long the next restart waits, counted from the end of the container. */
  readonly delayMs: number
  /** When the container was last restarted (epoch milliseconds). */
  readonly restartedAt: number
}

const isStable = (backoff: Backoff, endedAt: number): boolean => endedAt - backoff.restartedAt > stableMs

/** Milliseconds from the container's end to its restart; 0 = at once. */
export const restartDelay = (backoff: Backoff | undefined, endedAt: number): number =>
  backoff === undefined || isStable(backoff, endedAt) ? 0 : backoff.delayMs

/** The memory after a restart at `now` of a container that ended at `endedAt`. */
export const afterRestart = (backoff: Backoff | undefined, endedAt: number, now: number): Backoff => ({
  delayMs: backoff === undefined || isStable(backoff, endedAt) ? firstMs : Math.min(backoff.delayMs * 2, longestMs),
  restartedAt: now,
})
