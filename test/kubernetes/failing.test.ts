/**
 * Every kind of failing start on a real kubelet: what `kubectl describe` tells of it, how soon, and what its caller hears.
 * All instances are made at once; each test then looks at its own.
 */
import { randomBytes } from "node:crypto"
import { beforeAll, describe, expect, test } from "vitest"
import { findCondition } from "../../src/api/kinds/kind.ts"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { type Pod, podKind } from "../../src/api/kinds/pod.ts"
import { labels } from "../../src/api/names.ts"
import { masked } from "../../src/credentials/mask.ts"
import type { Reflection } from "../../src/ports/cluster.ts"
import { startSteps } from "../../src/signals/start.ts"
import { initialize, post } from "../support/reflow.ts"
import { cluster, kubectl, openCluster, waitFor } from "./support/cluster.ts"
import { crash, type Fields, greedy, kinds, memory } from "./support/failing-kinds.ts"
import { ensureImages, images } from "./support/images.ts"
import { type Installation, makeInstallation, type RoleProcess, startRole } from "./support/role.ts"

/** The secret that servers here print. */
const canary = `canary-${randomBytes(12).toString("hex")}`

/** When something was first seen, by the name of the instance; all by one clock, so that they can be compared. */
type Seen = Map<string, number>
const seen = {
  instance: new Map() as Seen,
  report: new Map() as Seen,
  told: new Map() as Seen,
  failed: new Map() as Seen,
}
const note = (where: Seen, name: string): void => void (where.has(name) || where.set(name, performance.now()))

const onInstance = ({ metadata: { name }, status }: MCPInstance): void => {
  const kind = kinds[name]
  if (kind === undefined) return
  note(seen.instance, name)
  if (findCondition(status?.conditions, "Ready")?.reason === kind.reason) note(seen.told, name)
  if (status?.failure?.reason === kind.reason) note(seen.failed, name)
}
const onPod = (pod: Pod): void => {
  const name = pod.metadata.ownerReferences?.[0]?.name ?? ""
  const server = pod.status?.containerStatuses?.[0]
  if (kinds[name]?.report?.(pod, server) === true) note(seen.report, name)
}

let place: Installation
let namespace = ""
let operator: RoleProcess
let instances: Reflection<MCPInstance>
let pods: Reflection<Pod>

const free = { "kubernetes.pod_security": "privileged", "kubernetes.run_as_user": "" }
const startOperator = async (): Promise<RoleProcess> => {
  const kubeconfig = await place.kubeconfig("operator")
  const role = startRole("operator", { kubeconfig, namespace, set: free, until: "file" })
  // after a kill the Lease has to run out first
  await role.line("leading", 60_000)
  return role
}

const create = (items: readonly unknown[]): Promise<string> =>
  kubectl(["create", "-f", "-"], { input: JSON.stringify({ apiVersion: "v1", kind: "List", items }) })
const secret = (name: string, stringData: Fields) => ({
  ...{ apiVersion: "v1", kind: "Secret", stringData },
  metadata: { name, namespace },
})
const made = (kind: "MCPInstance" | "MCPTarget", name: string, spec: Fields) => ({
  ...{ apiVersion: "mcp.reflow.io/v1alpha1", kind, metadata: { name, namespace } },
  spec: { image: images.github.name, port: 8080, ...spec },
})

/** Resolves when the quota's controller has counted: before that everything is refused. */
const makeQuota = async (): Promise<void> => {
  const metadata = { name: "room", namespace }
  await create([{ apiVersion: "v1", kind: "ResourceQuota", metadata, spec: { hard: { "requests.cpu": "80" } } }])
  await kubectl(["wait", "resourcequota/room", "-n", namespace, "--for=jsonpath={.status.used}", "--timeout=30s"])
}

const isReady = (name: string, ms: number): Promise<MCPInstance> => {
  const ready = (all: Reflection<MCPInstance>) => (all.get(name)?.status?.phase === "Ready" ? all.get(name) : undefined)
  return waitFor(instances, ready, ms, `${name} is Ready`)
}
const seenBy = async (where: Seen, name: string, what: string): Promise<number> =>
  waitFor(instances, () => where.get(name), 45_000, `${name}: ${what}`)

beforeAll(async () => {
  await ensureImages(["github", "root"], cluster)
  place = await makeInstallation("failing")
  namespace = place.instances
  await makeQuota()
  await create([secret("canary", { TOKEN: canary })])
  const client = openCluster("test")
  instances = client.watch(mcpInstanceKind, { namespace })
  pods = client.watch(podKind, { namespace })
  instances.subscribe(({ object }) => onInstance(object))
  pods.subscribe(({ object }) => onPod(object))
  operator = await startOperator()
  await Promise.all([instances.synced, pods.synced])
  const common = { targetName: "failing", startTimeout: "5m" }
  const all = Object.entries(kinds).map(([name, { spec }]) =>
    made("MCPInstance", name, { ...common, subjectKey: `user:${name}`, ...spec }),
  )
  await create(all)
}, 300_000)

describe.concurrent("kubectl describe of a failing instance", () => {
  test.for(Object.entries(kinds))(
    "%s: tells what is wrong and what to do, in time",
    { timeout: 120_000 },
    async ([name, { reason, says, report, within = 2, fails }], { expect }) => {
      const told = await seenBy(seen.told, name, reason)
      const failed = fails === undefined ? told : await seenBy(seen.failed, name, "counts as failed")
      const since = (report === undefined ? seen.instance : seen.report).get(name) ?? Number.POSITIVE_INFINITY
      expect(told - since).toBeLessThan(within * 1_000)
      expect(failed - since).toBeLessThan((fails ?? within) * 1_000)
      expect(instances.get(name)?.status?.phase).toBe(fails === undefined ? "Starting" : "Failed")
      let described = ""
      const describe = async () => {
        described = (await kubectl(["describe", "mcpi", name, "-n", namespace])).replace(/\s+/g, " ")
        return described
      }
      // its Event is written right after the status
      await expect.poll(describe, { timeout: 40_000, interval: 500 }).toMatch(new RegExp(`Warning ${reason} `))
      for (const words of says) expect(described).toMatch(words)
    },
  )
})

const targets = {
  "no-image": { image: "registry.invalid/nothing:1" },
  crashes: { command: crash, credentials: [{ name: "TOKEN" }] },
  "needs-much": { command: greedy, resources: memory },
  "fits-nowhere": kinds.unschedulable?.spec ?? {},
} as const

/** What a caller of a target hears: the answer's head, the data of its error, and how long that took. */
type Heard = { readonly status: number; readonly retryAfter: string | null; readonly data: Fields; readonly ms: number }

describe.concurrent("the caller of a target that fails", () => {
  let gateway: RoleProcess
  let url = ""
  let headers: Readonly<Record<string, string>> = {}
  beforeAll(async () => {
    const kubeconfig = await place.kubeconfig("gateway")
    gateway = startRole("gateway", { kubeconfig, namespace, set: { "kubernetes.hold_timeout": "14s" }, until: "file" })
    url = String((await gateway.line("serving")).url)
    const read = ["get", "secret", "reflow-bootstrap-token", "-n", place.own, "-o", "jsonpath={.data.token}"]
    const token = Buffer.from(await kubectl(read), "base64").toString()
    headers = { authorization: `Bearer ${token}`, "content-type": "application/json" }
    await create(Object.entries(targets).map(([name, spec]) => made("MCPTarget", name, spec)))
    const body = JSON.stringify({ TOKEN: canary })
    const stored = await fetch(`${url}/api/targets/crashes/env/me`, { method: "PUT", headers, body })
    if (!stored.ok) throw new Error(`${stored.status} ${await stored.text()}`)
  })
  const ask = (target: string) => post(`${url}/mcp/${target}`, undefined, initialize(), headers)
  const hear = async (target: string): Promise<Heard> => {
    const begin = performance.now()
    const response = await ask(target)
    const text = await response.text()
    const { status } = response
    if (!text.includes('"error"')) throw new Error(`${target}: ${status} «${text}»\n${gateway.output()}`)
    const retryAfter = response.headers.get("retry-after")
    return { status, retryAfter, data: JSON.parse(text).error.data, ms: performance.now() - begin }
  }
  const instanceOf = (target: string): MCPInstance | undefined =>
    [...instances.items()].find(({ spec }) => spec.targetName === target)
  const podsOf = (target: string): (string | undefined)[] =>
    [...pods.items()]
      .filter((pod) => pod.metadata.labels?.[labels.target] === target)
      .map(({ metadata }) => metadata.uid)

  test("whose image is nowhere hears so within 15 s; its Pod is not made again and again, and it heals with the target", async ({
    expect,
  }) => {
    const { status, data, ms } = await hear("no-image")
    expect(ms).toBeLessThan(15_000)
    expect(status).toBe(200)
    const message = expect.stringContaining(targets["no-image"].image)
    expect(data).toMatchObject({ code: "InstanceFailed", reason: "ErrImagePull", message })
    await hear("no-image")
    expect(instanceOf("no-image")?.status?.starts).toBe(1)
    expect(podsOf("no-image")).toHaveLength(1)
    const patch = JSON.stringify({ spec: { image: images.github.name } })
    await kubectl(["patch", "mcpt", "no-image", "-n", namespace, "--type=merge", "-p", patch])
    await expect.poll(async () => (await ask("no-image")).status, { timeout: 60_000 }).toBe(200)
  })

  test("that crashes hears reason, exit code and the last log lines, with secrets masked", async ({ expect }) => {
    const { status, data } = await hear("crashes")
    expect(status).toBe(200)
    expect(data).toMatchObject({
      code: "InstanceFailed",
      reason: "CrashLoop",
      exit_code: 3,
      log: [masked, "giving up"],
    })
  })

  test("that needs more memory than it may have hears so", async ({ expect }) => {
    const { status, data } = await hear("needs-much")
    expect(status).toBe(200)
    expect(data).toMatchObject({ code: "InstanceFailed", reason: "OOMKilled", exit_code: 137 })
  })

  test("that no node can take is held, then hears the scheduler's words and when to ask again; its Pod stays for the next", async ({
    expect,
  }) => {
    const first = await hear("fits-nowhere")
    expect(first).toMatchObject({ status: 200, retryAfter: expect.stringMatching(/^[1-9]/) })
    expect(first.ms).toBeGreaterThan(13_000)
    expect(first.data.message).toMatch(/Insufficient memory/)
    const before = podsOf("fits-nowhere")
    expect(before).toHaveLength(1)
    expect((await hear("fits-nowhere")).data).toMatchObject({ code: "InstanceStarting" })
    expect(podsOf("fits-nowhere")).toEqual(before)
  })
})

describe("afterwards", () => {
  test("a Secret that was missing and is made lets its server start, without anyone's help", async ({ expect }) => {
    await seenBy(seen.failed, "missing-secret", "counts as failed")
    await create([secret("not-there", { TOKEN: "x" })])
    const { status } = await isReady("missing-secret", 60_000)
    expect(status).toMatchObject({ starts: 1, restarts: 0 })
    expect(status?.failure).toBeUndefined()
  })

  test("a server's secret that it printed at its end is in no Pod status, no instance, no Event and no log of ours", async () => {
    await seenBy(seen.failed, "crash", "counts as failed")
    const crashed = instances.get("crash")
    expect(await kubectl(["logs", crashed?.status?.podName ?? "", "-n", namespace])).toContain(canary)
    const written = await kubectl(["get", "pods,mcpi,mcpt,events", "-n", namespace, "-o", "yaml"])
    expect(written).toContain("CrashLoop")
    expect(written).not.toContain(canary)
    expect(operator.output()).not.toContain(canary)
  })

  test("the operator's metrics count them by phase and time what started; its probes tell that it works", async () => {
    await isReady("missing-secret", 60_000)
    const metrics = async () => (await operator.probe("/metrics")).text
    const isCounted = async () => {
      const text = await metrics()
      const { Failed = [], Ready = [] } = Object.groupBy(instances.items(), ({ status }) => status?.phase ?? "Pending")
      const counts = { Failed: Failed.length, Ready: Ready.length }
      return Object.entries(counts).every(([phase, count]) =>
        text.includes(`reflow_instances{phase="${phase}"} ${count}\n`),
      )
    }
    await expect.poll(isCounted, { timeout: 30_000 }).toBe(true)
    const step = /reflow_instance_start_seconds_count\{step="(\w+)"\} [1-9]/g
    expect([...(await metrics()).matchAll(step)].map(([, name]) => name).toSorted()).toEqual(
      // none of these servers is a package
      startSteps.filter((each) => each !== "install").toSorted(),
    )
    expect([(await operator.probe("/healthz")).status, (await operator.probe("/readyz")).status]).toEqual([200, 200])
  })

  test("an operator that starts anew goes on where the other one was: same Pod, same failure, longer backoff", {
    timeout: 450_000,
  }, async () => {
    const before = new Map([...instances.items()].map((each) => [each.metadata.name, each.status]))
    operator.process.kill("SIGKILL")
    await operator.ended
    // nobody gives its Lease back
    operator = await startOperator()
    const { backoffSeconds = 0 } = before.get("quota") ?? {}
    const longer = (all: Reflection<MCPInstance>) => {
      const now = all.get("quota")?.status?.backoffSeconds
      return now === undefined || now === backoffSeconds ? undefined : now
    }
    const next = await waitFor(instances, longer, backoffSeconds * 1_000 + 60_000, "the refused create is tried again")
    expect(next).toBe(Math.min(backoffSeconds * 2, 300))
    for (const name of ["crash", "oom", "bad-image"]) {
      const { podName, starts, failure } = instances.get(name)?.status ?? {}
      const then = before.get(name)
      expect({ podName, starts, failure }).toEqual({ podName: then?.podName, starts: 1, failure: then?.failure })
    }
  })
})
