import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { answerOf, callTool, toolText } from "../support/modern.ts"
import { eventually, processesRunning } from "../support/processes.ts"
import { initialize, post, type Reflow, repositoryFile, startReflow, target } from "../support/reflow.ts"

const server = (name: string) => repositoryFile(`test/fixtures/servers/${name}.mjs`)
const mark = `failures-${process.pid}`
let reflow: Reflow
let alice: string

beforeAll(async () => {
  reflow = await startReflow({
    targets:
      target("many", ["node", server("dual"), `${mark}-many`], { statefulness: "stateless" }) +
      target("crash", ["node", server("crash")]) +
      target("silent", ["node", server("silent")], { startTimeout: "10s" }) +
      target("killed", ["node", server("dual"), `${mark}-killed`], { statefulness: "stateless" }),
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
  expect(response.status).toBe(502)
  expect(answer).toMatchObject({ jsonrpc: "2.0", id: 7, error: { data: { code: "InstanceFailed", exit_code: 3 } } })
  expect(JSON.stringify(answer.error.data.log)).toMatch(/crash/i)
})

test("a server that never listens is told when its start timeout has passed", async () => {
  const response = await post(at("silent"), alice, initialize())
  const answer = await answerOf(response)
  expect(response.status).toBe(502)
  expect(answer.error.data).toMatchObject({ code: "InstanceFailed" })
  expect(JSON.stringify(answer.error)).toMatch(/StartTimeout|PortClosed/)
})

describe.runIf(process.platform === "linux")("a killed server process", () => {
  test("is replaced and the next request is served by a new one", async () => {
    const before = await toolText(at("killed"), alice, "pid")
    for (const each of processesRunning(`${mark}-killed`)) {
      if (each.command[0]?.endsWith("node")) process.kill(each.pid, "SIGKILL")
    }
    await eventually(async () => (await callTool(at("killed"), alice, "pid")).status === 200, 10_000, "served again")
    expect(await toolText(at("killed"), alice, "pid")).not.toBe(before)
  })
})
