/**
 * Runs the operator with thousands of instances on a real API server with simulated nodes. It measures how long it
 * takes until all are Ready, and memory, CPU time and API calls. It then restarts the operator, which must change no
 * object. Fails if not all instances become Ready, or if the restart changes an object.
 * Run: npm run bench:scale [-- instances, default 2000]
 *
 * Real nodes are cordoned until all instances are Ready, so no other Pod can start on that cluster meanwhile.
 */
import { cpus } from "node:os"
import { setTimeout as sleep } from "node:timers/promises"
import type { Kind, KubeObject } from "../src/api/kinds/kind.ts"
import { serviceKind } from "../src/api/kinds/kubernetes.ts"
import { type MCPInstance, mcpInstanceKind } from "../src/api/kinds/mcp-instance.ts"
import { type MCPTarget, mcpTargetKind } from "../src/api/kinds/mcp-target.ts"
import { podKind } from "../src/api/kinds/pod.ts"
import { instanceName } from "../src/api/names.ts"
import { callText, readEntries } from "../test/kubernetes/support/audit.ts"
import type { ProcessUsage } from "../test/support/process-usage.ts"
import { type OperatorProcess, type Series, startOperatorProcess, sum } from "./operator-process.ts"
import { listAll, prepareScale, type ScaleCluster } from "./scale-cluster.ts"

const targetCount = 20
/** Maximum number of concurrent create calls. */
const creators = 16
const port = 19_390
/** How long a steady operator is watched, in milliseconds. */
const steadyMs = 20_000

/** The operator's resource usage and API calls up to a moment. */
type Reading = ProcessUsage & {
  /** Milliseconds since the epoch. */
  readonly at: number
  /** Calls to the API server by method and code. */
  readonly calls: Series
}

const note = (text: string): void => console.error(`${new Date().toISOString().slice(11, 19)} ${text}`)

const megabytes = ({ residentMiB, peakMiB }: ProcessUsage): string =>
  `${residentMiB.toFixed(0)} MiB, ${peakMiB.toFixed(0)} at most`

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`

const read = async (operator: OperatorProcess): Promise<Reading> => {
  const calls = await operator.metric("rest_client_requests_total")
  return { ...(await operator.usage()), at: Date.now(), calls }
}

/** Number of successful writes, without those of the Lease, which are the only PUT calls. */
const writes = ({ calls }: Pick<Reading, "calls">): number => sum(calls, /method="(POST|PATCH|DELETE)".*code="2/)

type Wait = { readonly ms: number; readonly what: string; readonly signal: AbortSignal }

const until = async (holds: () => Promise<boolean>, { ms, what, signal }: Wait): Promise<void> => {
  for (const end = Date.now() + ms; !(await holds()); await sleep(250, undefined, { signal }))
    if (Date.now() > end) throw new Error(`not within ${ms / 1_000} s: ${what}`)
}

const makeTargets = ({ admin, namespace }: ScaleCluster): Promise<readonly MCPTarget[]> =>
  Promise.all(
    Array.from({ length: targetCount }, (_, index) => {
      const { apiVersion, kind } = mcpTargetKind
      const metadata = { name: `server-${index}`, namespace }
      const spec = { transportType: "kubernetes", image: "example.com/server:1", port: 8080 } as MCPTarget["spec"]
      return admin.create(mcpTargetKind, { apiVersion, kind, metadata, spec })
    }),
  )

const toInstance = (target: MCPTarget, user: number): MCPInstance => {
  const { name: targetName, uid = "", namespace = "", generation = 1 } = target.metadata
  const subjectKey = `user:${user}`
  const { apiVersion, kind } = mcpInstanceKind
  const name = instanceName(targetName, uid, subjectKey)
  const { image, port } = target.spec
  const spec = { image, port, targetName, targetUID: uid, targetGeneration: generation, subjectKey }
  return { apiVersion, kind, metadata: { name, namespace }, spec } as MCPInstance
}

const makeInstances = async (
  { admin, signal }: ScaleCluster,
  targets: readonly MCPTarget[],
  count: number,
): Promise<void> => {
  const users = Array.from({ length: count }, (_, user) => user).values()
  const create = async (): Promise<void> => {
    for (const user of users) {
      const target = targets[user % targets.length]
      if (target !== undefined) await admin.create(mcpInstanceKind, toInstance(target, user), { signal })
    }
  }
  await Promise.all(Array.from({ length: creators }, create))
}

const phaseCount = async (operator: OperatorProcess, phase: string): Promise<number> =>
  sum(await operator.metric("reflow_instances"), new RegExp(`phase="${phase}"`))

/**
 * Resolves when there was no write for 8 s: the counts in targets' status are written up to 5 s after the last change.
 */
const untilQuiet = async (operator: OperatorProcess, signal: AbortSignal): Promise<Reading> => {
  let last = await read(operator)
  const quiet = async (): Promise<boolean> => {
    const now = await read(operator)
    if (writes(now) !== writes(last)) last = now
    return now.at - last.at >= 8_000
  }
  await until(quiet, { ms: 120_000, what: "no more writes", signal })
  return last
}

/** The resourceVersion of every object that the operator writes. */
const versions = async ({ admin, namespace }: ScaleCluster): Promise<ReadonlyMap<string, string>> => {
  const kinds: readonly Kind<KubeObject>[] = [mcpInstanceKind, mcpTargetKind, podKind, serviceKind]
  const found = new Map<string, string>()
  for (const kind of kinds)
    for (const { metadata } of await listAll(admin, kind, namespace))
      found.set(`${kind.kind} ${metadata.name} ${metadata.uid}`, metadata.resourceVersion ?? "")
  return found
}

const differences = (before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): number =>
  [...new Set([...before.keys(), ...after.keys()])].filter((key) => before.get(key) !== after.get(key)).length

/** Number of the operator's calls by verb and resource, from the API server's audit log. */
const callsSince = async ({ auditLog, user, namespace }: ScaleCluster, from: number) => {
  const entries = await readEntries(auditLog, { from, holding: [`"${user}"`] })
  const counts = new Map<string, number>()
  for (const entry of entries) {
    if (entry.user.username !== user || !entry.objectRef?.namespace?.startsWith(namespace)) continue
    const refused = (entry.responseStatus?.code ?? 0) >= 300 ? ` (${entry.responseStatus?.code})` : ""
    const call = callText(entry) + refused
    counts.set(call, (counts.get(call) ?? 0) + 1)
  }
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1))
}

const listed = (counts: readonly (readonly [string, number])[]): string =>
  counts.map(([call, count]) => `${count} ${call}`).join(", ") || "none"

const ensureAllReady = async ({ admin, namespace }: ScaleCluster, count: number): Promise<void> => {
  const instances = await listAll(admin, mcpInstanceKind, namespace)
  const ready = instances.filter(({ status }) => status?.phase === "Ready" && status.url !== undefined).length
  if (instances.length !== count || ready !== count) throw new Error(`${ready} of ${instances.length} are Ready`)
}

type Row = readonly [what: string, value: string]

/** Creates all instances and measures until all are Ready and the operator writes nothing more. */
const fill = async (cluster: ScaleCluster, operator: OperatorProcess, count: number): Promise<readonly Row[]> => {
  const { signal } = cluster
  const empty = await read(operator)
  const targets = await makeTargets(cluster)
  const begun = Date.now()
  await makeInstances(cluster, targets, count)
  const created = Date.now()
  note(`${count} instances created in ${seconds(created - begun)}`)
  let notedAt = Date.now()
  const isFull = async (): Promise<boolean> => {
    const ready = await phaseCount(operator, "Ready")
    if (Date.now() - notedAt >= 10_000) {
      notedAt = Date.now()
      const usage = await operator.usage()
      note(`${ready} Ready, ${megabytes(usage)}, CPU ${usage.cpuSeconds.toFixed(0)} s`)
    }
    return ready >= count
  }
  await until(isFull, { ms: 900_000, what: "all instances Ready", signal })
  const full = await read(operator)
  note(`all Ready after ${seconds(full.at - begun)}`)
  await cluster.release()
  await ensureAllReady(cluster, count)
  const quiet = await untilQuiet(operator, signal)
  const cpuSeconds = quiet.cpuSeconds - empty.cpuSeconds
  return [
    ["instances created by the test in", seconds(created - begun)],
    ["all Ready, since the first was created", seconds(full.at - begun)],
    ["operator: resident memory without instances", megabytes(empty)],
    [`operator: resident memory with ${count}`, megabytes(quiet)],
    ["operator: CPU time until nothing was left to write", `${cpuSeconds.toFixed(1)} s`],
    ["operator: CPU time per instance", `${((cpuSeconds * 1_000) / count).toFixed(1)} ms`],
    ["writes per instance, Events among them", ((writes(quiet) - writes(empty)) / count).toFixed(2)],
    ["calls", listed(await callsSince(cluster, begun))],
  ]
}

/** Measures a new operator on the existing instances; sets exit code 1 if it writes or changes anything. */
const resync = async (
  cluster: ScaleCluster,
  operator: OperatorProcess,
  { begun, before }: { readonly begun: number; readonly before: ReadonlyMap<string, string> },
): Promise<readonly Row[]> => {
  const count = [...before.keys()].filter((key) => key.startsWith(`${mcpInstanceKind.kind} `)).length
  const { signal } = cluster
  await until(operator.isReady, { ms: 60_000, what: "the restarted operator ready", signal })
  const reconciled = async (): Promise<boolean> =>
    sum(await operator.metric("controller_runtime_reconcile_total"), /controller="mcpinstance"/) >= count &&
    sum(await operator.metric("workqueue_depth")) === 0
  await until(reconciled, { ms: 60_000, what: "a reconcile of each instance", signal })
  const settled = await read(operator)
  await sleep(steadyMs, undefined, { signal })
  const later = await read(operator)
  const changed = differences(before, await versions(cluster))
  const made = writes(later)
  if (changed + made > 0) process.exitCode = 1
  return [
    ["restart: each instance reconciled after", seconds(settled.at - begun)],
    ["restart: CPU time until then", `${settled.cpuSeconds.toFixed(1)} s`],
    ["restart: resident memory", megabytes(later)],
    ["restart: objects that changed", String(changed)],
    ["restart: writes, except to the Lease", String(made)],
    ["restart: calls", listed(await callsSince(cluster, begun))],
    ["steady: CPU time in a minute", `${(((later.cpuSeconds - settled.cpuSeconds) * 60_000) / steadyMs).toFixed(1)} s`],
  ]
}

/** Runs `use` with an operator, and ends the operator afterwards, also if `use` throws. */
const withOperator = async <T>(
  { kubeconfig, namespace }: ScaleCluster,
  count: number,
  use: (operator: OperatorProcess) => Promise<T>,
): Promise<T> => {
  const operator = startOperatorProcess({ kubeconfig, namespace, maxInstances: count, port })
  try {
    return await use(operator)
  } finally {
    const code = await operator.stop()
    if (code !== 0) note(`the operator ended with ${code}`)
  }
}

const measure = async (cluster: ScaleCluster, count: number): Promise<readonly Row[]> => {
  const filled = await withOperator(cluster, count, async (operator) => {
    await until(operator.isReady, { ms: 60_000, what: "the operator ready", signal: cluster.signal })
    return fill(cluster, operator, count)
  })
  const before = await versions(cluster)
  note("restarting the operator")
  const begun = Date.now()
  return [
    ...filled,
    ...(await withOperator(cluster, count, (operator) => resync(cluster, operator, { begun, before }))),
  ]
}

const count = Number(process.argv[2] ?? 2_000)
const interrupted = new AbortController()
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupted.abort())
const cluster = await prepareScale(count, interrupted.signal)
try {
  const rows = await measure(cluster, count)
  const server = (await cluster.kubectl("version", "-o", "json").then(JSON.parse)).serverVersion.gitVersion
  const machine = `${cpus().length} cores (${cpus()[0]?.model}), Kubernetes ${server}, Node ${process.version}`
  console.log(`${new Date().toISOString().slice(0, 10)}, ${count} instances, ${machine}\n`)
  console.log(["| what | figure |", "|---|---|", ...rows.map((row) => `| ${row.join(" | ")} |`)].join("\n"))
} finally {
  note("cleaning up")
  await cluster.close()
}
