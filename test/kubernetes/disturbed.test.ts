/**
 * What a cluster does to instances that is not their own fault: webhooks that are down or add containers, quotas, a node that
 * is lost. Each gives a true sentence in status, as an Event, and to the client that waits.
 */
import { randomBytes } from "node:crypto"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { KubeCluster } from "../../src/adapters/kube/cluster.ts"
import { findCondition } from "../../src/api/kinds/kind.ts"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { podKind, serverContainer } from "../../src/api/kinds/pod.ts"
import type { Reflection } from "../../src/ports/cluster.ts"
import { eventually } from "../support/processes.ts"
import { initialize, post } from "../support/reflow.ts"
import { cluster, kubectl, openCluster, waitFor } from "./support/cluster.ts"
import { ensureImages, images } from "./support/images.ts"
import { type Installation, makeInstallation, type RoleProcess, readBootstrapToken, startRole } from "./support/role.ts"
import { registerSilentNode, type SilentNode } from "./support/silent-node.ts"
import { type Patch, registerWebhooks, webhooksOf } from "./support/webhook.ts"

const suffix = randomBytes(3).toString("hex")
const nodeLabel = `reflow-test-${suffix}/node`
/** Requests wait so long for a server before they hear why it is not there. */
const holdTimeout = "6s"
const hardened = {
  allowPrivilegeEscalation: false,
  runAsNonRoot: true,
  runAsUser: 65_532,
  capabilities: { drop: ["ALL"] },
  seccompProfile: { type: "RuntimeDefault" },
}
const program = ["/usr/local/bin/node", "-e"]
const container = (name: string, script: string, more: object = {}) => ({
  ...{ name, image: images.dice.name, command: [...program, script], securityContext: hardened, ...more },
  resources: { requests: { cpu: "5m", memory: "16Mi" }, limits: { cpu: "200m", memory: "96Mi" } },
})
const add = (path: string, value: unknown): Patch => ({ op: "add", path, value })

/** What a webhook adds to the Pods of each target. */
const injected: Readonly<Record<string, readonly Patch[] | "down">> = {
  unasked: "down",
  meshed: [add("/spec/containers/-", container("mesh-proxy", "process.exit(4)"))],
  prepared: [add("/spec/initContainers", [container("mesh-init", "process.exit(5)")])],
  gated: [add("/spec/readinessGates", [{ conditionType: "example.com/load-balancer" }])],
}

let place: Installation
let client: KubeCluster
let instances: Reflection<MCPInstance>
let url = ""
let headers: Readonly<Record<string, string>> = {}
let gateway: RoleProcess
let node: SilentNode | undefined
const taint = `reflow-test-${suffix}/alone`

const makeTarget = async (name: string, more: object = {}, namespace = place.instances): Promise<void> => {
  const target = {
    apiVersion: "mcp.reflow.io/v1alpha1",
    kind: "MCPTarget",
    metadata: { name, namespace },
    spec: { image: images.dice.name, port: 8080, startTimeout: "5m", ...more },
  }
  await kubectl(["create", "-f", "-"], { input: JSON.stringify(target) })
  const isKnown = async () => (await fetch(`${url}/api/targets/${name}`, { headers })).status === 200
  await eventually(isKnown, 10_000, `the gateway knows the target ${name}`)
}

/** What a client hears that asks a target, whatever it is. */
const ask = async (target: string): Promise<string> => {
  const response = await post(`${url}/mcp/${target}`, undefined, initialize(), headers)
  return `${response.status} ${await response.text()}`
}

/** The error's data that a client hears. */
const hear = async (target: string) => {
  const text = await ask(target)
  if (!text.includes('"error"')) throw new Error(`${target} is served: ${text.slice(0, 300)}\n${gateway.output()}`)
  return JSON.parse(text.slice(4)).error.data
}

const instanceOf = (all: Reflection<MCPInstance>, target: string): MCPInstance | undefined =>
  [...all.items()].find(({ spec, metadata }) => spec.targetName === target && metadata.deletionTimestamp === undefined)
const readyOf = (target: string) => findCondition(instanceOf(instances, target)?.status?.conditions, "Ready")
const isTold = (target: string, reason: string): Promise<string> =>
  waitFor(
    instances,
    () => (readyOf(target)?.reason === reason ? (readyOf(target)?.message ?? "") : undefined),
    40_000,
    `${target} is told ${reason}, not ${readyOf(target)?.reason}`,
  )
const eventsOf = async (target: string): Promise<string> => {
  const name = instanceOf(instances, target)?.metadata.name ?? ""
  return (await kubectl(["describe", "mcpi", name, "-n", place.instances])).replace(/\s+/g, " ")
}
/** Checks that status and Event tell the same trouble, in words that name the culprit. */
const expectTold = async (target: string, reason: string, culprit: RegExp): Promise<void> => {
  expect(await isTold(target, reason)).toMatch(culprit)
  await expect.poll(() => eventsOf(target), { timeout: 40_000 }).toContain(`Warning ${reason} `)
}
/** Checks that the client who waits for the server is told so, too. */
const expectHeard = async (target: string, reason: string, culprit: RegExp): Promise<void> => {
  const [heard] = await Promise.all([hear(target), expectTold(target, reason, culprit)])
  expect(heard.message).toMatch(culprit)
}
/** Checks that a server which answers is used, whatever else in its Pod does not. */
const expectServed = async (target: string, reason: string, culprit: RegExp): Promise<void> => {
  expect(await ask(target)).toContain('"serverInfo"')
  await expectTold(target, reason, culprit)
}

const startRoles = async (where: Installation): Promise<void> => {
  const set = {
    "kubernetes.hold_timeout": holdTimeout,
    "kubernetes.gc_interval": "10s",
    plugins: JSON.stringify([{ name: "node-selector" }]),
  }
  const start = async (role: "operator" | "gateway") =>
    startRole(role, { kubeconfig: await where.kubeconfig(role), namespace: where.instances, set, until: "file" })
  const operator = await start("operator")
  gateway = await start("gateway")
  await operator.line("leading", 60_000)
  url = String((await gateway.line("serving")).url)
  headers = { authorization: `Bearer ${await readBootstrapToken(where)}`, "content-type": "application/json" }
}

beforeAll(async () => {
  await ensureImages(["dice"], cluster)
  place = await makeInstallation("disturbed")
  client = openCluster("test")
  instances = client.watch(mcpInstanceKind, { namespace: place.instances })
  node = await registerSilentNode(`silent-${suffix}`, { label: nodeLabel, taint })
  await Promise.all([instances.synced, startRoles(place)])
}, 300_000)

afterAll(() => node?.remove())

// the API server must reach a webhook of this machine
describe.skipIf(cluster.origin !== "built")("a webhook of the cluster", { timeout: 120_000 }, () => {
  let removeWebhooks = async (): Promise<void> => {}
  afterAll(() => removeWebhooks())
  beforeAll(async () => {
    removeWebhooks = await registerWebhooks(place.instances, injected)
    await Promise.all(Object.keys(injected).map((target) => makeTarget(target)))
  }, 180_000)

  test("that is down is named; when it is back the server starts by itself", async () => {
    await expectHeard("unasked", "WebhookFailed", /unasked\.webhooks\.example\.com/)
    const remove = [{ op: "remove", path: "/webhooks/0" }]
    const name = webhooksOf(place.instances)
    await kubectl(["patch", "mutatingwebhookconfiguration", name, "--type=json", "-p", JSON.stringify(remove)])
    await expect.poll(() => ask("unasked"), { timeout: 60_000 }).toContain('"serverInfo"')
  })
  test("that adds a container which fails: the server is used, and the container is named", () =>
    expectServed("meshed", "ContainerNotReady", /mesh-proxy/))
  test("that adds an init container which fails: the init container is named, not the server", () =>
    expectHeard("prepared", "InitContainerNotReady", /mesh-init/))
  test("that adds a readiness gate which nobody fulfils: the server is used, and the gate is named", () =>
    expectServed("gated", "ReadinessGate", /example\.com\/load-balancer/))
})

test("a node that is lost is named as long as its Pod stands on it", { timeout: 180_000 }, async () => {
  await makeTarget("far", {
    podTemplates: [{ name: "node-selector", config: { labels: { [nodeLabel]: `silent-${suffix}` } } }],
  })
  const tolerate = { spec: { tolerations: [{ key: taint, operator: "Exists" }] } }
  const asked = ask("far")
  const podName = await waitFor(
    instances,
    (all) => instanceOf(all, "far")?.status?.podName,
    20_000,
    "the instance has a Pod",
  )
  const ref = { namespace: place.instances, name: podName }
  await kubectl(["patch", "pod", podName, "-n", place.instances, "--type=merge", "-p", JSON.stringify(tolerate)])
  await expect
    .poll(async () => (await client.get(podKind, ref))?.spec.nodeName, { timeout: 20_000 })
    .toBe(`silent-${suffix}`)
  const now = new Date().toISOString()
  const conditions = ["PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready"].map((type) => ({
    ...{ type, status: "True", lastTransitionTime: now },
  }))
  const server = {
    name: serverContainer,
    image: images.dice.name,
    imageID: "x",
    restartCount: 0,
    ready: true,
    started: true,
  }
  const containerStatuses = [{ ...server, state: { running: { startedAt: now } } }]
  const status = { phase: "Running", podIP: "198.18.77.7", podIPs: [{ ip: "198.18.77.7" }], startTime: now }
  await client.patchStatus(podKind, ref, { status: { ...status, conditions, containerStatuses } })
  await asked
  node?.lose()
  await waitFor(instances, () => readyOf("far")?.reason === "NodeNotReady" || undefined, 120_000, "the node is missed")
  await expectHeard("far", "NodeNotReady", new RegExp(`silent-${suffix}`))
})

/** A Pod that nothing but a quota refuses. */
const probePod = { spec: { containers: [{ name: "probe", image: "x", securityContext: hardened }] } }

describe("a quota on", { timeout: 120_000 }, () => {
  const setQuota = async (resource: string, much: string): Promise<void> => {
    const quota = {
      apiVersion: "v1",
      kind: "ResourceQuota",
      metadata: { name: "room", namespace: place.instances },
      spec: { hard: { [resource]: much } },
    }
    await kubectl(["delete", "resourcequota", "room", "-n", place.instances, "--ignore-not-found"])
    await kubectl(["create", "-f", "-"], { input: JSON.stringify(quota) })
    const used = `--for=jsonpath={.status.hard.${resource.replaceAll(".", "\\.")}}`
    await kubectl(["wait", "resourcequota/room", "-n", place.instances, used, "--timeout=30s"])
  }
  /** Resolves when the quota is enforced: the API server learns of it a moment after it says that it knows it. */
  const isEnforced = (...probe: readonly string[]): Promise<void> =>
    eventually(
      () =>
        kubectl([...probe, "-n", place.instances, "--dry-run=server"]).then(
          () => false,
          (error) => String(error).includes("exceeded quota"),
        ),
      30_000,
      "the quota is enforced",
    )
  const dropQuota = () => kubectl(["delete", "resourcequota", "room", "-n", place.instances])

  test.each([
    ["pods", "count/pods", ["run", "probe", "--image=x", `--overrides=${JSON.stringify(probePod)}`]],
    ["services", "count/services", ["create", "service", "clusterip", "probe", "--tcp=80"]],
  ])("%s is told as such, and once there is room the server starts", async (name, resource, probe) => {
    await setQuota(resource, "0")
    await isEnforced(...probe)
    const target = `many-${name}`
    await makeTarget(target)
    await expectHeard(target, "QuotaExceeded", /room/)
    await dropQuota()
    await expect.poll(() => ask(target), { timeout: 90_000 }).toContain('"serverInfo"')
  })

  test("events keeps no server from starting", async () => {
    await setQuota("count/events.events.k8s.io", "0")
    await makeTarget("eventless")
    await expect.poll(() => ask("eventless"), { timeout: 60_000 }).toContain('"serverInfo"')
    await dropQuota()
  })
})
