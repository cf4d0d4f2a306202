import { describe, expect, test } from "vitest"
import { loadConfig } from "../../../src/config/load.ts"
import type { Role } from "../../../src/config/schema.ts"
import { createOutgoing, issuersFetch, type OutgoingDeps, placeOfListener } from "../../../src/roles/outgoing.ts"
import { createMetrics } from "../../../src/telemetry/telemetry.ts"

const configOf = (set: Readonly<Record<string, string>>) => {
  const assignments = Object.entries(set).map(([key, text]) => ({ path: key.split("."), text, source: "the test" }))
  return loadConfig({ settings: { file: undefined, assignments }, environment: {} }).config
}
const start = (role: Role, set: Readonly<Record<string, string>> = {}, more: Partial<OutgoingDeps> = {}) => {
  const telemetry = createMetrics(false)
  return { telemetry, guard: createOutgoing({ config: configOf(set), telemetry, role, ...more }) }
}
/** The reason why an address is refused at a port; undefined if it is not. */
const fault = async ({ guard }: ReturnType<typeof start>, host: string, port = 443): Promise<unknown> => {
  try {
    await guard.lookup(host, port)
    return undefined
  } catch (error) {
    return (error as { readonly data?: { readonly reason?: string } }).data?.reason
  }
}
const accepts = ({ guard }: ReturnType<typeof start>, url: string): boolean => {
  try {
    guard.checkUrl(new URL(url))
    return true
  } catch {
    return false
  }
}

describe("the guard of a role", () => {
  test.each(["gateway", "operator", "all"] as const)("%s opens public addresses over https", async (role) => {
    const outgoing = start(role)
    expect(await fault(outgoing, "8.8.8.8")).toBeUndefined()
    expect(await fault(outgoing, "127.0.0.1")).toBe("loopback")
    expect(accepts(outgoing, "http://8.8.8.8")).toBe(false)
  })
  test("does what remote.* says", async () => {
    const outgoing = start("gateway", {
      "remote.allow_http": "true",
      "remote.allow_networks": "[10.0.0.0/24]",
      "remote.allow_hosts": "[192.168.0.7:8443]",
    })
    expect(accepts(outgoing, "http://8.8.8.8")).toBe(true)
    expect(await fault(outgoing, "10.0.0.7")).toBeUndefined()
    expect(await fault(outgoing, "10.0.1.7")).toBe("private")
    expect(await fault(outgoing, "192.168.0.7", 8443)).toBeUndefined()
    expect(await fault(outgoing, "192.168.0.7", 443)).toBe("private")
  })
  test("dev opens this machine and http too, but not its own ports", async () => {
    const outgoing = start(
      "dev",
      { "gateway.listen": "127.0.0.1:0" },
      { listeners: [placeOfListener("127.0.0.1:0", { port: 45_678 })] },
    )
    expect(accepts(outgoing, "http://127.0.0.1:3000")).toBe(true)
    for (const host of ["127.0.0.1", "127.0.0.2", "::1"])
      expect(await fault(outgoing, host, 3000), host).toBeUndefined()
    expect(await fault(outgoing, "127.0.0.1", 45_678)).toBe("own")
    expect(await fault(outgoing, "10.0.0.7")).toBe("private")
  })
  test("closes the ports of the configuration at every address of this machine", async () => {
    const outgoing = start("gateway", {
      "remote.allow_networks": "[127.0.0.0/8, '::1']",
      "metrics.listen": "'[::]:9191'",
    })
    for (const host of ["127.0.0.1", "127.1.2.3", "::1"])
      expect([await fault(outgoing, host, 8080), await fault(outgoing, host, 9191)], host).toEqual(["own", "own"])
    expect(await fault(outgoing, "127.0.0.1", 9090)).toBeUndefined()
  })
  test("closes the API server where it is now", async () => {
    let server = "https://10.96.0.1"
    const outgoing = start(
      "operator",
      { "remote.allow_networks": "[10.0.0.0/8, 'fd00::/8']" },
      { apiServer: () => server },
    )
    expect(await fault(outgoing, "10.96.0.1", 443)).toBe("own")
    expect(await fault(outgoing, "10.96.0.1", 6443)).toBeUndefined()
    server = "https://[fd00::1]:6443/base"
    expect(await fault(outgoing, "10.96.0.1", 443)).toBeUndefined()
    expect(await fault(outgoing, "fd00::1", 6443)).toBe("own")
  })
  test("counts what it refuses, by reason", async () => {
    const outgoing = start("gateway")
    for (const host of ["10.0.0.1", "10.0.0.2", "169.254.169.254"]) await fault(outgoing, host)
    accepts(outgoing, "http://8.8.8.8")
    const metrics = await outgoing.telemetry.metrics()
    expect(metrics).toContain('reflow_outgoing_refused_total{reason="private"} 2')
    expect(metrics).toContain('reflow_outgoing_refused_total{reason="metadata"} 1')
    expect(metrics).toContain('reflow_outgoing_refused_total{reason="scheme"} 1')
  })
})

test("the fetch of issuers' documents trusts the hosts of the configuration only", async () => {
  const issuers = "[{name: a, issuer: 'http://127.0.0.1:1/realm', jwks_url: 'http://127.0.0.1:2/keys'}]"
  const { guard } = start("gateway")
  const fetch = issuersFetch(guard, configOf({ "auth.issuers": issuers }))
  const { signal } = new AbortController()
  const failed = (port: number) =>
    fetch(`http://127.0.0.1:${port}/`, { signal, redirect: "error" }).catch(({ code }) => code)
  expect([await failed(1), await failed(2)]).toEqual([undefined, undefined])
  expect(await failed(3)).toBe("AddressNotAllowed")
})
