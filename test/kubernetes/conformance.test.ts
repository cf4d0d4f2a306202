/** The official conformance runner on a real cluster, by turns through three gateways, each of them a process. */
import { beforeAll, describe, expect, test } from "vitest"
import { type Balancer, startBalancer } from "../support/balancer.ts"
import { expectOneSession, passesScenarios } from "../support/conformance/scenarios.ts"
import { cluster, kubectl } from "./support/cluster.ts"
import { ensureImages, images } from "./support/images.ts"
import { type Installation, makeInstallation, readBootstrapToken, startRole } from "./support/role.ts"

const target = "conformance"

let place: Installation
let balancer: Balancer
/** The target at each of the gateways. */
let urls: readonly string[]
let token: string

beforeAll(() => ensureImages([target], cluster), 300_000)

const applyTarget = (): Promise<string> => {
  const spec = { image: images.conformance.name, port: 8080 }
  const apiVersion = "mcp.reflow.io/v1alpha1"
  const object = { apiVersion, kind: "MCPTarget", metadata: { name: target, namespace: place.instances }, spec }
  return kubectl(["apply", "-f", "-"], { input: JSON.stringify(object) })
}

/** An operator and three gateways, which start at once: one of them makes what they share. Resolves with their addresses. */
const startProcesses = async (): Promise<readonly string[]> => {
  const common = { namespace: place.instances, until: "file" } as const
  const operator = startRole("operator", { ...common, kubeconfig: await place.kubeconfig("operator") })
  const kubeconfig = await place.kubeconfig("gateway")
  const gateways = [1, 2, 3].map(() => startRole("gateway", { ...common, kubeconfig }))
  const [, ...serving] = await Promise.all([operator.line("leading"), ...gateways.map((each) => each.line("serving"))])
  return serving.map(({ url }) => String(url))
}

describe("a server through three gateways by turns", () => {
  passesScenarios(async () => {
    place = await makeInstallation(target)
    await applyTarget()
    const origins = await startProcesses()
    balancer = await startBalancer()
    balancer.lead(origins)
    urls = origins.map((each) => `${each}/mcp/${target}`)
    token = await readBootstrapToken(place)
    return { url: `${balancer.url}/mcp/${target}`, token, close: balancer.close }
  })

  test("is served by each of them", () => {
    expect(balancer.served.map((count) => count > 50)).toEqual([true, true, true])
  })

  test("keeps a session that one of them has opened at every other: they seal with the keys of one Secret", async () => {
    await expectOneSession(urls, token)
    const names = await kubectl(["get", "secrets", "-n", place.own, "-o", "name"])
    expect(names.trim().split("\n").sort()).toEqual(["secret/reflow-bootstrap-token", "secret/reflow-gateway-keys"])
  })
})
