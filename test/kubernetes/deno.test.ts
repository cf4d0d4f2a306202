import { beforeAll, expect, test } from "vitest"
import { buildOutputs } from "../../build.config.ts"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import type { Reflection } from "../../src/ports/cluster.ts"
import { toolText } from "../support/modern.ts"
import { repositoryFile } from "../support/reflow.ts"
import { cluster, kubectl, openCluster, waitFor } from "./support/cluster.ts"
import { ensureImages } from "./support/images.ts"
import { type Installation, makeInstallation, type RoleProcess, startRole } from "./support/role.ts"

let place: Installation
let instances: Reflection<MCPInstance>

beforeAll(async () => {
  await buildOutputs(["bundle"])
  await ensureImages(["dual"], cluster)
  place = await makeInstallation("deno")
  instances = openCluster("test").watch(mcpInstanceKind, { namespace: place.instances })
  await instances.synced
}, 300_000)

const readToken = async (): Promise<string> => {
  const path = "jsonpath={.data.token}"
  const data = await kubectl(["get", "secret", "reflow-bootstrap-token", "-n", place.own, "-o", path])
  return Buffer.from(data, "base64").toString()
}

const isReady = ({ status }: MCPInstance): boolean => status?.phase === "Ready"
const readyOne = () => waitFor(instances, (all) => [...all.items()].find(isReady), 60_000, "an instance is Ready")
const none = () => waitFor(instances, ({ size }) => (size === 0 ? true : undefined), 60_000, "no instance is left")

const api = async (role: RoleProcess, token: string, path: string, body: unknown): Promise<Response> =>
  fetch(`${(await role.line("serving")).url}/api/${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  })

test("the bundle under Deno runs both halves: create, Ready, call, restart, collect", {
  timeout: 180_000,
}, async () => {
  const role = startRole("all", {
    kubeconfig: await place.kubeconfig("all"),
    namespace: place.instances,
    launch: [repositoryFile("node_modules/.bin/deno"), "run", "-A", repositoryFile("dist/reflow.mjs")],
    set: { "kubernetes.idle_ttl": "10s", "kubernetes.gc_interval": "1s" },
  })
  await role.line("leading")
  await role.line("serving")
  const token = await readToken()
  const made = await api(role, token, "targets", {
    name: "dual",
    transport_type: "kubernetes",
    image: "ghcr.io/reflow/example-dual:1.0.0",
    port: 8080,
    statefulness: "stateless",
  })
  expect(made.status, await made.text()).toBe(201)

  const url = `${(await role.line("serving")).url}/mcp/dual`
  expect(await toolText(url, token, "echo", { message: "from Deno" })).toContain("from Deno")
  const first = await readyOne()
  expect(await toolText(url, token, "echo", { message: "again" })).toContain("again")

  const restarted = await api(role, token, "targets/dual/restart-instances", {})
  expect(await restarted.json()).toMatchObject({ restarted: 1 })
  expect(await toolText(url, token, "echo", { message: "restarted" })).toContain("restarted")
  expect((await readyOne()).metadata.uid).not.toBe(first.metadata.uid)

  await none()
  role.process.kill("SIGTERM")
  expect(await role.ended).toBe(0)
})
