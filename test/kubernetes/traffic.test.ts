import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, expect, test } from "vitest"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import type { Reflection } from "../../src/ports/cluster.ts"
import { initialize, post } from "../support/reflow.ts"
import { cluster, kubectl, openCluster, readServer, waitFor } from "./support/cluster.ts"
import { ensureImages } from "./support/images.ts"
import { type Relay, startRelay } from "./support/relay.ts"
import { type Installation, makeInstallation, type RoleProcess, readBootstrapToken, startRole } from "./support/role.ts"
import { auditedWrites, countWrites, followPresence } from "./support/writes.ts"

let place: Installation
let instances: Reflection<MCPInstance>
const relays: Relay[] = []

beforeAll(async () => {
  await ensureImages(["dice"], cluster)
  place = await makeInstallation("traffic")
  instances = openCluster("test").watch(mcpInstanceKind, { namespace: place.instances })
  await instances.synced
}, 300_000)
afterAll(async () => {
  await Promise.all(relays.map((relay) => relay.close()))
})

/** Starts a role whose way to the API server is a relay of its own. */
const start = async (name: "operator" | "gateway"): Promise<{ role: RoleProcess; relay: Relay }> => {
  const relay = await startRelay((await readServer()).server)
  relays.push(relay)
  const kubeconfig = await place.kubeconfig(name, relay.url)
  return { role: startRole(name, { kubeconfig, namespace: place.instances }), relay }
}

const apply = (items: readonly object[]) =>
  kubectl(["apply", "-f", "-"], { input: JSON.stringify({ apiVersion: "v1", kind: "List", items }) })

const server = {
  image: "ghcr.io/reflow/example-dice:1.0.0",
  port: 8080,
  resources: { requests: { cpu: "10m", memory: "16Mi" }, limits: { cpu: "500m", memory: "128Mi" } },
}
const made = (kind: "MCPTarget" | "MCPInstance", name: string, spec: object) => ({
  apiVersion: "mcp.reflow.io/v1alpha1",
  kind,
  metadata: { name, namespace: place.instances },
  spec: { ...server, ...spec },
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

/** Makes the target whose instance a request then makes, and waits until all that is written about it is written. */
const makeTarget = async (): Promise<void> => {
  await apply([made("MCPTarget", "dice", { isolationBoundary: "shared", statefulness: "stateless" })])
  const wait = ["wait", "--for=condition=Accepted", "mcpt/dice", "-n", place.instances, "--timeout=30s"]
  await kubectl(wait)
}

/** A number that two looks in a row agree on: what is on its way has arrived. */
const settled = async (look: () => Promise<number>): Promise<number> => {
  for (let before = await look(); ; ) {
    await sleep(500)
    const now = await look()
    if (now === before) return now
    before = now
  }
}

test("a request's server costs the operator at most 8 writes and the gateway 6; while 20 are steady, both write nothing but Leases", {
  timeout: 400_000,
}, async () => {
  const operator = await start("operator")
  await operator.role.line("leading")
  const gateway = await start("gateway")
  const { url } = await gateway.role.line("serving")
  await makeTarget()
  const token = await readBootstrapToken(place)
  const presences = await followPresence(place.own)
  /** Writes of the gateway but those that say that it lives. */
  const ofGateway = () => settled(async () => (await countWrites(gateway.role)) - presences())
  const ofBoth = async () => (await ofGateway()) + (await countWrites(operator.role))

  const [began, before] = [Date.now(), await ofBoth()]
  const [operatorBefore, gatewayBefore] = [await countWrites(operator.role), await ofGateway()]
  const opened = await post(`${url}/mcp/dice`, token, initialize())
  expect(opened.status, await opened.text()).toBe(200)
  // the first answer comes before the last steps are told
  expect(opened.headers.get("server-timing")).toMatch(/^queue;dur=\d+, create;dur=\d+,.* wait;dur=\d+$/)
  await allReady(1, 60_000)
  // a Service, a Pod, what became of them, what people are told, and the target's counts; less would have missed some
  const ofOperator = (await countWrites(operator.role)) - operatorBefore
  const seen = (await auditedWrites(place.instances, began)).join("\n")
  expect(ofOperator, seen).toBeLessThanOrEqual(8)
  expect(ofOperator, seen).toBeGreaterThanOrEqual(5)
  // a Secret, the instance, the Secret's owner, and use: as it waits, begins and ends
  const ofRequest = (await ofGateway()) - gatewayBefore
  expect(ofRequest, seen).toBeLessThanOrEqual(6)
  expect(ofRequest, seen).toBeGreaterThanOrEqual(3)

  const steady = Array.from({ length: 19 }, (_, index) => `steady-${index}`)
  await apply(steady.map((name) => made("MCPInstance", name, { targetName: "dice", subjectKey: `user:${name}` })))
  await allReady(20, 200_000)
  // the last of what is written because of it: the counts of the target
  await sleep(7_000)
  const [since, after] = [Date.now(), await ofBoth()]
  const opens = [operator, gateway].map(({ relay }) => relay.opened)
  expect((await countWrites(operator.role)) - operatorBefore).toBeLessThanOrEqual(20 * 8)
  const audited = async () => (await auditedWrites(place.instances, began)).length
  if (cluster.auditLog !== undefined) await expect.poll(audited, { timeout: 10_000 }).toBe(after - before)
  await sleep(20_000)
  expect((await ofBoth()) - after, (await auditedWrites(place.instances, since)).join("\n")).toBe(0)
  // the gateway has said meanwhile that it lives
  expect(presences()).toBeGreaterThan(0)
  // five watches, calls, and the Lease; each of them is TLS of its own
  for (const [index, { relay }] of [operator, gateway].entries()) {
    expect(relay.open).toBeLessThanOrEqual(5 + 8)
    expect(relay.opened - (opens[index] ?? 0)).toBeLessThanOrEqual(1)
  }
  for (const { role } of [gateway, operator]) role.process.kill("SIGTERM")
  expect(await Promise.all([gateway.role.ended, operator.role.ended])).toEqual([0, 0])
})
