import { randomBytes } from "node:crypto"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { afterEach, beforeEach, expect, test } from "vitest"
import { gatewaysLeaseName } from "../../src/adapters/kube/access.ts"
import { createMemoryCluster, type MemoryCluster } from "../../src/adapters/memory/cluster.ts"
import { createProcessNode } from "../../src/adapters/process/node.ts"
import { systemClock as clock } from "../../src/adapters/system/clock.ts"
import { secretKind, serviceKind } from "../../src/api/kinds/kubernetes.ts"
import { mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { podKind } from "../../src/api/kinds/pod.ts"
import { parseCommand } from "../../src/cli/flags.ts"
import { loadConfig } from "../../src/config/load.ts"
import { withoutSecrets } from "../../src/credentials/mask.ts"
import { mintDevToken } from "../../src/identity/own-tokens.ts"
import { createOperator } from "../../src/operator/controller.ts"
import { startFront } from "../../src/roles/front.ts"
import { createOutgoing } from "../../src/roles/outgoing.ts"
import { loadPlugins } from "../../src/roles/plugins.ts"
import { createStarted, type Started } from "../../src/roles/role.ts"
import { type KeptLine, quietTelemetry } from "../support/quiet-telemetry.ts"
import { initialize, post, repositoryFile } from "../support/reflow.ts"

const namespace = "reflow"
const key = randomBytes(32)

let cluster: MemoryCluster
let started: Started
let server: Server
let url: string
let lines: readonly KeptLine[]

const configOf = () => {
  const command = parseCommand(["--role", "dev", "--set", "kubernetes.hold_timeout=110s"])
  if (command.kind !== "run") throw new Error("not a run")
  return loadConfig({ settings: command.settings, role: "dev", environment: {} }).config
}

/** Cluster, node, operator, gateway and REST API, as the role dev has them, but with the cluster in the test's hands. */
beforeEach(async () => {
  const config = configOf()
  const telemetry = quietTelemetry()
  lines = telemetry.lines
  started = createStarted((_name, error) => {
    throw error
  })
  cluster = createMemoryCluster({ clock, telemetry })
  await started.add("cluster", cluster.close)
  const client = (fieldManager: string) => cluster.client({ fieldManager })
  const node = createProcessNode({
    cluster: client("reflow-node"),
    namespace,
    clock,
    telemetry,
    baseEnvironment: { PATH: process.env.PATH ?? "" },
    workingDirectory: tmpdir(),
    hide: withoutSecrets,
  })
  await started.add("node", node.close)
  cluster.registerLogs(node)
  const gateways = { namespace, name: gatewaysLeaseName }
  const options = { ...config.kubernetes, bridge: undefined, embedded: true }
  const operator = createOperator({ cluster: client("reflow-operator"), clock, telemetry, options, gateways })
  await started.add("operator", operator.close)
  await Promise.all([node.ready, operator.ready])
  server = createServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const front = await startFront({
    cluster: client("reflow-gateway"),
    clock,
    telemetry,
    config,
    publicUrl: url,
    anyHost: false,
    ownNamespace: namespace,
    tokens: [],
    plugins: await loadPlugins({ config, clock, telemetry }),
    outgoing: createOutgoing({ config, telemetry, role: "dev" }),
    devKey: key,
    started,
    signal: new AbortController().signal,
  })
  server.on("request", front.handler)
})
afterEach(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  await started.close()
})

const token = (subject: string, roles: string[] = []): Promise<string> =>
  mintDevToken(key, { subject, roles, groups: [], for: ["mcp", "api"], ttlSeconds: 3_600 }, clock)

const api = async (method: string, path: string, body?: object) => {
  const response = await fetch(`${url}/api${path}`, {
    method,
    headers: { authorization: `Bearer ${await token("root", ["admin"])}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  expect(response.ok, text).toBe(true)
  return text === "" ? undefined : JSON.parse(text)
}

const seen = async () => {
  const instances = (await cluster.list(mcpInstanceKind, { namespace })).items
  const secrets = (await cluster.list(secretKind, { namespace })).items.filter(({ metadata }) =>
    metadata.name.startsWith("many-"),
  )
  const pods = (await cluster.list(podKind, { namespace })).items
  const services = (await cluster.list(serviceKind, { namespace })).items
  return { instances, secrets, pods, services }
}

const cutShort = { code: "UpstreamUnreachable", phase: "head", retryable: true }

test("fifty cold starts during two quick restarts lose none but calls that ran already, each instance has a Secret of its own, and nothing outlives the target", {
  timeout: 120_000,
}, async () => {
  const command = ["node", repositoryFile("test/fixtures/servers/headers.mjs")]
  const fields = { image: "example.invalid/many:1", port: 8080, command, credentials: [{ name: "TOKEN" }] }
  await api("POST", "/targets", { name: "many", ...fields })
  await api("PUT", "/targets/many/env/default", { TOKEN: "everybody's" })
  const opened = Array.from({ length: 50 }, async (_, index) => {
    const response = await post(`${url}/mcp/many`, await token(`user-${index}`), initialize())
    return { status: response.status, text: await response.text() }
  })
  await expect.poll(async () => (await seen()).instances.length, { timeout: 60_000 }).toBeGreaterThan(10)
  const first = await api("POST", "/targets/many/restart-instances", {})
  const second = await api("POST", "/targets/many/restart-instances", {})
  expect(first.restarted).toBeGreaterThan(0)
  expect(second.restarted).toBeLessThanOrEqual(50)

  const answers = await Promise.all(opened)
  const cut = answers.filter(({ status }) => status !== 200)
  // a call that was running on a server when the restart ended it without a drain: told, and to be sent again
  for (const { text } of cut) expect(JSON.parse(text).error.data).toMatchObject(cutShort)
  expect(cut.length).toBeLessThanOrEqual(first.restarted + second.restarted)
  expect(JSON.stringify(lines)).not.toContain("NameConflict")
  // who was answered just before a restart has no instance any more, and gets one with the next request
  for (let index = 0; index < 50; index++)
    expect((await post(`${url}/mcp/many`, await token(`user-${index}`), initialize())).status).toBe(200)
  const { instances, secrets } = await seen()
  expect(instances).toHaveLength(50)
  const names = new Set(secrets.map(({ metadata }) => metadata.name))
  for (const { metadata, spec } of instances) expect(names, metadata.name).toContain(spec.secretName)
  expect(new Set(instances.map(({ spec }) => spec.secretName)).size).toBe(50)

  await api("DELETE", "/targets/many")
  await expect
    .poll(async () => Object.values(await seen()).flatMap((items) => items.map(({ metadata }) => metadata.name)), {
      timeout: 60_000,
      interval: 200,
    })
    .toEqual([])
})
