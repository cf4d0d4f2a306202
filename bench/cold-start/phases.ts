/** The phases of a cold start, by the moments that the API server's audit log has, and those that the bench has seen. */
import type { AuditEntry } from "../../test/kubernetes/support/audit.ts"
import type { Start } from "./starts.ts"

/** An entry of the audit log with what the phases need. */
export type Call = AuditEntry & {
  /** When the response was complete; RFC 3339 with microseconds. */
  readonly stageTimestamp: string
  readonly requestObject?: {
    /** Of an Event. */
    readonly reason?: string
    readonly involvedObject?: { readonly name?: string }
  }
}

/** The phases in order, each with what happens in it. */
export const phases = {
  compose: "the gateway reads credentials, and creates Secret and MCPInstance",
  queue: "until the operator's first write about the instance",
  create: "the operator creates the Pod",
  schedule: "until the scheduler has chosen a node",
  pull: "the node makes the sandbox and finds the image, which is present",
  start: "the node creates and starts the container",
  address: "until the Pod's status has its address",
  ready: "until the server accepts a connection",
  "first byte": "the request is sent to the server, and its answer comes back",
} as const

/** Name of a phase. */
export type Phase = keyof typeof phases

/** Durations of one start in milliseconds, never negative; their sum is the time to the first answer. */
export type Durations = Readonly<Record<Phase, number>>

const namesOfPhases = Object.keys(phases) as readonly Phase[]

/** Milliseconds of an RFC 3339 time with up to six digits of a second. */
export const toMs = (time: string): number => {
  const fraction = /\.(\d+)/.exec(time)?.[1] ?? ""
  return Date.parse(time.replace(/\.\d+/, "")) + Number(`0.${fraction || "0"}`) * 1_000
}

const failed = ({ responseStatus }: Call): boolean => (responseStatus?.code ?? 500) >= 300

/** When the node reported this about the Pod, by an Event. */
const told = (calls: readonly Call[], { pod }: Start, reason: string): number | undefined => {
  const found = calls.find(({ requestObject: event }) => event?.reason === reason && event.involvedObject?.name === pod)
  return found && toMs(found.requestReceivedTimestamp)
}

/** The first call on an object whose `verb resource/subresource` matches. */
const first = (calls: readonly Call[], name: string, what: RegExp): Call | undefined =>
  calls.find(({ verb, objectRef }) => {
    if (objectRef?.name !== name) return false
    return what.test(`${verb} ${objectRef.resource}/${objectRef.subresource ?? ""}`)
  })

/** When each phase ended; undefined if nothing shows it. Of a bare Pod, nothing of gateway and operator is there. */
const endsOf = (start: Start, calls: readonly Call[]): Readonly<Record<Phase, number | undefined>> => {
  const { pod, instance, addressedAt, reachedAt, answeredAt } = start
  const done = (call: Call | undefined) => call && toMs(call.stageTimestamp)
  const byOperator = calls.filter(({ user, verb }) => user.username.endsWith(":reflow-operator") && verb !== "get")
  const begun =
    first(byOperator, instance, /^(create services|patch mcpinstances)/) ?? first(byOperator, pod, /^create pods/)
  return {
    compose: done(first(calls, instance, /^create mcpinstances\/$/)),
    queue: begun && toMs(begun.requestReceivedTimestamp),
    create: done(first(calls, pod, /^create pods\/$/)),
    schedule: done(first(calls, pod, /^create pods\/binding$/)),
    pull: told(calls, start, "Pulled"),
    start: told(calls, start, "Started"),
    address: addressedAt,
    ready: reachedAt,
    "first byte": answeredAt,
  }
}

/** A value for each phase. */
const perPhase = <T>(of: (phase: Phase) => T): Readonly<Record<Phase, T>> =>
  Object.fromEntries(namesOfPhases.map((phase) => [phase, of(phase)])) as Record<Phase, T>

/** Moments between the first request and the first answer, and the durations between them. Pure. */
export const durationsOf = (start: Start, calls: readonly Call[]): Durations => {
  const ends = endsOf(
    start,
    calls.filter((call) => !failed(call)),
  )
  let before = start.sentAt
  return perPhase((phase) => {
    // what was reported late, or is not known (NaN), belongs to the phase after it
    const end = Math.min(Math.max(ends[phase] || before, before), start.answeredAt)
    const took = end - before
    before = end
    return took
  })
}

const quantile = (sorted: readonly number[], share: number): number =>
  sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0

/** Median and 95th percentile in milliseconds; a percentile is the smallest value that so many do not exceed. */
export type Spread = { readonly median: number; readonly p95: number }

/** Median and 95th percentile of values in any order. */
export const spreadOf = (values: readonly number[]): Spread => {
  const sorted = values.toSorted((a, b) => a - b)
  return { median: quantile(sorted, 0.5), p95: quantile(sorted, 0.95) }
}

/** Figures of all starts of one kind. */
export type Figures = {
  readonly runs: number
  /** From the request to the first answer. */
  readonly total: Spread
  readonly most: number
  readonly phases: Readonly<Record<Phase, Spread>>
  /** Arithmetic means: unlike medians, they add up to the mean of the whole. */
  readonly means: Durations
}

const sumOf = (values: readonly number[]): number => values.reduce((sum, each) => sum + each, 0)

/** From the request to the first answer, in milliseconds. */
export const totalOf = (durations: Durations): number => sumOf(Object.values(durations))

/** The figures of starts of one kind. Pure. */
export const figuresOf = (starts: readonly Durations[]): Figures => {
  const totals = starts.map(totalOf)
  const valuesOf = (phase: Phase) => starts.map((each) => each[phase])
  return {
    runs: starts.length,
    total: spreadOf(totals),
    most: Math.max(0, ...totals),
    phases: perPhase((phase) => spreadOf(valuesOf(phase))),
    means: perPhase((phase) => sumOf(valuesOf(phase)) / Math.max(1, starts.length)),
  }
}
