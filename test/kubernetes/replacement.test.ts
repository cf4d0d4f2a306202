/** What users notice of it when their server's Pod is replaced, by accident or because something was changed: nothing. */
import { setTimeout as sleep } from "node:timers/promises"
import { beforeAll, describe, expect, test } from "vitest"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { type MCPTarget, mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import { type Pod, podKind } from "../../src/api/kinds/pod.ts"
import { labels } from "../../src/api/names.ts"
import type { ClusterPort, MergePatch, Reflection } from "../../src/ports/cluster.ts"
import { answerOf, toolText } from "../support/modern.ts"
import { initialize, post } from "../support/reflow.ts"
import { cluster, kubectl, openCluster, waitFor } from "./support/cluster.ts"
import { ensureImages, images } from "./support/images.ts"
import { type Installation, makeInstallation, type RoleProcess, startRole } from "./support/role.ts"

let place: Installation
let admin: ClusterPort
let instances: Reflection<MCPInstance>
let pods: Reflection<Pod>
let operator: RoleProcess
let url = ""
let token = ""

/** Starts the operator, whose Pods run as a user of one's own choice. */
const startOperator = async (runAsUser = 65532): Promise<void> => {
  const kubeconfig = await place.kubeconfig("operator")
  const set = { "kubernetes.run_as_user": String(runAsUser) }
  operator = startRole("operator", { kubeconfig, namespace: place.instances, set, until: "file" })
  await operator.line("leading")
}
const stopOperator = async (): Promise<void> => {
  operator.process.kill("SIGTERM")
  await operator.ended
}

const resources = { requests: { cpu: "10m", memory: "16Mi" }, limits: { cpu: "500m", memory: "128Mi" } }
const makeTarget = (name: string, statefulness: "stateful" | "stateless"): Promise<MCPTarget> =>
  admin.create(mcpTargetKind, {
    apiVersion: mcpTargetKind.apiVersion,
    kind: mcpTargetKind.kind,
    metadata: { name, namespace: place.instances },
    spec: {
      transportType: "kubernetes",
      image: images.dual.name,
      port: 8080,
      statefulness,
      isolationBoundary: "per_user",
      credentials: [{ name: "VALUE", required: false }],
      resources,
    },
  })

/** One server whose sessions end with it, one whose sessions need not. */
const targets = ["kept", "free"] as const
type Target = (typeof targets)[number]

beforeAll(async () => {
  await ensureImages(["dual", "dice"], cluster)
  place = await makeInstallation("replaced")
  admin = openCluster("test")
  instances = admin.watch(mcpInstanceKind, { namespace: place.instances })
  pods = admin.watch(podKind, { namespace: place.instances })
  await makeTarget("kept", "stateful")
  await makeTarget("free", "stateless")
  const kubeconfig = await place.kubeconfig("gateway")
  const gateway = startRole("gateway", { kubeconfig, namespace: place.instances, until: "file" })
  await startOperator()
  url = String((await gateway.line("serving")).url)
  const path = "jsonpath={.data.token}"
  token = atob(await kubectl(["get", "secret", "reflow-bootstrap-token", "-n", place.own, "-o", path]))
  await Promise.all(targets.map(machine))
  await Promise.all(targets.map((target) => readyAfter(target)))
}, 300_000)

const tool = (target: Target, name: string, args: Readonly<Record<string, unknown>> = {}): Promise<string> =>
  toolText(`${url}/mcp/${target}`, token, name, args)

/** The Pod that answers a call of the modern era. */
const machine = async (target: Target): Promise<string> =>
  JSON.parse(await tool(target, "env", { names: ["HOSTNAME"] })).values.HOSTNAME

const instanceOf = (target: Target): MCPInstance | undefined =>
  [...instances.items()].find(({ spec }) => spec.targetName === target)

/** The instance of a target as soon as it is Ready in another life than the given one. */
const readyAfter = (target: Target, incarnation?: string): Promise<MCPInstance> =>
  waitFor(
    instances,
    () => {
      const found = instanceOf(target)
      const { status } = found ?? {}
      return status?.phase === "Ready" && status.incarnation !== incarnation ? found : undefined
    },
    60_000,
    `${target} is Ready in a new life`,
  )

/** Opens a session of the older era; resolves with what asks in it for the server's Pod. */
const openSession = async (target: Target) => {
  const address = `${url}/mcp/${target}`
  const opened = await post(address, token, initialize())
  const said = JSON.stringify(Object.fromEntries(opened.headers)) + (await opened.text())
  expect(opened.status, said).toBe(200)
  const session = { "mcp-session-id": opened.headers.get("mcp-session-id") ?? "" }
  const told = await post(address, token, { jsonrpc: "2.0", method: "notifications/initialized" }, session)
  expect(told.status).toBe(202)
  return async () => {
    const params = { name: "env", arguments: { names: ["HOSTNAME"] } }
    const response = await post(address, token, { jsonrpc: "2.0", id: 2, method: "tools/call", params }, session)
    if (response.status !== 200) return `status ${response.status}`
    const answer = await answerOf(response, 2)
    return String(JSON.parse(answer.result.content[0].text).values.HOSTNAME)
  }
}

describe("during a session", () => {
  const podNames = () => targets.map((target) => instanceOf(target)?.status?.podName ?? "")
  const evict = (name: string): Promise<string> => {
    const eviction = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name, namespace: place.instances } }
    const path = `/api/v1/namespaces/${place.instances}/pods/${name}/eviction`
    return kubectl(["create", "--raw", path, "-f", "-"], { input: JSON.stringify(eviction) })
  }
  const restarts = () => podNames().map((name) => pods.get(name)?.status?.containerStatuses?.[0]?.restartCount ?? 0)
  /** A process that ends takes its connections with it one by one: what is sent on one of them meanwhile may be lost. */
  const crash = async (): Promise<void> => {
    const before = restarts()
    await Promise.allSettled(targets.map((target) => tool(target, "crash")))
    const isOver = () => restarts().every((count, index) => count > (before[index] ?? 0))
    await waitFor(pods, () => (isOver() ? true : undefined), 30_000, "both containers are restarted")
  }
  const accidents: readonly (readonly [string, boolean, () => Promise<unknown>])[] = [
    [
      "the Pod is deleted",
      true,
      () => kubectl(["delete", "pod", ...podNames(), "-n", place.instances, "--wait=false"]),
    ],
    ["the Pod is evicted", true, () => Promise.all(podNames().map(evict))],
    ["the container is restarted", false, crash],
  ]

  test.each(accidents)(
    "%s: modern calls go on, a session of a stateless target too, one of a stateful target is 404",
    async (_, isReplaced, happen) => {
      const sessions = { kept: await openSession("kept"), free: await openSession("free") }
      const before = { kept: await readyAfter("kept"), free: await readyAfter("free") }
      expect([await sessions.kept(), await sessions.free()]).toEqual(podNames())
      await happen()
      await Promise.all(
        targets.map(async (target) => {
          const { podName, incarnation } = before[target].status ?? {}
          // the first is held until the new server answers; none of them fails
          for (let call = 0; call < 3; call++) await machine(target)
          const after = await readyAfter(target, incarnation)
          const now = after.status?.podName
          expect(now === podName).toBe(!isReplaced)
          expect(await machine(target)).toBe(now)
          expect(await sessions[target]()).toBe(target === "free" ? now : "status 404")
          if (isReplaced) expect(await machine(target), "nothing goes to the old address").not.toBe(podName)
        }),
      )
    },
  )
})

test("a Pod that went while no operator ran is found missing at its start; other defaults replace no Pod that runs", async () => {
  const [kept, free] = await Promise.all(targets.map((target) => readyAfter(target)))
  const running = pods.get(kept?.status?.podName ?? "")
  await stopOperator()
  const lost = free?.status?.podName ?? ""
  await kubectl(["delete", "pod", lost, "-n", place.instances, "--grace-period=1"])
  // as if an older program had made it
  const older = { metadata: { annotations: { [labels.templateRevision]: "0" } } }
  await admin.mergePatch(podKind, { namespace: place.instances, name: running?.metadata.name ?? "" }, older)
  const held = machine("free")
  await startOperator(65534)
  const next = await readyAfter("free", free?.status?.incarnation)
  expect(await held).toBe(next.status?.podName)
  expect(next.status?.podName).not.toBe(lost)
  expect(pods.get(next.status?.podName ?? "")?.spec.securityContext?.runAsUser).toBe(65534)
  const still = instanceOf("kept")
  expect(still?.status).toMatchObject({ phase: "Ready", starts: kept?.status?.starts })
  expect(pods.get(running?.metadata.name ?? "")?.metadata).toMatchObject({ uid: running?.metadata.uid })
  expect(pods.get(running?.metadata.name ?? "")?.metadata.deletionTimestamp).toBeUndefined()
  expect(running?.spec.securityContext?.runAsUser).toBe(65532)
})

/** Calls a tool that lasts so many seconds; resolves once the operator can know of it, with the promise of its answer. */
const beginSlow = async (target: Target, seconds: number): Promise<{ readonly answer: Promise<string> }> => {
  const answer = tool(target, "slow", { seconds })
  const isTold = () => Object.keys(instanceOf(target)?.status?.inUseBy ?? {}).length > 0 || undefined
  await waitFor(instances, isTold, 10_000, "the gateway tells that it uses the server")
  return { answer }
}
const patchTarget = (name: string, spec: MergePatch) =>
  admin.mergePatch(mcpTargetKind, { namespace: place.instances, name }, { spec })
const startsOf = (target: Target): number => instanceOf(target)?.status?.starts ?? 0

describe("a change while users are online", () => {
  test("of the target, made thrice in a burst, replaces an idle server at once and a busy one after its call, each once", async () => {
    await Promise.all(targets.map((target) => readyAfter(target)))
    const before = { kept: startsOf("kept"), free: startsOf("free") }
    const { metadata } = await patchTarget("free", { image: images.dual.name })
    const ahead = { targetName: "free", targetUID: metadata.uid ?? "", targetGeneration: 99 }
    await admin.create(mcpInstanceKind, {
      apiVersion: mcpInstanceKind.apiVersion,
      kind: mcpInstanceKind.kind,
      metadata: { name: "ahead", namespace: place.instances },
      spec: { image: images.dice.name, port: 8080, subjectKey: "user:ahead", resources, ...ahead },
    })
    const { answer } = await beginSlow("kept", 9)
    for (const value of ["1", "2", "3"])
      for (const target of targets) await patchTarget(target, { env: [{ name: "CHANGED", value }] })
    const drains = () => instanceOf("kept")?.status?.conditions?.find(({ type }) => type === "Draining")
    await waitFor(instances, () => drains()?.reason === "SpecChanged" || undefined, 30_000, "the busy one drains")
    expect(await answer, "the call is not cut").toBe("slept 9 seconds")
    const changed = { names: ["CHANGED"] }
    for (const target of targets) {
      await expect.poll(() => startsOf(target), { timeout: 60_000 }).toBe(before[target] + 1)
      expect(JSON.parse(await tool(target, "env", changed)).values).toEqual({ CHANGED: "3" })
    }
    await sleep(1_000)
    expect({ kept: startsOf("kept"), free: startsOf("free") }, "one replacement each").toEqual({
      kept: before.kept + 1,
      free: before.free + 1,
    })
    expect(instances.get("ahead")?.spec, "a newer generation is not followed back").not.toHaveProperty("env")
  })

  test("of the credentials, made twice quickly, is one restart, after the open call", async () => {
    const { metadata } = await readyAfter("kept")
    const made: string[] = []
    const unsubscribe = instances.subscribe(({ type, object }) => {
      if (type === "added") made.push(object.metadata.name)
    })
    const { answer } = await beginSlow("kept", 8)
    for (const value of ["first", "second"]) {
      const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" }
      const body = JSON.stringify({ VALUE: value })
      const response = await fetch(`${url}/api/targets/kept/env/me`, { method: "PUT", headers, body })
      expect(response.ok, await response.text()).toBe(true)
    }
    expect(await answer, "the call is not cut").toBe("slept 8 seconds")
    await waitFor(
      instances,
      () => instanceOf("kept")?.metadata.uid !== metadata.uid || undefined,
      60_000,
      "it restarts",
    )
    expect(JSON.parse(await tool("kept", "env", { names: ["VALUE"] })).values).toEqual({ VALUE: "second" })
    await readyAfter("kept")
    unsubscribe()
    expect(made).toEqual([metadata.name])
  })
})
