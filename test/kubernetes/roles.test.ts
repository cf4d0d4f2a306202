import { get } from "node:http"
import { beforeAll, describe, expect, test } from "vitest"
import { controllerUID } from "../../src/api/kinds/kind.ts"
import { type Lease, leaseKind, serviceKind } from "../../src/api/kinds/kubernetes.ts"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { type Pod, podKind } from "../../src/api/kinds/pod.ts"
import type { Reflection } from "../../src/ports/cluster.ts"
import { eventually } from "../support/processes.ts"
import { cluster, kubectl, openCluster, readServer, waitFor } from "./support/cluster.ts"
import { ensureImages, images } from "./support/images.ts"
import { isLeading, release, timeOf } from "./support/leader.ts"
import { startRelay } from "./support/relay.ts"
import { type Installation, makeInstallation, type RoleProcess, readBootstrapToken, startRole } from "./support/role.ts"

let place: Installation
let instances: Reflection<MCPInstance>
let pods: Reflection<Pod>
let leases: Reflection<Lease>
let operatorConfig: string

beforeAll(async () => {
  await ensureImages(["dice"], cluster)
  place = await makeInstallation("roles")
  operatorConfig = await place.kubeconfig("operator")
  const client = openCluster("test")
  instances = client.watch(mcpInstanceKind, { namespace: place.instances })
  pods = client.watch(podKind, { namespace: place.instances })
  leases = client.watch(leaseKind, { namespace: place.own })
  await Promise.all([instances, pods, leases].map(({ synced }) => synced))
}, 300_000)

const nowhere = "registry.invalid/nothing:1"

/** Applies instances by hand, as a person would; without another image theirs is nowhere. */
const applyInstances = (names: readonly string[], image: string = nowhere) => {
  const items = names.map((name) => ({
    apiVersion: "mcp.reflow.io/v1alpha1",
    kind: "MCPInstance",
    metadata: { name, namespace: place.instances },
    spec: { image, port: 8080, targetName: "files", subjectKey: `user:${name}` },
  }))
  return kubectl(["apply", "-f", "-"], { input: JSON.stringify({ apiVersion: "v1", kind: "List", items }) })
}

const startOperator = (kubeconfig = operatorConfig): RoleProcess =>
  startRole("operator", { kubeconfig, namespace: place.instances })

/** Resolves once the operator has seen an instance: it has a phase. */
const isWorkedOn = async (name: string): Promise<void> => {
  await waitFor(instances, (each) => each.get(name)?.status?.phase, 30_000, `${name} has a phase`)
}

describe("the operator", () => {
  test("makes Pod and Service of an instance applied by hand, and says why it does not start", async () => {
    const operator = startOperator()
    await operator.line("leading")
    await applyInstances(["first"])
    const failed = await waitFor(
      instances,
      (each) =>
        each.get("first")?.status?.conditions?.find(({ type, reason }) => type === "Ready" && /Pull/.test(reason)),
      60_000,
      "a reason about the image",
    )
    expect(failed).toMatchObject({ status: "False", message: expect.stringContaining(nowhere) })
    const { uid } = instances.get("first")?.metadata ?? {}
    const owner = { kind: "MCPInstance", name: "first", uid, controller: true }
    const services = await openCluster("test").list(serviceKind, { namespace: place.instances })
    expect([...pods.items()].map(({ metadata }) => metadata.ownerReferences)).toMatchObject([[owner]])
    expect(services.items.map(({ metadata }) => metadata.ownerReferences)).toMatchObject([[owner]])
    expect((await operator.probe("/readyz")).status).toBe(200)
    expect(await release(leases, operator)).toBeLessThan(2_000)
  })

  test("of two, one leads; the other is ready and takes over within 20 s of a kill, and at once of an orderly end", async () => {
    const first = startOperator()
    await first.line("leading")
    const second = startOperator()
    await eventually(async () => (await second.probe("/readyz")).status === 200, 30_000, "the standby is ready")
    expect([await isLeading(first), await isLeading(second)]).toEqual([true, false])
    expect((await second.probe("/healthz")).status).toBe(200)

    const killed = Date.now()
    first.process.kill("SIGKILL")
    await applyInstances(["second"])
    expect(timeOf(await second.line("leading")) - killed).toBeLessThan(20_000)
    await isWorkedOn("second")

    const third = startOperator()
    await eventually(async () => (await third.probe("/readyz")).status === 200, 30_000, "the standby is ready")
    await release(leases, second)
    // it looks every two seconds, and need not wait for the 15 s of a Lease that nobody has given back
    const freed = Date.now()
    expect(timeOf(await third.line("leading")) - freed).toBeLessThan(8_000)
    await applyInstances(["third"])
    await isWorkedOn("third")
    await release(leases, third)
  })

  test("that is cut off from the API server in the middle of starts ends with code 3 after 10 s; another one leads then and makes nothing twice", async () => {
    const names = ["cut-1", "cut-2", "cut-3", "cut-4"]
    /** UIDs of the Pods that ever were, by the UID of their instance. */
    const made = new Map<string, Set<string | undefined>>()
    pods.subscribe(({ object }) => {
      const owner = controllerUID(object) ?? ""
      made.set(owner, (made.get(owner) ?? new Set()).add(object.metadata.uid))
    })
    const madeOf = (name: string) => made.get(instances.get(name)?.metadata.uid ?? "")?.size ?? 0
    const relay = await startRelay((await readServer()).server)
    const cut = startOperator(await place.kubeconfig("operator", relay.url))
    await cut.line("leading")
    const standby = startOperator()
    await eventually(async () => (await standby.probe("/readyz")).status === 200, 30_000, "the standby is ready")
    const isMaking = waitFor(pods, () => names.some((name) => madeOf(name) > 0) || undefined, 30_000, "a first Pod")
    await Promise.all([applyInstances(names, images.dice.name), isMaking])
    const left = Date.now()
    await relay.leave()
    expect([await isLeading(cut), await isLeading(standby)]).toEqual([true, false])
    expect(await cut.ended).toBe(3)
    expect(cut.output()).toContain("LeadershipLost")
    const stopped = timeOf(await cut.line("leadership lost"))
    // others wait for 15 s
    expect(stopped - left).toBeLessThan(14_000)
    expect(timeOf(await standby.line("leading"))).toBeGreaterThan(stopped)
    const isReady = (name: string) => instances.get(name)?.status?.phase === "Ready"
    await waitFor(instances, () => names.every(isReady) || undefined, 60_000, "all that was begun is Ready")
    expect(names.map((name) => [madeOf(name), instances.get(name)?.status?.starts])).toEqual(names.map(() => [1, 1]))
    await release(leases, standby)
  }, 180_000)

  test("waits for an API server that is away at the start, alive and not ready, and says so", async () => {
    const relay = await startRelay((await readServer()).server)
    const kubeconfig = await place.kubeconfig("operator", relay.url)
    await relay.leave()
    const operator = startOperator(kubeconfig)
    await operator.line("the lease could not be held")
    expect([(await operator.probe("/healthz")).status, (await operator.probe("/readyz")).status]).toEqual([200, 503])
    await relay.comeBack()
    await operator.line("leading")
    await eventually(async () => (await operator.probe("/readyz")).status === 200, 30_000, "ready")
    await release(leases, operator)
    await relay.close()
  })
})

type Answer = { readonly status: number | undefined; readonly text: string }

/** Asks the gateway who is calling; with node:http, since fetch sets Host by itself. */
const whoami = async (gateway: RoleProcess, token: string, more: Record<string, string> = {}): Promise<Answer> => {
  const { url } = await gateway.line("serving")
  const headers = { authorization: `Bearer ${token}`, ...more }
  return await new Promise((done, fail) => {
    get(`${url}/api/whoami`, { headers, agent: false }, (response) => {
      let text = ""
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk
      })
      response.on("end", () => done({ status: response.statusCode, text }))
    }).on("error", fail)
  })
}

describe("the gateway", () => {
  test("makes one bootstrap token for all replicas, which administers and is in no log", async () => {
    const kubeconfig = await place.kubeconfig("gateway")
    const replicas = [1, 2].map(() => startRole("gateway", { kubeconfig, namespace: place.instances }))
    await Promise.all(replicas.map((each) => each.line("serving")))
    const token = await readBootstrapToken(place)
    expect(token).toMatch(/^[A-Za-z0-9_-]{43}$/)
    for (const replica of replicas) {
      const { status, text } = await whoami(replica, token)
      expect(status).toBe(200)
      expect(JSON.parse(text)).toMatchObject({ identity: { subject: "bootstrap-admin", admin: true } })
      expect((await whoami(replica, `${token}x`)).status).toBe(401)
      expect((await replica.probe("/readyz")).status).toBe(200)
      expect(replica.output()).not.toContain(token)
    }
    const names = await kubectl(["get", "secrets", "-n", place.own, "-o", "name"])
    expect(names.trim().split("\n").sort()).toEqual(["secret/reflow-bootstrap-token", "secret/reflow-gateway-keys"])
  })

  test("ends in order: not ready, still serving for 5 s, then gone with code 0", async () => {
    const kubeconfig = await place.kubeconfig("gateway")
    const gateway = startRole("gateway", { kubeconfig, namespace: place.instances })
    await gateway.line("serving")
    const token = await readBootstrapToken(place)
    const since = performance.now()
    gateway.process.kill("SIGTERM")
    await gateway.line("stopping")
    expect((await gateway.probe("/readyz")).status).toBe(503)
    expect((await gateway.probe("/healthz")).status).toBe(200)
    while (performance.now() - since < 4_500) expect((await whoami(gateway, token)).status).toBe(200)
    expect(await gateway.ended).toBe(0)
    expect(performance.now() - since).toBeGreaterThan(5_000)
  })

  test("waits for an API server that is away at the start; serves within 5 s of its return", async () => {
    const relay = await startRelay((await readServer()).server)
    const kubeconfig = await place.kubeconfig("gateway", relay.url)
    await relay.leave()
    const gateway = startRole("gateway", { kubeconfig, namespace: place.instances })
    await gateway.line("waiting for the API server")
    expect([(await gateway.probe("/healthz")).status, (await gateway.probe("/readyz")).status]).toEqual([200, 503])
    await relay.comeBack()
    const back = Date.now()
    expect(timeOf(await gateway.line("serving")) - back).toBeLessThan(5_000)
    expect((await gateway.probe("/readyz")).status).toBe(200)
    await relay.close()
  })

  test("on all addresses and without a public URL is reached under any name", async () => {
    const kubeconfig = await place.kubeconfig("gateway")
    const set = { "gateway.listen": "0.0.0.0:0" }
    const gateway = startRole("gateway", { kubeconfig, namespace: place.instances, set })
    await gateway.line("serving")
    const token = await readBootstrapToken(place)
    const name = "reflow-gateway.reflow-system.svc.cluster.local"
    expect((await whoami(gateway, token, { host: name })).status).toBe(200)
    expect((await whoami(gateway, token, { host: name, origin: "http://evil.example" })).status).toBe(403)
  })
})
