import { once } from "node:events"
import { createServer, type Server } from "node:https"
import type { AddressInfo } from "node:net"
import { networkInterfaces } from "node:os"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { findCondition } from "../../src/api/kinds/kind.ts"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { type MCPTarget, mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import type { Reflection } from "../../src/ports/cluster.ts"
import { makeCA } from "../support/certificates.ts"
import { cluster, kubectl, openCluster, waitFor } from "./support/cluster.ts"
import { type Installation, makeInstallation, type RoleProcess, sample, startRole } from "./support/role.ts"

/** An address of this machine that is not loopback: the operator may go there only because it is allowed. */
const address =
  Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? "127.0.0.1"

let place: Installation
let targets: Reflection<MCPTarget>
let instances: Reflection<MCPInstance>
let operatorConfig: string
let operator: RoleProcess
let server: Server
let url: string
const seen: string[] = []

const serve = async (port = 0): Promise<Server> => {
  const started = createServer(makeCA().issue([address]), ({ method, headers }, response) => {
    seen.push(`${method} ${headers.authorization ?? "without credentials"}`)
    response.writeHead(401, { "www-authenticate": "Bearer" }).end()
  }).listen(port, address)
  await once(started, "listening")
  return started
}

beforeAll(async () => {
  expect(cluster.kubeconfig).toBeTruthy()
  place = await makeInstallation("remote")
  operatorConfig = await place.kubeconfig("operator")
  const client = openCluster("test")
  targets = client.watch(mcpTargetKind, { namespace: place.instances })
  instances = client.watch(mcpInstanceKind, { namespace: place.instances })
  await Promise.all([targets.synced, instances.synced])
  server = await serve()
  url = `https://${address}:${(server.address() as AddressInfo).port}/mcp`
}, 120_000)
afterAll(() => {
  server.close()
  server.closeAllConnections()
})

const startOperator = (): RoleProcess =>
  startRole("operator", {
    kubeconfig: operatorConfig,
    namespace: place.instances,
    set: { "remote.allow_networks": `["${address}/32"]` },
    until: "file",
  })

const apply = (kind: string, name: string, spec: object) =>
  kubectl(["apply", "-f", "-"], {
    input: JSON.stringify({
      apiVersion: "mcp.reflow.io/v1alpha1",
      kind,
      metadata: { name, namespace: place.instances },
      spec,
    }),
  })

const applyTarget = (name: string, remote: object, more: object = {}) =>
  apply("MCPTarget", name, { transportType: "streamable-http", remote, ...more })

const availableOf = (name: string) => findCondition(targets.get(name)?.status?.conditions, "Available")

/** The condition Available once it has this reason. */
const available = (name: string, reason: string) =>
  waitFor(targets, () => (availableOf(name)?.reason === reason ? availableOf(name) : undefined), 30_000, reason)

describe("a remote target", () => {
  test("gets a condition from a probe by the leader, which has no credential and cannot read the CA", async () => {
    operator = startOperator()
    await operator.line("leading")
    const headers = [{ name: "Authorization", value: "Bearer ${TOKEN}" }]
    await applyTarget("tracker", { url, headers, caSecret: "corporate-ca" }, { credentials: [{ name: "TOKEN" }] })
    const found = await available("tracker", "Available")
    expect(found).toMatchObject({ status: "True", observedGeneration: 1 })
    expect(found.message).toContain("Gateways verify its certificate with ca.crt of the Secret corporate-ca")
    expect(seen).toEqual(["GET without credentials"])
    expect(targets.get("tracker")?.status).toMatchObject({ instances: 0, ready: 0, failed: 0 })
    expect(await sample(operator, 'reflow_remote_probes_total{reason="Available"}')).toBe(1)
  })

  test("is shown with its URL by kubectl", async () => {
    const shown = await kubectl(["get", "mcptargets", "-n", place.instances, "-o", "wide"])
    const [heading = "", ...rows] = shown.trim().split("\n")
    expect(heading).toMatch(/ URL$/)
    expect(rows).toHaveLength(1)
    expect(rows[0]?.trimEnd().endsWith(url)).toBe(true)
  })

  test("is not available with a certificate that nobody known has signed", async () => {
    await applyTarget("unknown-ca", { url })
    expect(await available("unknown-ca", "CertificateInvalid")).toMatchObject({ status: "False" })
  })

  test("is not available at an address where no connection may go, nor by http", async () => {
    await applyTarget("inside", { url: "https://10.0.0.1/mcp" })
    await applyTarget("plain", { url: url.replace("https:", "http:") })
    expect((await available("inside", "AddressNotAllowed")).message).toContain("10.0.0.1 is private")
    expect((await available("plain", "AddressNotAllowed")).message).toContain("https")
  })

  test("is not accepted with a name that it does not declare", async () => {
    await applyTarget("undeclared", { url, headers: [{ name: "X-Key", value: "${KEY}" }] })
    const found = await available("undeclared", "NotAccepted")
    expect(found.message).toContain("${KEY} is none of the names")
  })

  test("has no instance: one that a person makes is refused", async () => {
    const spec = { image: "registry.invalid/nothing:1", port: 8080, targetName: "tracker", subjectKey: "user:a" }
    await apply("MCPInstance", "by-hand", spec)
    const failed = await waitFor(
      instances,
      () => findCondition(instances.get("by-hand")?.status?.conditions, "Ready"),
      30_000,
      "by-hand is judged",
    )
    expect(failed).toMatchObject({ status: "False", reason: "InvalidSpec" })
    expect(failed.message).toContain("Somebody else runs the server of the target tracker")
    expect(await kubectl(["get", "pods", "-n", place.instances, "-o", "name"])).toBe("")
  })

  test("keeps its condition when another operator leads, and is told after a change that its server is gone", async () => {
    const before = availableOf("tracker")
    operator.process.kill("SIGTERM")
    await operator.ended
    await startOperator().line("leading")
    await expect.poll(() => seen.length, { timeout: 30_000 }).toBeGreaterThan(1)
    expect(availableOf("tracker")).toEqual(before)
    server.close()
    server.closeAllConnections()
    await applyTarget("tracker", { url, caSecret: "corporate-ca" })
    const found = await available("tracker", "Unreachable")
    expect(found).toMatchObject({ status: "False", observedGeneration: 2 })
    expect(found.message).toContain("nothing listens at its port")
  })
})
