/** Values that end: their instance is replaced in time, and whoever calls meanwhile notices nothing. */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, expect, test } from "vitest"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import { envelope } from "../support/modern.ts"
import { repositoryFile } from "../support/reflow.ts"
import { cluster, openCluster } from "./support/cluster.ts"
import { ensureImages, images } from "./support/images.ts"
import { answerTo, createCaller, startLoad } from "./support/load.ts"
import { type Installation, makeInstallation, type RoleProcess, readBootstrapToken, startRole } from "./support/role.ts"

const lifeSeconds = 20

/** A token broker as examples/plugins/broker.mjs asks one: each token says in itself when it ends. */
const broker = createServer((request, response) => {
  const query = new URL(request.url ?? "/", "http://broker").searchParams
  const end = Date.now() + lifeSeconds * 1_000
  response.setHeader("content-type", "application/json")
  response.end(JSON.stringify({ token: `${query.get("what")}-until-${end}`, expires_in: lifeSeconds }))
})

let place: Installation
let role: RoleProcess
let url = ""
let token = ""

beforeAll(async () => {
  await ensureImages(["dual"], cluster)
  await new Promise<void>((done) => broker.listen(0, "127.0.0.1", done))
  place = await makeInstallation("expiring")
  const brokerUrl = `http://127.0.0.1:${(broker.address() as AddressInfo).port}/`
  const plugins = [{ path: repositoryFile("examples/plugins/broker.mjs"), config: { url: brokerUrl } }]
  role = startRole("all", {
    kubeconfig: await place.kubeconfig("all"),
    namespace: place.instances,
    set: { plugins: JSON.stringify(plugins) },
    until: "file",
  })
  url = `${String((await role.line("serving")).url)}/mcp/brokered`
  token = await readBootstrapToken(place)
}, 300_000)

afterAll(async () => {
  role?.process.kill("SIGTERM")
  await role?.ended
  broker.close()
  broker.closeAllConnections()
})

test("an instance whose value lives 20 s is replaced in time again and again, and no call of a steady load fails or meets an old value", async () => {
  const admin = openCluster("test")
  const instances = admin.watch(mcpInstanceKind, { namespace: place.instances })
  await instances.synced
  const made: MCPInstance[] = []
  instances.subscribe(({ type, object }) => {
    if (type === "added") made.push(object)
  })
  await admin.create(mcpTargetKind, {
    apiVersion: mcpTargetKind.apiVersion,
    kind: mcpTargetKind.kind,
    metadata: { name: "brokered", namespace: place.instances },
    spec: {
      transportType: "kubernetes",
      image: images.dual.name,
      port: 8080,
      statefulness: "stateless",
      isolationBoundary: "per_user",
      secrets: [{ name: "TOKEN", from: "broker:github" }],
      resources: { requests: { cpu: "10m", memory: "16Mi" }, limits: { cpu: "500m", memory: "128Mi" } },
    },
  })
  const caller = createCaller(url, token)
  const headers = { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "env" }
  const params = { name: "env", arguments: { names: ["TOKEN"] }, _meta: envelope }
  /** Tokens that calls have met. */
  const met = new Set<string>()
  const call = async (id: number): Promise<void> => {
    const { answer } = await answerTo(
      caller,
      { message: { jsonrpc: "2.0", id, method: "tools/call", params }, headers },
      id,
    )
    const value = String(JSON.parse(answer.result.content[0].text).values.TOKEN)
    met.add(value)
    const left = Number(value.replace("github-until-", "")) - Date.now()
    if (!(left > 0)) throw new Error(`the token ${value} had ended ${-left} ms before the answer came`)
  }
  // the gateway may not know the target yet
  await expect.poll(() => call(1).then(() => "answered", String), { timeout: 60_000 }).toBe("answered")
  const load = startLoad(10, (index) => ["env", call(index + 2)])
  await sleep(2.5 * lifeSeconds * 1_000)
  const count = await load.stop()
  caller.agent.destroy()
  expect(load.failures).toEqual([])
  expect(count).toBeGreaterThan(400)
  expect(met.size, "tokens that were met").toBeGreaterThanOrEqual(3)
  expect(made.length, "instances that were made, one for each token").toBe(met.size)
  const ends = [...met].map((value) => Number(value.replace("github-until-", ""))).sort()
  // the plugin counts from the broker's answer on
  for (const [index, expires] of made
    .map(({ spec }) => Date.parse(spec.secretExpireTime ?? ""))
    .sort()
    .entries())
    expect(Math.abs(expires - (ends[index] ?? 0)), "secretExpireTime is the token's end").toBeLessThan(2_000)
  await instances.close()
})
