/** Who reaches whom on a running installation, with the NetworkPolicies of manager/ and, as the control, without them. */
import { createHash, randomBytes } from "node:crypto"
import { readdirSync } from "node:fs"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { stringify } from "yaml"
import { toNetworkPolicies } from "../../../src/adapters/kube/network-policies.ts"
import type { MCPInstance } from "../../../src/api/kinds/mcp-instance.ts"
import { namespaces } from "../../../src/generate.ts"
import { toolText } from "../../support/modern.ts"
import { eventually } from "../../support/processes.ts"
import { repositoryFile } from "../../support/reflow.ts"
import { cluster, kubectl, kubectlJson, makeNamespace } from "../support/cluster.ts"
import { ensureImages, images } from "../support/images.ts"
import {
  applyFolders,
  gatewayHost,
  instanceNamespace,
  isRolledOut,
  makeRoom,
  ownNamespace,
  reconfigure,
  serviceIP,
} from "../support/install.ts"
import { playNode } from "../support/node-side.ts"
import { type Address, type Asker, makeAsker, reached } from "../support/reach.ts"

/** Only there is this machine the node. */
const isNode = cluster.origin === "built"
if (!isNode)
  console.warn(
    "!!! this cluster's nodes are not ours: the metadata address and a public one are not played on them !!!",
  )
const [metadataAddress, publicAddress] = ["169.254.169.254", "203.0.113.7"]

/** How long a network may take to follow a change of policies, and a Pod to ask. */
const waitMs = 40_000

const users = Object.fromEntries(["alice", "bob"].map((name) => [name, randomBytes(24).toString("base64url")]))
const tokens = Object.entries(users).map(([name, token]) => ({
  name,
  subject: name,
  sha256: createHash("sha256").update(token).digest("hex"),
}))

const target = {
  apiVersion: "mcp.reflow.io/v1alpha1",
  kind: "MCPTarget",
  metadata: { name: "dice", namespace: instanceNamespace },
  spec: { image: images.dice.name, port: 8080, isolationBoundary: "per_user", statefulness: "stateless" },
}

const ipOf = async (namespace: string, selector: string): Promise<string> =>
  kubectl(["get", "pods", "-n", namespace, "-l", selector, "-o", "jsonpath={.items[0].status.podIP}"])

type Instance = Asker & { readonly podUrl: string; readonly serviceUrl: string }

/** The instances that the gateway has made, by age. */
const findInstances = async (): Promise<Instance[]> => {
  const age = "--sort-by=.metadata.creationTimestamp"
  const { items } = (await kubectlJson(["get", "mcpi", "-n", instanceNamespace, age])) as { items: MCPInstance[] }
  return items.map(({ status }) => ({
    namespace: instanceNamespace,
    pod: status?.podName ?? "",
    podUrl: `http://${status?.podIP}:8080/mcp`,
    serviceUrl: status?.url ?? "",
  }))
}

let url = ""
let mine: Instance
let others: Instance
let own: Readonly<Record<string, Address>>
let strangers: Record<"stranger" | "impostor" | "neighbour", Asker>
let strange = ""
let stopPlaying = async (): Promise<void> => {}

beforeAll(async () => {
  await ensureImages(["gateway", "dice"], cluster)
  await makeRoom()
  await applyFolders()
  if (isNode) stopPlaying = await playNode({ [metadataAddress]: "played metadata", [publicAddress]: "played public" })
  await isRolledOut()
  const ip = await serviceIP()
  await reconfigure(({ gateway, ...config }) => ({
    ...config,
    gateway: { ...gateway, allowed_hosts: ["localhost", ip] },
    auth: { tokens },
  }))
  url = `http://${await gatewayHost()}/mcp/dice`
  await kubectl(["apply", "-f", "-"], { input: JSON.stringify(target) })
  strange = await makeNamespace("stranger")
  strangers = {
    stranger: await makeAsker(strange, "stranger"),
    impostor: await makeAsker(strange, "impostor", { "app.kubernetes.io/name": "reflow-gateway" }),
    neighbour: await makeAsker(ownNamespace, "neighbour"),
  }
}, 900_000)
afterAll(() => stopPlaying())

const roll = async (token = "") => Number(/\d+/.exec(await toolText(url, token, "roll"))?.[0])

test("a gateway reaches the instances that it has the operator make, with the policies in force", async () => {
  await eventually(() => roll(users.alice).then(Number.isInteger, () => false), waitMs, "the target is known")
  expect(await roll(users.bob)).toBeGreaterThan(0)
  const [first, second] = await findInstances()
  if (first === undefined || second === undefined) throw new Error("two users have no two instances")
  mine = first
  others = second
  expect(mine.podUrl).not.toBe(others.podUrl)
  const gateway = await ipOf(ownNamespace, "app.kubernetes.io/name=reflow-gateway")
  const operator = await ipOf(ownNamespace, "app.kubernetes.io/name=reflow-operator")
  own = {
    "the gateway's metrics": { url: `http://${gateway}:9090/metrics`, answer: /^200 [\s\S]*reflow_gateway/ },
    "the gateway's health": { url: `http://${gateway}:9090/healthz`, answer: /^200/ },
    "the operator's metrics": { url: `http://${operator}:9090/metrics`, answer: /^200 [\s\S]*workqueue_/ },
    "the gateway itself": { url: `http://${gateway}:8080/api/whoami`, answer: /^40[013]/ },
    "the gateway by its Service": { url: `http://${await serviceIP()}/api/whoami`, answer: /^40[013]/ },
  }
})

/** An instance, by its Pod and by its Service. */
const instance = ({ podUrl, serviceUrl }: Instance): Readonly<Record<string, Address>> => ({
  "an instance's Pod": { url: podUrl, answer: /^4\d\d / },
  "an instance's Service": { url: serviceUrl, answer: /^4\d\d / },
})

/** The API server and what else the nodes have, by every way. */
const machines = async (): Promise<Readonly<Record<string, Address>>> => {
  const slice = ["get", "endpointslices", "-n", "default", "-l", "kubernetes.io/service-name=kubernetes"]
  const [behind, port, service, node] = await Promise.all([
    kubectl([...slice, "-o", "jsonpath={.items[0].endpoints[0].addresses[0]}"]),
    kubectl([...slice, "-o", "jsonpath={.items[0].ports[0].port}"]),
    kubectl(["get", "service", "kubernetes", "-n", "default", "-o", "jsonpath={.spec.clusterIP}"]),
    kubectl(["get", "nodes", "-o", 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}']),
  ])
  const answer = /^(200 [\s\S]*gitVersion|401|403)/
  const api = {
    "the API server by its Service": { url: `https://${service}/version`, answer },
    "the API server": { url: `https://${behind}:${port}/version`, answer },
    "the kubelet": { url: `https://${node}:10250/pods`, answer: /^40[13]/ },
  }
  const metadata = { "the metadata address": { url: `http://${metadataAddress}/`, answer: /^200 played metadata/ } }
  return isNode ? { ...api, ...metadata } : api
}

/** Who must be reached from an instance all the same. */
const allowed = (): Readonly<Record<string, Address>> => {
  const dns = { DNS: { url: "dns:kubernetes.default.svc.cluster.local", answer: /^\d+\.\d+\.\d+\.\d+$/ } }
  const open = { "a public address": { url: `http://${publicAddress}/`, answer: /^200 played public/ } }
  return isNode ? { ...dns, ...open } : dns
}

/** Everybody whom an instance might try. */
const everybody = async () => ({ ...instance(others), ...(await machines()), ...own, ...allowed() })

/** Resolves once exactly these are reached; fails with those that are instead. */
const expectReached = async (
  asker: Asker,
  addresses: Readonly<Record<string, Address>>,
  names: readonly string[],
): Promise<void> => {
  const sorted = [...names].sort()
  let last: string[] = []
  const isSo = async () => {
    last = (await reached(asker, addresses)).sort()
    return last.join() === sorted.join()
  }
  await eventually(isSo, waitMs, "what is reached").catch(() => {})
  expect(last).toEqual(sorted)
}

const applyPolicies = async (clusterCidrs: readonly string[] = []): Promise<void> => {
  const policies = toNetworkPolicies(namespaces, clusterCidrs).map(({ policy }) => policy)
  await kubectl(["apply", "-f", "-"], { input: policies.map((each) => stringify(each)).join("---\n") })
}

const removePolicies = async (): Promise<void> => {
  for (const namespace of [ownNamespace, instanceNamespace])
    await kubectl(["delete", "networkpolicies", "--all", "-n", namespace])
}

const theirs = () => ({ ...instance(mine), ...own })
/** Of these a Pod from elsewhere may reach the gateway alone. */
const doors = ["the gateway itself", "the gateway by its Service"]

describe("with the policies of manager/", () => {
  test("an instance reaches DNS and public addresses; no other instance, no API server, kubelet or metadata, nothing of the gateway", async () => {
    await expectReached(mine, await everybody(), Object.keys(allowed()))
  })

  test.each(["stranger", "impostor", "neighbour"] as const)(
    "a Pod that is no gateway (%s) reaches no instance and no port of health and metrics, but the gateway's door",
    async (who) => {
      await expectReached(strangers[who], theirs(), doors)
    },
  )

  test("a namespace that is labelled for it scrapes both roles, and still reaches no instance", async () => {
    await kubectl(["label", "namespace", strange, "metrics=enabled"])
    await expectReached(strangers.stranger, theirs(), Object.keys(own))
    await kubectl(["label", "namespace", strange, "metrics-"])
    await expectReached(strangers.stranger, theirs(), doors)
  })

  test.runIf(isNode)("an instance does not reach a public network that kubernetes.cluster_cidrs names", async () => {
    await applyPolicies(["203.0.113.0/24"])
    await expectReached(mine, allowed(), ["DNS"])
    await applyPolicies()
    await expectReached(mine, allowed(), Object.keys(allowed()))
  })
})

describe("without them, which shows that the same questions can be answered", () => {
  test("an instance reaches everybody", async () => {
    await removePolicies()
    const all = await everybody()
    await expectReached(mine, all, Object.keys(all))
  })

  test.each(["stranger", "impostor", "neighbour"] as const)("%s reaches instances and metrics", async (who) => {
    await expectReached(strangers[who], theirs(), Object.keys(theirs()))
  })
})

test("the examples of further policies are accepted without a warning", async () => {
  const folder = repositoryFile("examples/network-policies")
  const said = await kubectl(["apply", "--dry-run=server", "--warnings-as-errors", "-f", folder])
  expect(said.trim().split("\n")).toHaveLength(readdirSync(folder).length)
})

test("once they are applied again, they are in force again, and the gateway still reaches instances", async () => {
  await applyFolders()
  await expectReached(mine, await everybody(), Object.keys(allowed()))
  await expectReached(strangers.impostor, theirs(), doors)
  expect(await roll(users.alice)).toBeGreaterThan(0)
})
