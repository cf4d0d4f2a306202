import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, expect, test } from "vitest"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/mcp-instance.ts"
import type { Reflection } from "../../src/ports/cluster.ts"
import { cluster, kubectl, openCluster, readAudit, readServer, waitFor } from "./support/cluster.ts"
import { ensureImages } from "./support/images.ts"
import { type Relay, startRelay } from "./support/relay.ts"
import { type Installation, makeInstallation, startRole } from "./support/role.ts"
import { countWrites } from "./support/writes.ts"

let place: Installation
let instances: Reflection<MCPInstance>
let relay: Relay

beforeAll(async () => {
  await ensureImages(["dice"], cluster)
  place = await makeInstallation("traffic")
  instances = openCluster("test").watch(mcpInstanceKind, { namespace: place.instances })
  relay = await startRelay((await readServer()).server)
  await instances.synced
}, 300_000)
afterAll(async () => {
  await relay?.close()
})

const anInstance = (name: string) => ({
  apiVersion: "mcp.reflow.io/v1alpha1",
  kind: "MCPInstance",
  metadata: { name, namespace: place.instances },
  spec: {
    image: "ghcr.io/reflow/example-dice:1.0.0",
    port: 8080,
    targetName: "dice",
    subjectKey: `user:${name}`,
    resources: { requests: { cpu: "10m", memory: "16Mi" }, limits: { cpu: "500m", memory: "128Mi" } },
  },
})
const apply = (names: readonly string[]) =>
  kubectl(["apply", "-f", "-"], {
    input: JSON.stringify({ apiVersion: "v1", kind: "List", items: names.map(anInstance) }),
  })
const allReady = (count: number, ms: number) =>
  waitFor(
    instances,
    (all) => {
      const ready = [...all.items()].filter(({ status }) => status?.phase === "Ready")
      return ready.length === count ? ready : undefined
    },
    ms,
    `${count} instances are Ready`,
  )

/** What the API server's audit log says of the same, for whoever reads a failure; empty if the cluster keeps none. */
const writesSince = async (since: number): Promise<string[]> =>
  ((await readAudit(place.instances)) ?? [])
    .filter(({ user }) => user.username.endsWith(":reflow-operator"))
    .filter(({ verb, objectRef }) => !["get", "list", "watch"].includes(verb) && objectRef?.resource !== "leases")
    .filter(({ requestReceivedTimestamp }) => Date.parse(requestReceivedTimestamp) >= since)
    .map(({ verb, objectRef }) => [verb, objectRef?.resource, objectRef?.subresource, objectRef?.name].join(" "))

test("the operator writes at most 8 times from an instance to Ready, and nothing while 20 instances are steady", {
  timeout: 300_000,
}, async () => {
  const kubeconfig = await place.kubeconfig("operator", relay.url)
  const operator = startRole("operator", { kubeconfig, namespace: place.instances })
  await operator.line("leading")
  const [began, before] = [Date.now(), await countWrites(operator)]
  await apply(["first"])
  await allReady(1, 60_000)
  // what is written because it became Ready comes within a moment
  await sleep(2_000)
  const first = (await countWrites(operator)) - before
  const seen = await writesSince(began)
  expect(first, seen.join("\n")).toBeLessThanOrEqual(8)
  // a Service, a Pod, and what became of them: a count of less would have missed some
  expect(first).toBeGreaterThanOrEqual(4)
  if (cluster.auditLog !== undefined) expect(seen).toHaveLength(first)

  await apply(Array.from({ length: 19 }, (_, index) => `steady-${index}`))
  await allReady(20, 150_000)
  await sleep(5_000)
  const [since, writes, opened] = [Date.now(), await countWrites(operator), relay.opened]
  expect(writes - before).toBeLessThanOrEqual(20 * 8)
  await sleep(20_000)
  expect((await countWrites(operator)) - writes, (await writesSince(since)).join("\n")).toBe(0)
  // five watches, calls, and the Lease; each of them is TLS of its own
  expect(relay.open).toBeLessThanOrEqual(5 + 8)
  expect(relay.opened - opened).toBeLessThanOrEqual(1)
  operator.process.kill("SIGTERM")
  expect(await operator.ended).toBe(0)
})
