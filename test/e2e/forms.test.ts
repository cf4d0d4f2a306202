import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { connectV1, connectV2 } from "../support/mcp-peers.ts"
import { callTool, toolText } from "../support/modern.ts"
import { eventually, processesRunning } from "../support/processes.ts"
import { type Form, initialize, post, type Reflow, repositoryFile, startReflow, target } from "../support/reflow.ts"

const forms: readonly Form[] = ["bundle", "executable", "deno"]

describe.each(forms)("the program as %s", (form) => {
  const mark = `form-${form}-${process.pid}`
  const server = repositoryFile("test/fixtures/servers/dual.mjs")
  let reflow: Reflow
  let alice: string

  beforeAll(async () => {
    reflow = await startReflow({
      form,
      targets:
        target("dual", ["node", server, mark], { credentials: [{ name: "API_TOKEN" }] }) +
        target("crash", ["node", repositoryFile("test/fixtures/servers/crash.mjs")]),
    })
    alice = await reflow.token("alice")
  })
  afterAll(async () => {
    await reflow?.stop()
  })

  test("gives two users a server each, to clients of both eras", async () => {
    const url = `${reflow.url}/mcp/dual`
    const bob = await reflow.token("bob")
    const [v1, v2] = await Promise.all([connectV1(url, alice), connectV2("2026-07-28", url, bob)])
    expect((await v1.call("pid")).text).not.toBe((await v2.call("pid")).text)
    expect((await v1.call("progress")).progress).toBeGreaterThan(0)
    expect((await v1.call("sample")).text).toContain("sampled!")
    expect((await v2.call("elicit")).text).toContain("Ada")
    await Promise.all([v1.close(), v2.close()])
  })

  test("gives a changed credential to the next call", async () => {
    const url = `${reflow.url}/mcp/dual`
    const before = await toolText(url, alice, "pid")
    const put = await reflow.api("PUT", "/api/targets/dual/env/me", { API_TOKEN: "changed" }, alice)
    expect(put.status).toBeLessThan(300)
    await eventually(async () => (await toolText(url, alice, "pid")) !== before, 15_000, "another process")
    expect(await toolText(url, alice, "env", { names: ["API_TOKEN"] })).toContain("changed")
  })

  test("tells why a server fails, and refuses what is wrong", async () => {
    expect((await post(`${reflow.url}/mcp/crash`, alice, initialize())).status).toBe(502)
    expect((await post(`${reflow.url}/mcp/dual`, undefined, initialize())).status).toBe(401)
    expect((await post(`${reflow.url}/mcp/nothing`, alice, initialize())).status).toBe(404)
    expect((await callTool(`${reflow.url}/mcp/dual`, alice, "pid")).status).toBe(200)
  })

  test.runIf(process.platform === "linux")("ends its servers when it ends", async () => {
    expect(processesRunning(mark).length).toBeGreaterThan(0)
    expect(await reflow.stop()).toBe(0)
    expect(processesRunning(mark)).toEqual([])
  })
})
