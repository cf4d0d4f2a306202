import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, describe, expect, test } from "vitest"
import { type Address, createSystemResolve, hostsFileHas } from "../../src/outgoing/system-names.ts"
import { startNameServer, type Zone } from "../support/name-server.ts"

const closing: (() => void)[] = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

const bySystem: Address = { address: "192.0.2.9", family: 4 }

const setUp = async ({ zone = () => [], hosts = "" }: { readonly zone?: Zone; readonly hosts?: string }) => {
  const server = await startNameServer(zone)
  const folder = mkdtempSync(join(tmpdir(), "reflow-names-"))
  closing.push(server.close, () => rmSync(folder, { recursive: true }))
  const hostsFile = join(folder, "hosts")
  writeFileSync(hostsFile, hosts)
  const asked: string[] = []
  const held: (() => void)[] = []
  const system = async (name: string) => {
    asked.push(name)
    if (name.startsWith("slow")) await new Promise<void>((resolve) => held.push(resolve))
    if (name.startsWith("none")) throw Object.assign(new Error("no such name"), { code: "ENOTFOUND" })
    return [bySystem]
  }
  return { resolve: createSystemResolve({ hostsFile, servers: [server.at], system }), server, asked, held }
}

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
    expect(server.asked).toEqual([])
  })

  test("are the system's for a name without dots, and for one that the name servers do not know", async () => {
    const { resolve, asked } = await setUp({})
    expect(await resolve("keycloak")).toEqual([bySystem])
    expect(await resolve("keycloak.auth")).toEqual([bySystem])
    await expect(resolve("none.example.com")).rejects.toMatchObject({ code: "ENOTFOUND" })
    expect(asked).toEqual(["keycloak", "keycloak.auth", "none.example.com"])
  })

  test("are not searched for by the system if the name server is silent", { timeout: 15_000 }, async () => {
    const { resolve, asked } = await setUp({ zone: () => undefined })
    await expect(resolve("mcp.example.com")).rejects.toMatchObject({ code: "ETIMEOUT" })
    expect(asked).toEqual([])
  })
})

test("two names at once occupy the system's threads at most; the others wait for their turn", async () => {
  const { resolve, asked, held } = await setUp({})
  const all = ["slow-1", "slow-2", "slow-3", "slow-4"].map((name) => resolve(name))
  await expect.poll(() => asked).toEqual(["slow-1", "slow-2"])
  held.shift()?.()
  await expect.poll(() => asked).toEqual(["slow-1", "slow-2", "slow-3"])
  held.shift()?.()
  await expect.poll(() => asked.length).toBe(4)
  for (const release of held.splice(0)) release()
  await Promise.all(all)
  // and it is not fewer for ever
  const more = ["slow-5", "slow-6"].map((name) => resolve(name))
  await expect.poll(() => asked.length).toBe(6)
  for (const release of held.splice(0)) release()
  await Promise.all(more)
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
