import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, describe, expect, test } from "vitest"
import { type Address, createSystemResolve, hostsFileHas, searchDomainsIn } from "../../src/outgoing/system-names.ts"
import { startNameServer, type Zone } from "../support/name-server.ts"

const closing: (() => void)[] = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

const bySystem: Address = { address: "192.0.2.9", family: 4 }

type Given = { readonly zone?: Zone; readonly hosts?: string; readonly resolv?: string }

const setUp = async ({ zone = () => [], hosts = "", resolv = "" }: Given) => {
  const server = await startNameServer(zone)
  const folder = mkdtempSync(join(tmpdir(), "reflow-names-"))
  closing.push(server.close, () => rmSync(folder, { recursive: true }))
  const [hostsFile, resolvFile] = [join(folder, "hosts"), join(folder, "resolv.conf")]
  writeFileSync(hostsFile, hosts)
  writeFileSync(resolvFile, resolv)
  const asked: string[] = []
  const system = async (name: string) => {
    asked.push(name)
    return [bySystem]
  }
  return { resolve: createSystemResolve({ hostsFile, resolvFile, servers: [server.at], system }), server, asked }
}

const search = "nameserver 127.0.0.1\nsearch auth.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"

describe("the addresses of a name", () => {
  test("are those of the name servers, of both families, without the system's threads", async () => {
    const { resolve, asked } = await setUp({ zone: () => ["8.8.8.8", "2606:4700::1"] })
    expect(await resolve("mcp.example.com")).toEqual([
      { address: "8.8.8.8", family: 4 },
      { address: "2606:4700::1", family: 6 },
    ])
    expect(asked).toEqual([])
  })

  test("are the system's if the hosts file has the name, whatever the name servers say", async () => {
    const { resolve, server } = await setUp({ zone: () => ["8.8.8.8"], hosts: "10.0.0.1 a MCP.example.com\n" })
    expect(await resolve("mcp.example.com")).toEqual([bySystem])
    expect(await resolve("localhost")).toEqual([bySystem])
    expect(server.asked).toEqual([])
  })

  test("of a Service are found in the search domains, as Pods find them", async () => {
    const zone: Zone = (name) => (name === "keycloak.auth.svc.cluster.local" ? ["10.96.0.7"] : [])
    const { resolve, server, asked } = await setUp({ zone, resolv: search })
    const found = [{ address: "10.96.0.7", family: 4 }]
    expect(await resolve("keycloak")).toEqual(found)
    expect(server.asked).toEqual(["keycloak.auth.svc.cluster.local"])
    expect(await resolve("keycloak.auth")).toEqual(found)
    expect(await resolve("keycloak.auth.svc")).toEqual(found)
    expect(await resolve("keycloak.auth.svc.cluster.local")).toEqual(found)
    await expect(resolve("none.example.com")).rejects.toMatchObject({ code: expect.stringMatching(/^ENO/) })
    expect(asked).toEqual([])
  })

  test("are not searched for elsewhere if the name server is silent", { timeout: 15_000 }, async () => {
    const { resolve, server, asked } = await setUp({ zone: () => undefined, resolv: search })
    await expect(resolve("mcp.example.com")).rejects.toMatchObject({ code: "ETIMEOUT" })
    expect(new Set(server.asked)).toEqual(new Set(["mcp.example.com"]))
    expect(asked).toEqual([])
  })
})

test.each<[string, readonly string[]]>([
  ["search a b\nsearch c d", ["c", "d"]],
  ["domain a", ["a"]],
  ["  search\ta  b ", ["a", "b"]],
  ["# search a\nnameserver 1.2.3.4", []],
  ["search .", []],
  ["search a b c d e f g h", ["a", "b", "c", "d", "e", "f"]],
  ["", []],
])("of resolv.conf %o come the search domains %o", (text, domains) => {
  expect(searchDomainsIn(text)).toEqual(domains)
})

test.each<[string, boolean]>([
  ["10.0.0.1 mcp.example.com", true],
  ["10.0.0.1\tother  MCP.Example.COM # x", true],
  ["10.0.0.1 other # mcp.example.com", false],
  ["# 10.0.0.1 mcp.example.com", false],
  ["10.0.0.1 xmcp.example.com", false],
  ["mcp.example.com", false],
  ["", false],
])("a hosts file %o has the name: %o", (text, isThere) => {
  expect(hostsFileHas(`127.0.0.1 localhost\n${text}\n`, "mcp.example.com")).toBe(isThere)
})
