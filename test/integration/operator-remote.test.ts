import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { findCondition } from "../../src/api/kinds/kind.ts"
import { type MCPTargetStatus, mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import type { ProbeRemote, ProbeResult } from "../../src/ports/remote-probe.ts"
import { aRemoteTarget } from "../support/build/target.ts"
import { bannerToken, startDevRole } from "../support/dev-role.ts"
import { type OperatorWorld, operatorWorld } from "../support/operator-world.ts"

const namespace = "reflow"
const good: ProbeResult = { kind: "answered", status: 401 }
const gone: ProbeResult = { kind: "unreachable", cause: "ConnectionRefused" }

let world: OperatorWorld
let answer: ProbeResult | Promise<ProbeResult>
const asked: string[] = []
beforeEach(() => {
  world = operatorWorld()
  answer = good
  asked.length = 0
})
afterEach(() => world.close())

const probe: ProbeRemote = async ({ url }) => {
  asked.push(url)
  return answer
}
const start = (by: ProbeRemote = probe) => world.start({}, undefined, by)

const make = async (
  name: string,
  remote: { url: string; caSecret?: string } = { url: `https://${name}.example.com/` },
) => {
  const { metadata: _, ...rest } = aRemoteTarget({ spec: { remote } })
  await world.cluster.create(mcpTargetKind, { ...rest, metadata: { name, namespace } })
}

const statusOf = async (name: string): Promise<MCPTargetStatus> =>
  (await world.cluster.get(mcpTargetKind, { namespace, name }))?.status ?? {}
const available = async (name: string) => {
  const { status, reason } = findCondition((await statusOf(name)).conditions, "Available") ?? {}
  return `${status} ${reason}`
}
const statusWrites = () =>
  world.writes.filter(({ verb, kind }) => verb === "patchStatus" && kind === "MCPTarget").length

describe("the operator", () => {
  test("says of a remote target that its server can be reached, with no instance", async () => {
    await start()
    await make("tracker")
    await world.pass(1)
    expect(await statusOf("tracker")).toMatchObject({ instances: 0, ready: 0, failed: 0, observedGeneration: 1 })
    expect(await available("tracker")).toBe("True Available")
    expect(await world.pods()).toEqual([])
  })

  test("writes a status only when something else was found", async () => {
    await start()
    await make("tracker")
    await world.pass(1)
    const before = statusWrites()
    await world.pass(24 * 3_600)
    expect(asked.length).toBeGreaterThan(20)
    expect(statusWrites()).toBe(before)
    answer = gone
    await world.pass(2 * 3_600)
    expect(await available("tracker")).toBe("False Unreachable")
    expect(statusWrites()).toBe(before + 1)
    const told = world.lines.filter(({ message }) => message === "a target has a fault")
    expect(told).toMatchObject([{ fields: { target: "tracker", condition: "Available", reason: "Unreachable" } }])
    answer = good
    await world.pass(2 * 3_600)
    expect(await available("tracker")).toBe("True Available")
    expect(statusWrites()).toBe(before + 2)
    expect(await world.events()).toEqual([])
    expect(await world.metrics()).toMatch(/^reflow_remote_probes_total\{reason="Unreachable"\} [1-9]/m)
  })

  test("probes at once after a change, and says nothing of another URL that it does not know", async () => {
    await start()
    await make("tracker")
    await world.pass(1)
    const other = Promise.withResolvers<ProbeResult>()
    answer = other.promise
    const change = (spec: object) => world.cluster.mergePatch(mcpTargetKind, { namespace, name: "tracker" }, { spec })
    await change({ access: { groups: ["eng"] } })
    await world.pass(1)
    expect(await available("tracker")).toBe("True Available")
    await change({ remote: { url: "https://other.example.com/" } })
    await world.pass(1)
    expect(await available("tracker")).toBe("Unknown NotProbed")
    other.resolve(gone)
    await world.pass(1)
    expect(await available("tracker")).toBe("False Unreachable")
    expect(asked.at(-1)).toBe("https://other.example.com/")
  })

  test("tells of other targets while servers do not answer", async () => {
    const ended: string[] = []
    const slow: ProbeRemote = ({ url }, signal) =>
      url.includes("slow")
        ? new Promise((_, reject) => {
            const end = () => {
              ended.push(url)
              reject(signal.reason)
            }
            signal.addEventListener("abort", end, { once: true })
          })
        : probe({ url, hasOwnCA: false }, signal)
    const operator = await start(slow)
    for (let index = 0; index < 7; index++) await make(`slow-${index}`)
    await make("quick")
    await world.makeTarget({ name: "local" })
    await world.pass(1)
    expect(await available("slow-6")).toBe("Unknown NotProbed")
    expect(await available("quick")).toBe("True Available")
    expect(await available("local")).toBe("True Available")
    await operator.close()
    expect(ended).toHaveLength(7)
  })

  test("that takes over leaves what its predecessor has found, until it has probed itself", async () => {
    const first = await start()
    answer = gone
    await make("tracker")
    await world.pass(1)
    const before = await statusOf("tracker")
    await first.close()
    const writes = statusWrites()
    const own = Promise.withResolvers<ProbeResult>()
    answer = own.promise
    await start()
    await world.pass(60)
    expect(await statusOf("tracker")).toEqual(before)
    own.resolve(gone)
    await world.pass(60)
    expect(await statusOf("tracker")).toEqual(before)
    expect(statusWrites()).toBe(writes)
  })

  test("forgets a deleted target", async () => {
    await start()
    answer = gone
    await make("tracker")
    await world.pass(1)
    await world.cluster.delete(mcpTargetKind, { namespace, name: "tracker" })
    await world.pass(1)
    const queued = async () => /^workqueue_adds_total\{name="remoteprobe"\} (\d+)/m.exec(await world.metrics())?.[1]
    const before = await queued()
    await world.pass(2 * 3_600)
    expect(await queued()).toBe(before)
    expect(asked).toHaveLength(1)
  })

  test("refuses an instance that a person made of a remote target, and copies nothing into it", async () => {
    await start()
    await make("tracker")
    const target = await world.cluster.get(mcpTargetKind, { namespace, name: "tracker" })
    const made = await world.make({
      spec: { targetName: "tracker", targetUID: target?.metadata.uid ?? "", targetGeneration: 0 },
    })
    await world.pass(1)
    expect(await world.status()).toMatchObject({ phase: "Failed" })
    expect(findCondition((await world.status()).conditions, "Ready")).toMatchObject({
      reason: "InvalidSpec",
      message: expect.stringContaining("Somebody else runs the server of the target tracker"),
    })
    expect((await world.instance())?.spec).toEqual(made.spec)
    expect(await world.pods()).toEqual([])
    await world.pass(10)
    expect(await statusOf("tracker")).toMatchObject({ instances: 1, failed: 1 })
    expect(await available("tracker")).toBe("True Available")
  })
})

test("--role dev probes servers of the same machine, also without TLS", async () => {
  const folder = mkdtempSync(join(tmpdir(), "reflow-dev-"))
  const server = createServer((_, response) => response.writeHead(405).end()).listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  const { metadata: _, ...rest } = aRemoteTarget({ spec: { remote: { url: `http://127.0.0.1:${port}/mcp` } } })
  const targets = JSON.stringify({ ...rest, metadata: { name: "near" } })
  const { role, out } = startDevRole({ folder, targets })
  try {
    const { url } = await role.ready
    const headers = { authorization: `Bearer ${bannerToken(out.printed, "admin")}` }
    const found = async () => {
      const shown = (await (await fetch(`${url}/api/targets/near`, { headers })).json()) as { status?: MCPTargetStatus }
      return findCondition(shown.status?.conditions, "Available")
    }
    const message = `127.0.0.1:${port} can be reached.`
    await expect.poll(found).toMatchObject({ status: "True", reason: "Available", message })
  } finally {
    await role.close()
    server.close()
    rmSync(folder, { recursive: true, force: true })
  }
})
