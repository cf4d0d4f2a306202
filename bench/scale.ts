/**
 * Runs operator and gateway with thousands of instances on a real API server with simulated nodes. It measures how long
 * it takes until all are Ready, and memory, CPU time and API calls. Then both are restarted, and must change no object.
 * Fails if not all instances become Ready, or if the restart changes an object.
 * Run: npm run bench:scale [-- instances, default 5000] [--check: fail if a figure is over its budget] [--json]
 *
 * Real nodes are cordoned until all instances are Ready, so no other Pod can start on that cluster meanwhile.
 */
import { loadavg } from "node:os"
import { setTimeout as sleep } from "node:timers/promises"
import { parseArgs } from "node:util"
import type { ProcessUsage } from "../test/support/process-usage.ts"
import { auditedCalls, type Calls, listed, type Span, writesIn } from "./audited-calls.ts"
import { machine, type Row, report } from "./figures.ts"
import { requireCluster, versionOf } from "./place.ts"
import { type RoleSettings, type RunningRole, sum, until, withRole } from "./role-process.ts"
import { prepareScale, type ScaleCluster } from "./scale-cluster.ts"
import { differences, ensureAllReady, makeInstances, readVersions, type Versions } from "./scale-instances.ts"

/** How long the roles are watched at rest, in milliseconds. */
const restMs = 60_000
/** How long after a restart the rest begins: until then V8 collects what the restart has left, in several steps. */
const settleMs = 30_000

/** Budgets of each role with all instances. */
const budgets = { residentMiB: 300, restartCPU: 5, restCPU: 0.5, operatorWrites: 8 }

const note = (text: string): void => console.error(`${new Date().toISOString().slice(11, 19)} ${text}`)

const seconds = (what: string, value: number, budget?: number): Row => ({
  what,
  value,
  unit: "s",
  digits: value < 10 ? 2 : 1,
  ...(budget === undefined ? {} : { budget }),
})

const memory = (what: string, { residentMiB, peakMiB }: ProcessUsage, budget?: number): readonly Row[] => [
  { what, value: residentMiB, unit: "MiB", ...(budget === undefined ? {} : { budget }) },
  { what: `${what}: at most since its start`, value: peakMiB, unit: "MiB" },
]

const settingsOf = ({ kubeconfigs, namespace }: ScaleCluster, role: RoleSettings["role"], count: number) => ({
  role,
  kubeconfig: kubeconfigs[role],
  namespace,
  set: {
    "kubernetes.max_instances": count,
    ...(role === "gateway" ? { "gateway.listen": "127.0.0.1:0" } : {}),
  },
})

const callsOf = (cluster: ScaleCluster, role: RoleSettings["role"], span: Span): Promise<Calls> =>
  auditedCalls({ ...cluster, user: cluster.user(role) }, span)

/** Number of an operator's successful writes by its metrics, without those of the Lease, which are the only PUT calls. */
const writesOf = async (operator: RunningRole): Promise<number> =>
  sum(await operator.metric("rest_client_requests_total"), /method="(POST|PATCH|DELETE)".*code="2/)

/**
 * Resolves when there was no write for 8 s: the counts in targets' status are written up to 5 s after the last change.
 */
const untilQuiet = async (operator: RunningRole, signal: AbortSignal): Promise<void> => {
  let [last, since] = [await writesOf(operator), Date.now()]
  const quiet = async (): Promise<boolean> => {
    const now = await writesOf(operator)
    if (now !== last) [last, since] = [now, Date.now()]
    return Date.now() - since >= 8_000
  }
  await until(quiet, { ms: 120_000, what: "no more writes", signal })
}

type Roles = { readonly operator: RunningRole; readonly gateway: RunningRole }

const untilAllReady = async ({ operator, gateway }: Roles, count: number, signal: AbortSignal): Promise<void> => {
  let notedAt = Date.now()
  const isFull = async (): Promise<boolean> => {
    const ready = sum(await operator.metric("reflow_instances"), /phase="Ready"/)
    if (Date.now() - notedAt >= 10_000) {
      notedAt = Date.now()
      const used = [await operator.usage(), await gateway.usage()].map(
        ({ residentMiB, cpuSeconds }) => `${residentMiB.toFixed(0)} MiB, ${cpuSeconds.toFixed(0)} s`,
      )
      note(`${ready} Ready; operator and gateway: ${used.join("; ")}`)
    }
    return ready >= count
  }
  await until(isFull, { ms: 1_500_000, what: "all instances Ready", signal })
}

/** Creates all instances and measures until all are Ready and the operator writes nothing more. */
const fill = async (cluster: ScaleCluster, roles: Roles, count: number): Promise<readonly Row[]> => {
  const { signal } = cluster
  const { operator, gateway } = roles
  const empty = { operator: await operator.usage(), gateway: await gateway.usage() }
  const begun = Date.now()
  await makeInstances(cluster, count)
  const created = Date.now()
  note(`${count} instances created in ${(created - begun) / 1_000} s`)
  await untilAllReady(roles, count, signal)
  const full = Date.now()
  note(`all Ready after ${(full - begun) / 1_000} s`)
  await cluster.release()
  await ensureAllReady(cluster, count)
  await untilQuiet(operator, signal)
  const used = { operator: await operator.usage(), gateway: await gateway.usage() }
  const calls = await callsOf(cluster, "operator", { from: begun })
  const cpuSeconds = used.operator.cpuSeconds - empty.operator.cpuSeconds
  return [
    seconds("instances created by the test in", (created - begun) / 1_000),
    seconds("all Ready, since the first was created", (full - begun) / 1_000),
    ...memory("operator: resident memory without instances", empty.operator),
    ...memory("operator: resident memory with all", used.operator, budgets.residentMiB),
    seconds("operator: CPU time until nothing was left to write", cpuSeconds),
    { what: "operator: CPU time per instance", value: (cpuSeconds * 1_000) / count, unit: "ms", digits: 1 },
    {
      what: "operator: writes per instance, Events among them",
      value: writesIn(calls) / count,
      unit: "",
      digits: 2,
      budget: budgets.operatorWrites,
    },
    { what: "operator: calls", text: listed(calls) },
    ...memory("gateway: resident memory without instances", empty.gateway),
    ...memory("gateway: resident memory with all", used.gateway, budgets.residentMiB),
    seconds("gateway: CPU time while all started", used.gateway.cpuSeconds - empty.gateway.cpuSeconds),
  ]
}

/** What one role has used in a minute of rest. */
const restOf = (role: RoleSettings["role"], before: ProcessUsage, after: ProcessUsage): readonly Row[] => [
  seconds(
    `${role}: at rest: CPU time in a minute`,
    ((after.cpuSeconds - before.cpuSeconds) * 60_000) / restMs,
    budgets.restCPU,
  ),
  ...memory(`${role}: at rest: resident memory`, after, budgets.residentMiB),
]

/** A restart of both roles. Times are in milliseconds since the epoch. */
type Restart = {
  /** When the first of them started. */
  readonly restarted: number
  /** When the operator started. */
  readonly begun: number
  /** The objects before it. */
  readonly before: Versions
  readonly count: number
}

/** Resolves with the operator's usage when it has looked at each instance. */
const untilLooked = async (operator: RunningRole, count: number, signal: AbortSignal): Promise<ProcessUsage> => {
  const looked = async (): Promise<boolean> =>
    sum(await operator.metric("controller_runtime_reconcile_total"), /controller="mcpinstance"/) >= count &&
    sum(await operator.metric("workqueue_depth")) === 0
  await until(looked, { ms: 60_000, what: "a reconcile of each instance", signal })
  return operator.usage()
}

/** What both roles have used in a minute of rest. */
const rest = async ({ operator, gateway }: Roles, signal: AbortSignal): Promise<readonly Row[]> => {
  await sleep(settleMs, undefined, { signal })
  const before = [await operator.usage(), await gateway.usage()] as const
  await sleep(restMs, undefined, { signal })
  return [
    ...restOf("operator", before[0], await operator.usage()),
    ...restOf("gateway", before[1], await gateway.usage()),
  ]
}

/** Measures the restarted roles on the existing instances; sets exit code 1 if they write or change anything. */
const resync = async (
  cluster: ScaleCluster,
  roles: Roles,
  { restarted, begun, before, count }: Restart,
): Promise<readonly Row[]> => {
  const { signal } = cluster
  const serving = await roles.gateway.usage()
  const looked = await untilLooked(roles.operator, count, signal)
  const lookedAt = Date.now()
  const rested = await rest(roles, signal)
  const operatorCalls = await callsOf(cluster, "operator", { from: restarted })
  const gatewayCalls = await callsOf(cluster, "gateway", { from: restarted })
  const changed = differences(before, await readVersions(cluster))
  const writes = writesIn(operatorCalls) + writesIn(gatewayCalls)
  if (changed + writes > 0) process.exitCode = 1
  return [
    seconds("operator: restart: each instance looked at after", (lookedAt - begun) / 1_000),
    seconds("operator: restart: CPU time until then", looked.cpuSeconds, budgets.restartCPU),
    ...memory("operator: restart: resident memory then", looked, budgets.residentMiB),
    seconds("gateway: restart: CPU time until it serves", serving.cpuSeconds, budgets.restartCPU),
    ...memory("gateway: restart: resident memory then", serving, budgets.residentMiB),
    ...rested,
    { what: "restart and rest: objects that changed", value: changed, unit: "", budget: 0 },
    { what: "restart and rest: writes of both, except to Leases", value: writes, unit: "", budget: 0 },
    { what: "operator: restart and rest: calls", text: listed(operatorCalls) },
    { what: "gateway: restart and rest: calls", text: listed(gatewayCalls) },
  ]
}

/** Runs `use` with both roles. The operator starts when the gateway serves: `begun` is the operator's start. */
const withRoles = <T>(
  cluster: ScaleCluster,
  count: number,
  use: (roles: Roles, begun: number) => Promise<T>,
): Promise<T> =>
  withRole(settingsOf(cluster, "gateway", count), cluster.signal, (gateway) => {
    const begun = Date.now()
    return withRole(settingsOf(cluster, "operator", count), cluster.signal, (operator) =>
      use({ operator, gateway }, begun),
    )
  })

const measure = async (cluster: ScaleCluster, count: number): Promise<readonly Row[]> => {
  const filled = await withRoles(cluster, count, (roles) => fill(cluster, roles, count))
  const before = await readVersions(cluster)
  note("restarting operator and gateway")
  const restarted = Date.now()
  const resynced = await withRoles(cluster, count, (roles, begun) =>
    resync(cluster, roles, { restarted, begun, before, count }),
  )
  return [...filled, ...resynced]
}

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { check: { type: "boolean", default: false }, json: { type: "boolean", default: false } },
})
const count = Number(positionals[0] ?? 5_000)
const loadBefore = loadavg()
const interrupted = new AbortController()
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupted.abort())
const cluster = await prepareScale(count, interrupted.signal)
try {
  const rows = await measure(cluster, count)
  report(rows, {
    title: `${count} instances`,
    machine: machine(await versionOf(await requireCluster()), loadBefore),
    ...flags,
  })
} finally {
  note("cleaning up")
  await cluster.close()
}
