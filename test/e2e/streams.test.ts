import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { connectV1, connectV2, type Peer } from "../support/mcp-peers.ts"
import { initialize, post, type Reflow, repositoryFile, startReflow } from "../support/reflow.ts"
import { startServing } from "../support/serving.ts"
import { giveUpSlow } from "../support/slow-call.ts"

const server = (name: string) => repositoryFile(`test/fixtures/servers/${name}.mjs`)
const folder = mkdtempSync(join(tmpdir(), "reflow-streams-"))
const cancelFile = (name: string) => join(folder, name)
const cancelEnv = (name: string) => [{ name: "CANCEL_FILE", value: cancelFile(name) }]
/** Clients, each with a target of its own, whose server tells of no other's call. */
const clients: readonly [string, string, (url: string) => Promise<Peer>][] = [
  ["the 1.x client", "first", (url) => connectV1(url, alice)],
  ["the 2.x client in auto mode", "auto", (url) => connectV2("auto", url, alice)],
  ["the 2.x client pinned to 2026-07-28", "pinned", (url) => connectV2("2026-07-28", url, alice)],
]
const serving = startServing()
let reflow: Reflow
let alice: string

beforeAll(async () => {
  const targets = await Promise.all([
    serving.target("dual", ["node", server("dual")]),
    serving.target("late", ["node", server("legacy-stream")]),
    ...clients.map(([, name]) => serving.target(name, ["node", server("dual")], { env: cancelEnv(name) })),
  ])
  reflow = await startReflow({ targets: targets.join("") })
  alice = await reflow.token("alice")
})
afterAll(async () => {
  await reflow?.stop()
  await serving.close()
  rmSync(folder, { recursive: true, force: true })
})

const at = (name: string) => `${reflow.url}/mcp/${name}`

describe.concurrent("streams", () => {
  test.for(clients)(
    "a call of 30 seconds of %s gets its answer",
    { timeout: 60_000 },
    async ([, , connect], { expect }) => {
      const peer = await connect(at("dual"))
      expect((await peer.call("slow", { seconds: 30 })).text).toBe("slept 30 seconds")
      await peer.close()
    },
  )

  test.for(clients)("the server sees within a second that %s gave up its call", async ([, name, connect]) => {
    const peer = await connect(at(name))
    await giveUpSlow(cancelFile(name), (signal) => peer.call("slow", { seconds: 20 }, signal))
    await peer.close()
  })

  test("the head of an SSE stream arrives before its first event", async ({ expect }) => {
    // the first request makes the instance; its events come two seconds after the head
    await (await post(at("late"), alice, initialize())).text()
    const started = performance.now()
    const response = await post(at("late"), alice, initialize())
    const head = performance.now() - started
    const text = await response.text()
    expect(response.headers.get("content-type")).toContain("text/event-stream")
    expect(text).toContain("data:")
    expect(performance.now() - started - head).toBeGreaterThan(1_000)
  })
})

test("a legacy session keeps its state from call to call", async () => {
  const peer = await connectV1(at("dual"), alice)
  expect((await peer.call("pid")).text).toBe((await peer.call("pid")).text)
  await peer.close()
})
