/** How the log of the whole program names people (log.subjects). */
import { afterAll, beforeAll, expect, test } from "vitest"
import { initialize, post, type Reflow, repositoryFile, startReflow, target } from "../support/reflow.ts"

const server = ["node", repositoryFile("test/fixtures/servers/dual.mjs")]
const values = { credentials: [{ name: "TOKEN" }] }

let reflow: Reflow
beforeAll(async () => {
  const set = { "log.subjects": "name", "log.format": "json" }
  reflow = await startReflow({ targets: target("own", server, values), set })
})
afterAll(async () => {
  await reflow.stop()
})

const lines = (message: string): readonly Record<string, unknown>[] =>
  reflow
    .output()
    .split("\n")
    .filter((line) => line.includes(`"message":"${message}"`))
    .map((line) => JSON.parse(line))

test("callers are named by issuer and subject, of MCP and REST, and whose values an administrator changed", async () => {
  const alice = await reflow.token("alice")
  expect((await post(`${reflow.url}/mcp/own`, alice, initialize())).status).toBe(200)
  await expect.poll(() => lines("mcp request")).toContainEqual(expect.objectContaining({ subject: "dev/alice" }))
  const root = await reflow.token("root", { roles: ["admin"] })
  const { status } = await reflow.api("PUT", "/api/targets/own/env/user/dev/alice", { TOKEN: "canary" }, root)
  expect(status).toBe(200)
  const line = { call: "setValues", subject: "dev/root", scope: "user", whose: "dev/alice" }
  await expect.poll(() => lines("api")).toContainEqual(expect.objectContaining(line))
  expect(reflow.output()).not.toContain("canary")
})
