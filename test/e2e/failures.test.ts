import { existsSync } from "node:fs"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { answerOf, callTool, envelope, toolText } from "../support/modern.ts"
import { eventually } from "../support/processes.ts"
import { initialize, post, type Reflow, repositoryFile, startReflow, target } from "../support/reflow.ts"

const server = (name: string) => repositoryFile(`test/fixtures/servers/${name}.mjs`)
let reflow: Reflow
let alice: string

beforeAll(async () => {
  reflow = await startReflow({
    targets:
      target("many", ["node", server("dual")], { statefulness: "stateless" }) +
      target("crash", ["node", server("crash")]) +
      target("silent", ["node", server("silent")], { startTimeout: "10s" }) +
      target("killed", ["node", server("dual")], { statefulness: "stateless" }) +
      target("gone", ["node", server("dual")], { statefulness: "stateless" }),
  })
  alice = await reflow.token("alice")
})
afterAll(async () => {
  await reflow?.stop()
})

const at = (name: string) => `${reflow.url}/mcp/${name}`

test("50 parallel first requests of one user make one process and get 50 answers", async () => {
  const pids = await Promise.all(Array.from({ length: 50 }, () => toolText(at("many"), alice, "pid")))
  expect(pids).toHaveLength(50)
  expect(new Set(pids).size).toBe(1)
})

test("a server that exits at once is told with exit code and last log lines within 3 s", async () => {
  const started = performance.now()
  const response = await post(at("crash"), alice, initialize(7))
  const answer = await answerOf(response, 7)
  expect(performance.now() - started).toBeLessThan(3_000)
  expect(response.status).toBe(200)
  expect(answer).toMatchObject({ jsonrpc: "2.0", id: 7, error: { data: { code: "InstanceFailed", exit_code: 3 } } })
  expect(JSON.stringify(answer.error.data.log)).toMatch(/crash/i)
})

test("a server that never listens is told when its start timeout of 10 s has passed, and soon after", async () => {
  const started = performance.now()
  const response = await post(at("silent"), alice, initialize())
  const seconds = (performance.now() - started) / 1_000
  const answer = await answerOf(response)
  expect(response.status).toBe(200)
  expect(answer.error.data).toMatchObject({ code: "InstanceFailed", reason: "StartTimeout" })
  // the Pod's time of creation, from which the time counts, is in whole seconds
  expect(seconds).toBeGreaterThan(9)
  expect(seconds).toBeLessThan(13)
})

describe.runIf(process.platform === "linux")("a killed server process", () => {
  test("is replaced, and the very next request is served by a new one", async () => {
    const before = Number(await toolText(at("killed"), alice, "pid"))
    process.kill(before, "SIGKILL")
    // a request that reaches the dying process itself is lost with it
    await eventually(() => !existsSync(`/proc/${before}`), 5_000, "it is dead")
    const next = await callTool(at("killed"), alice, "pid")
    expect(next.status).toBe(200)
    expect(Number((await answerOf(next)).result.content[0].text)).not.toBe(before)
  })

  test("loses no request that may be repeated, whatever moment it comes at", async () => {
    const list = { jsonrpc: "2.0", id: 1, method: "tools/list", params: { _meta: envelope } }
    const headers = { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list" }
    const before = Number(await toolText(at("gone"), alice, "pid"))
    process.kill(before, "SIGKILL")
    expect((await post(at("gone"), alice, list, headers)).status).toBe(200)
    expect(Number(await toolText(at("gone"), alice, "pid"))).not.toBe(before)
  })
})
