import { afterAll, beforeAll, describe, test } from "vitest"
import { connectV1 } from "../support/mcp-peers.ts"
import { toolText } from "../support/modern.ts"
import { eventually } from "../support/processes.ts"
import { type Reflow, repositoryFile, startReflow, target } from "../support/reflow.ts"

const server = repositoryFile("test/fixtures/servers/dual.mjs")
let reflow: Reflow
let alice: string

beforeAll(async () => {
  reflow = await startReflow({
    targets: ["idle", "busy", "closing", "streaming"]
      .map((name) => target(name, ["node", server], { statefulness: "stateless" }))
      .join(""),
    set: { "kubernetes.idle_ttl": "10s", "kubernetes.gc_interval": "1s" },
  })
  alice = await reflow.token("alice")
})
afterAll(async () => {
  await reflow?.stop()
})

const at = (name: string) => `${reflow.url}/mcp/${name}`
const instances = async (name: string): Promise<string[]> => {
  const { body } = await reflow.api("GET", `/api/targets/${name}/instances`)
  return body.items.map((each: { name: string }) => each.name)
}
const gone = (name: string) => eventually(async () => (await instances(name)).length === 0, 30_000, `${name} collected`)

describe.concurrent("with an idle TTL of 10 s", () => {
  test("an idle instance goes, and comes back on request", { timeout: 60_000 }, async ({ expect }) => {
    const before = await toolText(at("idle"), alice, "pid")
    expect(await instances("idle")).toHaveLength(1)
    await gone("idle")
    expect(await toolText(at("idle"), alice, "pid")).not.toBe(before)
  })

  test("a call that runs for 25 s is never cut", { timeout: 60_000 }, async ({ expect }) => {
    const [text, pid] = await Promise.all([
      toolText(at("busy"), alice, "slow", { seconds: 25 }),
      toolText(at("busy"), alice, "pid"),
    ])
    expect(text).toContain("25")
    expect(await toolText(at("busy"), alice, "pid")).toBe(pid)
  })

  test("closing a client (its DELETE) after its instance went starts no process", { timeout: 60_000 }, async ({
    expect,
  }) => {
    const peer = await connectV1(at("closing"), alice)
    await peer.call("pid")
    // its GET stream carries no bytes, so it counts as use only for the stream's own time
    await gone("closing")
    // which ended with the server: the client tries to open another one, until it gives up
    await peer.connectionError("Maximum reconnection attempts")
    expect(await instances("closing")).toEqual([])
    // there is no session any more
    await expect(peer.close()).rejects.toThrow("Not Found")
    expect(await instances("closing")).toEqual([])
  })

  test("a client's GET without an instance starts no process", async ({ expect }) => {
    const headers = { authorization: `Bearer ${alice}`, accept: "text/event-stream" }
    const unknown = await fetch(at("streaming"), { headers: { ...headers, "mcp-session-id": "unknown" } })
    expect(unknown.status).toBe(404)
    const without = await fetch(at("streaming"), { headers })
    expect(without.status).toBeGreaterThanOrEqual(400)
    expect(await instances("streaming")).toEqual([])
  })
})
