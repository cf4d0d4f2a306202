/** From the chart before to this one, and back, while a server runs and holds a session. */
import { createHash, randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import { afterAll, beforeAll, expect, test } from "vitest"
import { repositoryFile } from "../../support/reflow.ts"
import { cluster, kubectl, kubectlJson } from "../support/cluster.ts"
import { blockOf, runCommands } from "../support/commands.ts"
import { dualTarget, openSession, touch } from "../support/dual.ts"
import { copyChart, describeChart, helm, makeRoomForChart, removeChart } from "../support/helm.ts"
import { ensureImages } from "../support/images.ts"
import { gatewayHost, instanceNamespace, isRolledOut, ownNamespace } from "../support/install.ts"
import { type Caller, createCaller } from "../support/load.ts"

const release = "reflow-operator"
const own = ["--namespace", ownNamespace]
const token = randomBytes(24).toString("base64url")
const sha256 = createHash("sha256").update(token).digest("hex")

const values = {
  config: {
    // any host: the Service's address is known only when it is there
    gateway: { public_url: "", allowed_hosts: [] },
    auth: { tokens: [{ name: "alice", subject: "alice", sha256, for: ["mcp"] }] },
    plugins: [{ path: "/plugins/tenant.mjs" }],
  },
  plugins: { files: { "tenant.mjs": readFileSync(repositoryFile("examples/plugins/tenant.mjs"), "utf8") } },
  gateway: { resources: { requests: { cpu: "60m" } } },
}

/** As an earlier release may have been: fewer fields in a kind, fewer rights, other resources. */
const earlier = {
  "Chart.yaml": (text: string) => text.replace(/^version: .*$/m, "version: 0.0.9"),
  "files/crd/mcptargets.yaml": (text: string) =>
    text.replace("A named MCP server that the gateway offers.", "A server."),
  "files/rbac/operator.yaml": (text: string) => text.replace("verbs: [update]", "verbs: [patch]"),
  "files/manager/20-operator.yaml": (text: string) => text.replace("memory: 512Mi", "memory: 500Mi"),
  "files/manager/30-gateway.yaml": (text: string) => text.replace("memory: 1Gi", "memory: 1000Mi"),
}

let session = ""
let counted = 0
let server = ""
let pods: readonly string[] = []
const callers: Caller[] = []

const callerNow = async (): Promise<Caller> => {
  const caller = createCaller(`http://${await gatewayHost()}/mcp/dual`, token)
  callers.push(caller)
  return caller
}

/** UIDs of the Pods that run. */
const uidsOf = async (namespace: string): Promise<string> => {
  const path = "jsonpath={.items[?(@.status.phase=='Running')].metadata.uid}"
  return kubectl(["get", "pods", "-n", namespace, "-o", path, "--sort-by=.metadata.name"])
}

type Amounts = { readonly cpu?: string; readonly memory?: string }
type Deployment = {
  readonly spec: {
    readonly template: {
      readonly spec: { readonly containers: readonly { readonly resources: { requests: Amounts; limits: Amounts } }[] }
    }
  }
}

/** CPU and memory of a Deployment's container. */
const amountsOf = ({ spec }: Deployment) => {
  const { requests, limits } = spec.template.spec.containers[0]?.resources ?? {}
  return { requests: { cpu: requests?.cpu, memory: requests?.memory }, limits: { memory: limits?.memory } }
}

/** What the containers of the two Deployments may use, what the kind says of itself, and a right. */
const installed = async () => {
  const { items } = (await kubectlJson(["get", "deployments", "-n", ownNamespace])) as { items: Deployment[] }
  const explained = await kubectl(["explain", "mcpt"])
  const question = ["auth", "can-i", "update", "mcpinstances.mcp.reflow.io", "--subresource=finalizers"]
  const account = `--as=system:serviceaccount:${ownNamespace}:reflow-operator`
  return {
    resources: items.map(amountsOf),
    description: /DESCRIPTION:\n\s+(.*)/.exec(explained)?.[1],
    mayFinalize: await kubectl([...question, "-n", instanceNamespace, account, "--quiet"]).then(
      () => true,
      () => false,
    ),
  }
}

const before = {
  resources: [
    { requests: { cpu: "60m", memory: "192Mi" }, limits: { memory: "1000Mi" } },
    { requests: { cpu: "50m", memory: "128Mi" }, limits: { memory: "500Mi" } },
  ],
  description: "A server.",
  mayFinalize: false,
}
const after = {
  resources: [
    { requests: { cpu: "60m", memory: "192Mi" }, limits: { memory: "1Gi" } },
    { requests: { cpu: "50m", memory: "128Mi" }, limits: { memory: "512Mi" } },
  ],
  description: "A named MCP server that the gateway offers.",
  mayFinalize: true,
}

describeChart("an upgrade from the chart before, with a server that runs and holds a session,", () => {
  beforeAll(async () => {
    await ensureImages(["gateway", "dual"], cluster)
    await makeRoomForChart()
    const flags = [...own, "--create-namespace", "--values", "-"]
    await helm(["install", release, await copyChart(earlier), ...flags], { input: JSON.stringify(values) })
    await isRolledOut()
    await kubectl(["apply", "-f", "-"], { input: JSON.stringify(dualTarget(instanceNamespace)) })
    await kubectl(["wait", "--for=condition=Accepted", "mcpt/dual", "-n", instanceNamespace, "--timeout=30s"])
    const caller = await callerNow()
    session = await openSession(caller)
    counted = await touch(caller, session)
    server = await uidsOf(instanceNamespace)
    pods = (await kubectl(["get", "pods", "-n", ownNamespace, "-o", "name"])).trim().split("\n")
  }, 800_000)
  afterAll(async () => {
    for (const { agent } of callers) agent.destroy()
    await removeChart(ownNamespace, instanceNamespace)
  }, 400_000)

  test("begins where the chart before has its own kinds, rights and Pods", async () => {
    expect(await installed()).toEqual(before)
    expect(server).toMatch(/^[0-9a-f-]{36}$/)
  })

  test("brings the new kinds, rights and Pods, with the values that were given", { timeout: 240_000 }, async () => {
    const said = await runCommands(blockOf("docs/upgrade.md", "upgrade"))
    expect(said.match(/Phase: +Succeeded/g)).toHaveLength(2)
    await isRolledOut()
    expect(await installed()).toEqual(after)
    expect(pods).toHaveLength(3)
    await kubectl(["wait", "--for=delete", ...pods, "-n", ownNamespace, "--timeout=120s"], { timeoutMs: 130_000 })
  })

  test("has the plugin of the values loaded in both roles", async () => {
    for (const role of ["operator", "gateway"]) {
      const log = await kubectl(["logs", "-n", ownNamespace, `deployment/reflow-${role}`])
      const lines = log.split("\n").filter((line) => line.includes('"plugin loaded"'))
      expect(lines.map((line) => JSON.parse(line).path)).toEqual(["/plugins/tenant.mjs"])
    }
  })

  test("keeps the server and its session", async () => {
    expect(await uidsOf(instanceNamespace)).toBe(server)
    expect(await touch(await callerNow(), session)).toBe(++counted)
  })

  test("is taken back by helm rollback, which keeps both as well", { timeout: 240_000 }, async () => {
    await helm(["rollback", release, "1", ...own])
    await isRolledOut()
    expect(await installed()).toEqual(before)
    expect(await uidsOf(instanceNamespace)).toBe(server)
    expect(await touch(await callerNow(), session)).toBe(++counted)
  })
})
