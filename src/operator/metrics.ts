import { type MCPInstanceStatus, type Phase, phases } from "../api/kinds/mcp-instance.ts"
import type { ClockPort } from "../ports/clock.ts"
import type { Counter, TelemetryPort } from "../ports/telemetry.ts"
import type { QueueObserver } from "./queue.ts"
import { probeReasons } from "./reasons.ts"

const seconds = [0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60] as const
const startSeconds = [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 600] as const

/** The metrics of a work queue, with the names that controller-runtime uses. */
export const queueMetrics = (telemetry: TelemetryPort, name: string): QueueObserver => {
  const labels = ["name"]
  const own = { name }
  const depth = telemetry.gauge({ name: "workqueue_depth", help: "Keys in the queue.", labels })
  const adds = telemetry.counter({ name: "workqueue_adds_total", help: "Keys added.", labels })
  const retries = telemetry.counter({ name: "workqueue_retries_total", help: "Keys tried again.", labels })
  const waited = telemetry.histogram({
    name: "workqueue_queue_duration_seconds",
    help: "How long keys waited.",
    labels,
    buckets: seconds,
  })
  const worked = telemetry.histogram({
    name: "workqueue_work_duration_seconds",
    help: "How long keys were worked on.",
    labels,
    buckets: seconds,
  })
  return {
    depth: (count) => depth.set(count, own),
    added: () => adds.inc(own),
    retried: () => retries.inc(own),
    started: (ms) => waited.observe(ms / 1000, own),
    finished: (ms) => worked.observe(ms / 1000, own),
  }
}

/** Makes the function that runs, counts and times each reconcile of a controller; names as in controller-runtime. */
export const reconcileMetrics = (
  telemetry: TelemetryPort,
  clock: ClockPort,
  { controller, workers }: { readonly controller: string; readonly workers: number },
) => {
  const labels = ["controller"]
  telemetry
    .gauge({ name: "controller_runtime_max_concurrent_reconciles", help: "Most reconciles at once.", labels })
    .set(workers, { controller })
  const active = telemetry.gauge({ name: "controller_runtime_active_workers", help: "Reconciles now.", labels })
  active.set(0, { controller })
  const total = telemetry.counter({
    name: "controller_runtime_reconcile_total",
    help: "Reconciles by result.",
    labels: ["controller", "result"],
  })
  const errors = telemetry.counter({
    name: "controller_runtime_reconcile_errors_total",
    help: "Reconciles that failed.",
    labels,
  })
  const time = telemetry.histogram({
    name: "controller_runtime_reconcile_time_seconds",
    help: "How long reconciles took.",
    labels,
    buckets: seconds,
  })
  /** Runs a reconcile, counts and times it, and returns or throws what it does. */
  return async (reconcile: () => Promise<number | undefined>): Promise<number | undefined> => {
    const begun = clock.now()
    active.inc({ controller })
    try {
      const after = await reconcile()
      total.inc({ controller, result: after === undefined ? "success" : "requeue_after" })
      return after
    } catch (error) {
      total.inc({ controller, result: "error" })
      errors.inc({ controller })
      throw error
    } finally {
      active.inc({ controller }, -1)
      time.observe((clock.now() - begun) / 1000, { controller })
    }
  }
}

/** Counts probes of remote servers by the reason that the condition Available of their targets gets. */
export const probeCount = (telemetry: TelemetryPort): Counter => {
  const count = telemetry.counter({
    name: "reflow_remote_probes_total",
    help: "Probes of the servers of remote targets.",
    labels: ["reason"],
  })
  // an alert on an increase misses the first one of a series that begins with it
  for (const reason of probeReasons) if (reason !== "NotProbed") count.inc({ reason }, 0)
  return count
}

/** Metrics of the instances: how many are in each phase, and how long starts take. */
export type InstanceMetrics = {
  /** Records the phase of an instance; undefined counts as Pending. */
  see(uid: string, phase: Phase | undefined): void
  /** Removes a deleted instance from the counts. */
  forget(uid: string): void
  /** Observes the steps of a start, if it is complete in `after` and was not in `before`. */
  started(before: MCPInstanceStatus | undefined, after: MCPInstanceStatus): void
  /** Counts an object that the sweep deleted. */
  swept(kind: string): void
  /** Sets the counts to 0: an operator that no longer watches the instances must not report them. */
  close(): void
}

/** Makes the metrics of instances; the gauge of each phase begins with 0. */
export const instanceMetrics = (telemetry: TelemetryPort): InstanceMetrics => {
  const known = new Map<string, Phase>()
  const gauge = telemetry.gauge({ name: "reflow_instances", help: "Instances by phase.", labels: ["phase"] })
  const start = telemetry.histogram({
    name: "reflow_instance_start_seconds",
    help: "Seconds of each step of a start.",
    labels: ["step"],
    buckets: startSeconds,
  })
  const garbage = telemetry.counter({
    name: "reflow_garbage_collected_total",
    help: "Objects that the sweep deleted because their owner did not exist.",
    labels: ["kind"],
  })
  const put = (uid: string, phase: Phase | undefined): void => {
    const before = known.get(uid)
    if (before === phase) return
    if (before !== undefined) gauge.inc({ phase: before }, -1)
    if (phase === undefined) known.delete(uid)
    else {
      known.set(uid, phase)
      gauge.inc({ phase }, 1)
    }
  }
  const reset = (): void => {
    known.clear()
    for (const phase of phases) gauge.set(0, { phase })
  }
  reset()
  return {
    see: (uid, phase) => put(uid, phase ?? "Pending"),
    forget: (uid) => put(uid, undefined),
    started: (before, { timings }) => {
      // before its last step the timings are incomplete
      if (timings?.ready === undefined || before?.timings?.ready !== undefined) return
      for (const [step, took] of Object.entries(timings)) start.observe(took, { step })
    },
    swept: (kind) => garbage.inc({ kind }),
    close: reset,
  }
}
