import type { Container, Probe } from "../../api/pod.ts"
import type { ClockPort } from "../../ports/clock.ts"
import { look } from "./probe.ts"
import { afterLook, beforeFirstLook, nextLookMs, planOf, type Standing } from "./probe-plan.ts"

/** Which of a container's probes. */
export type ProbeName = "Startup" | "Readiness" | "Liveness"

/** A container whose health is followed through one life. */
export type HealthInput = {
  readonly container: Container
  readonly port: number
  readonly clock: ClockPort
  /** Ends the following. */
  readonly signal: AbortSignal
  /** Hears of each change. */
  readonly onChange: (health: { readonly started: boolean; readonly ready: boolean }) => void
  /** Hears of each failure that a kubelet would report. */
  readonly onUnhealthy: (probe: ProbeName, message: string) => void
}

type Follow = {
  readonly name: ProbeName
  readonly probe: Probe
  /** Told after each look; true ends the following. */
  readonly judge: (standing: Standing) => boolean
}

/** Sleeps; false if the signal came first. */
const pause = (ms: number, { clock, signal }: HealthInput): Promise<boolean> =>
  clock.sleep(ms, signal).then(
    () => true,
    () => false,
  )

/** Looks again and again until judged done (true) or stopped (false). */
const follow = async (input: HealthInput, { name, probe, judge }: Follow): Promise<boolean> => {
  const plan = planOf(probe)
  if (plan.delayMs > 0 && !(await pause(plan.delayMs, input))) return false
  const { port, clock, signal } = input
  const began = clock.now()
  let standing: Standing = beforeFirstLook
  while (!signal.aborted) {
    const finding = await look({ probe, port, clock, signal })
    if (signal.aborted) return false
    const next = afterLook(plan, standing, { ok: finding.ok, elapsedMs: clock.now() - began })
    standing = next
    if (!finding.ok && next.counted) input.onUnhealthy(name, finding.message)
    if (judge(next)) return true
    await pause(nextLookMs(plan.periodMs, clock.now() - began, next.succeeded), input)
  }
  return false
}

const exceeded = (probe: Probe, standing: Standing): boolean => standing.failures >= planOf(probe).failureThreshold

/** Follows the startup probe: true = started, false = failed for good, undefined = stopped. */
const start = async (input: HealthInput): Promise<boolean | undefined> => {
  const probe = input.container.startupProbe
  if (probe === undefined) return true
  let started = false
  const judge = (standing: Standing) => {
    started = standing.passing
    return started || exceeded(probe, standing)
  }
  return (await follow(input, { name: "Startup", probe, judge })) ? started : undefined
}

const followReadiness = async (input: HealthInput, probe: Probe): Promise<void> => {
  let ready = false
  const judge = (standing: Standing) => {
    if (standing.passing !== ready) input.onChange({ started: true, ready: standing.passing })
    ready = standing.passing
    return false
  }
  await follow(input, { name: "Readiness", probe, judge })
}

/**
 * Follows the probes of a running container as a kubelet does: first the startup probe alone, then readiness and
 * liveness. Resolves with the probe that demands a restart, or with undefined once stopped.
 */
export const watchHealth = async (input: HealthInput): Promise<ProbeName | undefined> => {
  const started = await start(input)
  if (started === undefined || input.signal.aborted) return undefined
  if (!started) return "Startup"
  const { readinessProbe, livenessProbe } = input.container
  input.onChange({ started: true, ready: readinessProbe === undefined })
  const readiness = readinessProbe === undefined ? undefined : followReadiness(input, readinessProbe)
  if (livenessProbe !== undefined) {
    const judge = (standing: Standing) => exceeded(livenessProbe, standing)
    if (await follow(input, { name: "Liveness", probe: livenessProbe, judge })) return "Liveness"
  }
  await readiness
  return undefined
}
