import type { Probe } from "../../api/pod.ts"

/** A probe's numbers with Kubernetes' defaults. */
export type ProbePlan = {
  readonly delayMs: number
  readonly periodMs: number
  readonly failureThreshold: number
  readonly successThreshold: number
}

/** The numbers of a probe. */
export const planOf = (probe: Probe): ProbePlan => ({
  delayMs: (probe.initialDelaySeconds ?? 0) * 1000,
  periodMs: (probe.periodSeconds ?? 10) * 1000,
  failureThreshold: probe.failureThreshold ?? 3,
  successThreshold: probe.successThreshold ?? 1,
})

/**
 * Milliseconds until the next look. A kubelet looks once a period; until the first success this node looks more often,
 * so that a cold start is noticed in 50 ms, and less often the longer it takes.
 */
export const nextLookMs = (periodMs: number, elapsedMs: number, succeeded: boolean): number => {
  if (succeeded) return periodMs
  return Math.min(elapsedMs < 5_000 ? 50 : elapsedMs < 30_000 ? 250 : 1_000, periodMs)
}

/** How a probe stands after some looks. */
export type Standing = {
  readonly succeeded: boolean
  /** Counted failures and successes in a row. */
  readonly failures: number
  readonly successes: number
  /** The last period in which a failure was counted. */
  readonly period: number
  readonly passing: boolean
}

/** Before the first look. */
export const beforeFirstLook: Standing = { succeeded: false, failures: 0, successes: 0, period: 0, passing: false }

/** The standing after one more look `elapsedMs` after the probe began, and whether a kubelet would count its failure. */
export const afterLook = (
  plan: ProbePlan,
  before: Standing,
  look: { readonly ok: boolean; readonly elapsedMs: number },
): Standing & { readonly counted: boolean } => {
  if (look.ok) {
    const successes = before.successes + 1
    const passing = before.passing || successes >= plan.successThreshold
    return { ...before, succeeded: true, failures: 0, successes, passing, counted: false }
  }
  const period = Math.floor(look.elapsedMs / plan.periodMs)
  // the additional looks before the first success do not count: only one failure a period does
  const counted = before.succeeded || period > before.period
  const failures = before.failures + (counted ? 1 : 0)
  const passing = before.passing && failures < plan.failureThreshold
  return { succeeded: before.succeeded, failures, successes: 0, period, passing, counted }
}
