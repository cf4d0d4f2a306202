import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { connectV1 } from "../support/mcp-peers.ts"
import { callTool, toolText } from "../support/modern.ts"
import { eventually } from "../support/processes.ts"
import { initialize, post, type Reflow, repositoryFile, startReflow, target } from "../support/reflow.ts"

const server = (name: string) => repositoryFile(`test/fixtures/servers/${name}.mjs`)
const folder = mkdtempSync(join(tmpdir(), "reflow-streams-"))
const cancelled = join(folder, "cancelled")
let reflow: Reflow
let alice: string

beforeAll(async () => {
  reflow = await startReflow({
    targets:
      target("dual", ["node", server("dual")], { env: [{ name: "CANCEL_FILE", value: cancelled }] }) +
      target("late", ["node", server("legacy-stream")]),
  })
  alice = await reflow.token("alice")
})
afterAll(async () => {
  await reflow?.stop()
  rmSync(folder, { recursive: true, force: true })
})

const at = (name: string) => `${reflow.url}/mcp/${name}`

describe.concurrent("streams", () => {
  test("a call of 30 seconds gets its answer", { timeout: 60_000 }, async ({ expect }) => {
    expect(await toolText(at("dual"), alice, "slow", { seconds: 30 })).toContain("30")
  })

  test("the server sees within a second that a client of the modern era went away", async ({ expect }) => {
    const leave = new AbortController()
    await toolText(at("dual"), alice, "pid")
    const call = callTool(at("dual"), alice, "slow", { seconds: 20 }, leave.signal)
    await new Promise((resolve) => setTimeout(resolve, 500))
    expect(existsSync(cancelled)).toBe(false)
    leave.abort()
    await expect(call).rejects.toThrow()
    await eventually(() => existsSync(cancelled), 1_000, "the server saw the cancel")
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
