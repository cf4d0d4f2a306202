import { request } from "node:http"
import { connect } from "node:net"
import type { Container, Probe } from "../../api/kinds/pod.ts"
import type { ClockPort } from "../../ports/clock.ts"

/** The result of one probe request. */
type Finding = { readonly ok: true } | { readonly ok: false; readonly message: string }

/** Input for one probe request. */
type ProbeInput = {
  readonly probe: Probe
  /**
   * Port that the node gave to the container; used instead of the probe's port, since each container has only this one.
   */
  readonly port: number
  readonly clock: ClockPort
  /** Aborts the request. */
  readonly signal: AbortSignal
}

const host = "127.0.0.1"

const messageOf = (error: unknown, port: number): string => {
  const code = error instanceof Error && "code" in error ? error.code : undefined
  if (code === "ECONNREFUSED") return `dial tcp ${host}:${port}: connect: connection refused`
  if (code === "ECONNRESET") return `read tcp ${host}:${port}: connection reset by peer`
  return `dial tcp ${host}:${port}: ${typeof code === "string" ? code : "the answer could not be read"}`
}

const late = (port: number): string => `dial tcp ${host}:${port}: i/o timeout`

/** A TCP probe: connects and closes the connection. */
const tcp = (port: number, signal: AbortSignal): Promise<Finding> =>
  new Promise((resolve) => {
    const socket = connect({ host, port, signal })
    socket.once("connect", () => {
      socket.destroy()
      resolve({ ok: true })
    })
    socket.once("error", (error) =>
      resolve({ ok: false, message: signal.aborted ? late(port) : messageOf(error, port) }),
    )
  })

/** An HTTP probe: a GET like the kubelet's; 2xx and 3xx count as success, redirects are not followed. */
const http = (
  { path, httpHeaders = [] }: NonNullable<Probe["httpGet"]>,
  port: number,
  signal: AbortSignal,
): Promise<Finding> =>
  new Promise((resolve) => {
    const url = `http://${host}:${port}${path.startsWith("/") ? path : `/${path}`}`
    const own = Object.fromEntries(httpHeaders.map(({ name, value }) => [name.toLowerCase(), value]))
    const headers = { "user-agent": "kube-probe/reflow", accept: "*/*", ...own }
    const call = request(url, { agent: false, signal, headers })
    call.once("response", (response) => {
      const status = response.statusCode ?? 0
      response.destroy()
      const message = `HTTP probe failed with statuscode: ${status}`
      resolve(status >= 200 && status < 400 ? { ok: true } : { ok: false, message })
    })
    call.on("error", (error) => {
      const reason = signal.aborted ? "context deadline exceeded" : messageOf(error, port)
      resolve({ ok: false, message: `Get "${url}": ${reason}` })
    })
    call.end()
  })

/**
 * Sends one probe request, with `timeoutSeconds` (default 1) as its limit. A probe without httpGet or tcpSocket
 * succeeds.
 */
const probeOnce = async ({ probe, port, clock, signal }: ProbeInput): Promise<Finding> => {
  const deadline = new AbortController()
  const cancel = clock.timer((probe.timeoutSeconds ?? 1) * 1000, () => deadline.abort())
  const either = AbortSignal.any([deadline.signal, signal])
  try {
    if (probe.httpGet !== undefined) return await http(probe.httpGet, port, either)
    if (probe.tcpSocket !== undefined) return await tcp(port, either)
    return { ok: true }
  } finally {
    cancel()
  }
}

/** Times and thresholds of a probe, with Kubernetes' defaults. */
type ProbePlan = {
  readonly delayMs: number
  readonly periodMs: number
  readonly failureThreshold: number
  readonly successThreshold: number
}

/** The times and thresholds of a probe. */
export const planOf = (probe: Probe): ProbePlan => ({
  delayMs: (probe.initialDelaySeconds ?? 0) * 1000,
  periodMs: (probe.periodSeconds ?? 10) * 1000,
  failureThreshold: probe.failureThreshold ?? 3,
  successThreshold: probe.successThreshold ?? 1,
})

/**
 * Milliseconds until the next probe request. A kubelet probes once per period. Until the first success this node probes
 * more often, so that a server that has started is noticed within 50 ms; the longer the start takes, the longer the
 * interval.
 */
export const nextProbeMs = (periodMs: number, elapsedMs: number, succeeded: boolean): number => {
  if (succeeded) return periodMs
  return Math.min(elapsedMs < 5_000 ? 50 : elapsedMs < 30_000 ? 250 : 1_000, periodMs)
}

/** The state of a probe after some requests. */
type Standing = {
  readonly succeeded: boolean
  /** Counted failures in a row, and successes in a row. */
  readonly failures: number
  readonly successes: number
  /** The last period in which a failure was counted. */
  readonly period: number
  readonly passing: boolean
}

/** The state before the first request. */
export const beforeFirstProbe: Standing = { succeeded: false, failures: 0, successes: 0, period: 0, passing: false }

/**
 * The state after one more request, `elapsedMs` after the probe began; `counted`: a kubelet would count its failure.
 */
export const afterProbe = (
  plan: ProbePlan,
  before: Standing,
  result: { readonly ok: boolean; readonly elapsedMs: number },
): Standing & { readonly counted: boolean } => {
  if (result.ok) {
    const successes = before.successes + 1
    const passing = before.passing || successes >= plan.successThreshold
    return { ...before, succeeded: true, failures: 0, successes, passing, counted: false }
  }
  const period = Math.floor(result.elapsedMs / plan.periodMs)
  // before the first success, only one failure per period counts, since a kubelet would not send the additional requests
  const counted = before.succeeded || period > before.period
  const failures = before.failures + (counted ? 1 : 0)
  const passing = before.passing && failures < plan.failureThreshold
  return { succeeded: before.succeeded, failures, successes: 0, period, passing, counted }
}

/** Which of a container's probes. */
export type ProbeName = "Startup" | "Readiness" | "Liveness"

/** Input for {@link watchHealth}. */
type HealthInput = {
  readonly container: Container
  readonly port: number
  readonly clock: ClockPort
  /** Ends the probes. */
  readonly signal: AbortSignal
  /** Called for each change of the container's health. */
  readonly onChange: (health: { readonly started: boolean; readonly ready: boolean }) => void
  /** Called for each failure that a kubelet would report. */
  readonly onUnhealthy: (probe: ProbeName, message: string) => void
}

type Follow = {
  readonly name: ProbeName
  readonly probe: Probe
  /** Called after each request; if it returns true, the probe ends. */
  readonly judge: (standing: Standing) => boolean
}

/** Waits `ms` milliseconds; false if the signal was aborted before. */
const pause = (ms: number, { clock, signal }: HealthInput): Promise<boolean> =>
  clock.sleep(ms, signal).then(
    () => true,
    () => false,
  )

/** Repeats a probe until `judge` returns true (result true) or the signal is aborted (result false). */
const follow = async (input: HealthInput, { name, probe, judge }: Follow): Promise<boolean> => {
  const plan = planOf(probe)
  if (plan.delayMs > 0 && !(await pause(plan.delayMs, input))) return false
  const { port, clock, signal } = input
  const began = clock.now()
  let standing: Standing = beforeFirstProbe
  while (!signal.aborted) {
    const finding = await probeOnce({ probe, port, clock, signal })
    if (signal.aborted) return false
    const next = afterProbe(plan, standing, { ok: finding.ok, elapsedMs: clock.now() - began })
    standing = next
    if (!finding.ok && next.counted) input.onUnhealthy(name, finding.message)
    if (judge(next)) return true
    await pause(nextProbeMs(plan.periodMs, clock.now() - began, next.succeeded), input)
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
 * Runs the probes of a running container as a kubelet does: first only the startup probe, then readiness and liveness.
 * Resolves with the probe because of which the container must be restarted, or with undefined once stopped.
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
