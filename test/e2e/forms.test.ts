import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { connectV1, connectV2 } from "../support/mcp-peers.ts"
import { callTool, toolText } from "../support/modern.ts"
import { eventually, processesRunning } from "../support/processes.ts"
import { type Form, initialize, post, type Reflow, repositoryFile, startReflow, target } from "../support/reflow.ts"
import { giveUpSlow } from "../support/slow-call.ts"

const forms: readonly Form[] = ["bundle", "executable", "deno"]

test.each(forms)(
  "as %s a killed program has lost nothing that the REST API made",
  { timeout: 60_000 },
  async (form) => {
    const folder = mkdtempSync(join(tmpdir(), "reflow-killed-"))
    const begin = () => startReflow({ form, targets: "", set: { "dev.state_dir": join(folder, "state") } })
    const first = await begin()
    const body = {
      name: "mine",
      transport_type: "kubernetes",
      image: "example.invalid/mine:1",
      command: ["node", repositoryFile("test/fixtures/servers/dual.mjs")],
      port: 8080,
      isolation_boundary: "per_user",
      credentials: [{ name: "API_TOKEN" }],
    }
    expect((await first.api("POST", "/api/targets", body)).status).toBe(201)
    const alice = await first.token("alice")
    expect((await first.api("PUT", "/api/targets/mine/env/me", { API_TOKEN: "kept" }, alice)).status).toBe(200)
    await expect(begin()).rejects.toThrow(/StateInUse[\s\S]*dev\.state_dir/)
    first.process.kill("SIGKILL")
    await first.stop()
    const second = await begin()
    expect(await toolText(`${second.url}/mcp/mine`, alice, "env", { names: ["API_TOKEN"] })).toContain('"kept"')
    await second.stop()
    rmSync(folder, { recursive: true, force: true })
  },
)

describe.each(forms)("the program as %s", (form) => {
  const mark = `form-${form}-${process.pid}`
  const server = repositoryFile("test/fixtures/servers/dual.mjs")
  const folder = mkdtempSync(join(tmpdir(), "reflow-forms-"))
  const cancelFile = join(folder, "cancelled")
  let reflow: Reflow
  let alice: string

  beforeAll(async () => {
    reflow = await startReflow({
      form,
      targets:
        target("dual", ["node", server, mark], {
          credentials: [{ name: "API_TOKEN" }],
          env: [{ name: "CANCEL_FILE", value: cancelFile }],
        }) +
        target("late", ["node", repositoryFile("test/fixtures/servers/legacy-stream.mjs")]) +
        target("crash", ["node", repositoryFile("test/fixtures/servers/crash.mjs")]),
    })
    alice = await reflow.token("alice")
  })
  afterAll(async () => {
    await reflow?.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  describe.concurrent("while it runs", () => {
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
      const carol = await reflow.token("carol")
      const url = `${reflow.url}/mcp/dual`
      const before = await toolText(url, carol, "pid")
      const put = await reflow.api("PUT", "/api/targets/dual/env/me", { API_TOKEN: "changed" }, carol)
      expect(put.status).toBeLessThan(300)
      await eventually(async () => (await toolText(url, carol, "pid")) !== before, 15_000, "another process")
      expect(await toolText(url, carol, "env", { names: ["API_TOKEN"] })).toContain("changed")
    })

    test("carries an answer of 5 MB whole", async () => {
      const dave = await reflow.token("dave")
      expect(await toolText(`${reflow.url}/mcp/dual`, dave, "big")).toHaveLength(5_000_000)
    })

    test("sends the head of a stream on before its first event", async () => {
      const response = await post(`${reflow.url}/mcp/late`, alice, initialize())
      // its events come two seconds after the head
      const head = performance.now()
      expect(response.headers.get("content-type")).toContain("text/event-stream")
      expect(await response.text()).toContain("data:")
      expect(performance.now() - head).toBeGreaterThan(1_000)
    })

    test("tells the server within a second that a client went away", async () => {
      const erin = await reflow.token("erin")
      const url = `${reflow.url}/mcp/dual`
      await giveUpSlow(cancelFile, (signal) => callTool(url, erin, "slow", { seconds: 20 }, signal))
    })
  })

  test("tells why a server fails, and refuses what is wrong", async () => {
    expect((await post(`${reflow.url}/mcp/crash`, alice, initialize())).status).toBe(200)
    expect((await post(`${reflow.url}/mcp/dual`, undefined, initialize())).status).toBe(401)
    expect((await post(`${reflow.url}/mcp/nothing`, alice, initialize())).status).toBe(404)
    expect((await callTool(`${reflow.url}/mcp/dual`, alice, "pid")).status).toBe(200)
  })

  test.runIf(process.platform === "linux")("ends its servers when it ends", async () => {
    expect(processesRunning(mark).length).toBeGreaterThan(0)
    expect(await reflow.stop()).toBe(0)
    expect(processesRunning(mark)).toEqual([])
  })

  test.runIf(process.platform === "linux")("leaves no server and no child of one when it is killed", async () => {
    const script = `"$0" -e "setInterval(() => {}, 1000)" ${mark}-child & exec "$0" ${server} ${mark}-server`
    reflow = await startReflow({ form, targets: target("family", ["sh", "-c", script, "node"]) })
    await toolText(`${reflow.url}/mcp/family`, await reflow.token("alice"), "pid")
    expect(processesRunning(`${mark}-child`)).toHaveLength(1)
    expect(processesRunning(`${mark}-server`).length).toBeGreaterThan(0)
    reflow.process.kill("SIGKILL")
    const left = () => [...processesRunning(`${mark}-child`), ...processesRunning(`${mark}-server`)]
    await eventually(() => left().length === 0, 5_000, "all ended")
  })
})
