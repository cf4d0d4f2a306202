import { request } from "node:http"
import { connect } from "node:net"
import type { Container, Probe } from "../../api/kinds/pod.ts"
import type { ClockPort } from "../../ports/clock.ts"

/** What one look at a server found. */
type Finding = { readonly ok: true } | { readonly ok: false; readonly message: string }

/** Where and how to look. */
type ProbeInput = {
  readonly probe: Probe
  /** Port that the node gave; it stands for whichever port the probe names, since a Pod of ours has only one. */
  readonly port: number
  readonly clock: ClockPort
  /** Ends the look early. */
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

/** Connects and hangs up. */
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

/** One GET as the kubelet sends it; 2xx and 3xx are good, redirects are not followed. */
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
      const words = signal.aborted ? "context deadline exceeded" : messageOf(error, port)
      resolve({ ok: false, message: `Get "${url}": ${words}` })
    })
    call.end()
  })

/** Looks once at a server, at most `timeoutSeconds` (default 1) long. A probe of neither kind is always good. */
const look = async ({ probe, port, clock, signal }: ProbeInput): Promise<Finding> => {
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

/** A probe's numbers with Kubernetes' defaults. */
type ProbePlan = {
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
type Standing = {
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

/** Which of a container's probes. */
export type ProbeName = "Startup" | "Readiness" | "Liveness"

/** A container whose health is followed through one run. */
type HealthInput = {
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
