/** What is deleted without what it owns: Pod and Service are the operator's to remove, the Secret the gateways'. */
import { beforeAll, expect, test } from "vitest"
import { eventually } from "../support/processes.ts"
import { initialize, post } from "../support/reflow.ts"
import { cluster, kubectl, kubectlJson } from "./support/cluster.ts"
import { blockOf, runCommands } from "./support/commands.ts"
import { ensureImages } from "./support/images.ts"
import { type Installation, makeInstallation, type RoleProcess, readBootstrapToken, startRole } from "./support/role.ts"

let place: Installation
let namespace = ""
let token = ""
const gateways: RoleProcess[] = []
let urls: string[] = []

beforeAll(async () => {
  await ensureImages(["dice"], cluster)
  place = await makeInstallation("orphans")
  namespace = place.instances
  const start = async (role: "operator" | "gateway") =>
    startRole(role, {
      kubeconfig: await place.kubeconfig(role),
      namespace,
      set: { "kubernetes.gc_interval": "10s" },
      until: "file",
    })
  await (await start("operator")).line("leading")
  gateways.push(await start("gateway"), await start("gateway"))
  urls = await Promise.all(gateways.map(async (each) => String((await each.line("serving")).url)))
  token = await readBootstrapToken(place)
  const spec = {
    image: "ghcr.io/reflow/example-dice:1.0.0",
    port: 8080,
    resources: { requests: { cpu: "10m", memory: "16Mi" }, limits: { cpu: "500m", memory: "128Mi" } },
  }
  const target = {
    apiVersion: "mcp.reflow.io/v1alpha1",
    kind: "MCPTarget",
    metadata: { name: "dice", namespace },
    spec,
  }
  await kubectl(["apply", "-f", "-"], { input: JSON.stringify(target) })
  await kubectl(["wait", "--for=condition=Accepted", "mcpt/dice", "-n", namespace, "--timeout=30s"])
}, 300_000)

type Found = { readonly metadata: { readonly name: string; readonly ownerReferences?: readonly object[] } }

const all = async (kind: string): Promise<readonly Found[]> =>
  ((await kubectlJson(["get", kind, "-n", namespace, "-o", "json"])) as { items: readonly Found[] }).items
const names = async (kind: string): Promise<readonly string[]> => (await all(kind)).map(({ metadata }) => metadata.name)

const call = async (): Promise<void> => {
  const answer = await post(`${urls[0]}/mcp/dice`, token, initialize())
  expect(answer.status, await answer.text()).toBe(200)
}

/** The command of the documentation, for this test's namespace. */
const ownerless = () =>
  runCommands(blockOf("docs/operate.md", "ownerless-secrets").replaceAll("-n reflow ", `-n ${namespace} `))

test("an instance that is deleted with --cascade=orphan leaves neither Pod nor Service nor Secret, and the next one is new", async () => {
  await call()
  const [instance = ""] = await names("mcpi")
  const [secret = ""] = (await names("secrets")).filter((name) => name.startsWith(instance))
  await eventually(
    async () => (await all("secrets")).some(({ metadata }) => JSON.stringify(metadata).includes("MCPInstance")),
    10_000,
    "the Secret is the instance's",
  )
  await kubectl(["delete", "mcpi", instance, "-n", namespace, "--cascade=orphan", "--timeout=30s"])
  await eventually(async () => !(await names("secrets")).includes(secret), 10_000, "the Secret goes")
  await eventually(async () => (await names("pods")).length === 0, 60_000, "the Pod goes")
  await eventually(async () => (await names("services")).length === 0, 30_000, "the Service goes")
  const told = "removed the Secret of an instance that was deleted without it"
  expect(gateways.flatMap(({ lines }) => lines.filter(({ message }) => message === told))).toHaveLength(1)
  await call()
  const after = (await names("secrets")).filter((name) => name.startsWith(instance))
  expect(after).toHaveLength(1)
  expect(after).not.toContain(secret)
}, 180_000)

test("credentials of a target that is deleted with --cascade=orphan are found by the documented command, and nobody gets them", async () => {
  const send = (method: string, body?: object) =>
    fetch(`${urls[0]}/api/targets/dice/env/default`, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
  expect((await send("PUT", { TOKEN: "canary" })).status).toBe(200)
  expect((await ownerless()).trim()).toBe("")
  const target = (await kubectlJson(["get", "mcpt", "dice", "-n", namespace, "-o", "json"])) as Record<string, unknown>
  await kubectl(["delete", "mcpt", "dice", "-n", namespace, "--cascade=orphan", "--timeout=30s"])
  await eventually(async () => (await ownerless()).trim() === "dice-env-default", 10_000, "the command names it")
  const { apiVersion, kind, spec } = target
  const again = { apiVersion, kind, metadata: { name: "dice", namespace }, spec }
  await kubectl(["apply", "-f", "-"], { input: JSON.stringify(again) })
  await eventually(async () => (await send("GET")).status === 200, 10_000, "the target is there again")
  expect(((await (await send("GET")).json()) as { names: string[] }).names).toEqual([])
}, 120_000)
