import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { allOf, eventsOf, legacyCall, openSession } from "../support/legacy.ts"
import { connectV1, connectV2, type Peer } from "../support/mcp-peers.ts"
import { answerOf, callTool, envelope } from "../support/modern.ts"
import { post, type Reflow, repositoryFile, startReflow } from "../support/reflow.ts"
import { startServing } from "../support/serving.ts"

const hiding = { tools: { allow: ["e*", "get-*", "pid"], deny: ["env", "get-env"] } }
const serving = startServing()
let reflow: Reflow
let alice: string

beforeAll(async () => {
  const targets = await Promise.all([
    serving.target("dual", ["node", repositoryFile("test/fixtures/servers/dual.mjs")], hiding),
    serving.target("everything", ["mcp-server-everything", "streamableHttp"], hiding),
  ])
  reflow = await startReflow({ targets: targets.join("") })
  alice = await reflow.token("alice")
})
afterAll(async () => {
  await reflow?.stop()
  await serving.close()
})

const at = (name: string) => `${reflow.url}/mcp/${name}`
const list = (id: number, params = {}) => ({ jsonrpc: "2.0", id, method: "tools/list", params })

const peers: readonly [string, string, string, () => Promise<Peer>][] = [
  ["the 1.x client", "everything", "get-env", () => connectV1(at("everything"), alice)],
  ["the 1.x client", "dual", "env", () => connectV1(at("dual"), alice)],
  ["the 2.x client of the legacy era", "dual", "env", () => connectV2("legacy", at("dual"), alice)],
  ["the 2.x client of the modern era", "dual", "env", () => connectV2("2026-07-28", at("dual"), alice)],
]

test.each(peers)("%s sees and calls what %s may show, and not %s", async (_name, _target, hidden, connect) => {
  const peer = await connect()
  const tools = await peer.tools()
  expect(tools).toContain("echo")
  expect(tools).not.toContain(hidden)
  expect(tools.filter((tool) => !/^(e|get-|pid$)/.test(tool))).toEqual([])
  expect((await peer.call("echo", { message: "hi" })).text).toBe("Echo: hi")
  await expect(peer.call(hidden)).rejects.toMatchObject({ code: -32602 })
  await peer.close()
})

describe("what a real server lists", () => {
  test("stays hidden on a stream that is resumed", async () => {
    const session = await openSession(at("everything"), alice)
    const events = await allOf(eventsOf(await session.post(list(3))))
    const leave = new AbortController()
    const resumed = await session.send("GET", { "last-event-id": events[0]?.id ?? "" }, leave.signal)
    const { value } = await eventsOf(resumed).next()
    leave.abort()
    expect(value?.data).toBe(events.at(-1)?.data)
    const names = JSON.parse(value?.data ?? "").result.tools.map((tool: { name: string }) => tool.name)
    expect(names).toContain("echo")
    expect(names).not.toContain("get-env")
  })

  test("stays hidden for a request of the modern era, and is for nobody else's cache", async () => {
    const headers = { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list" }
    const { result } = await answerOf(await post(at("dual"), alice, list(1, { _meta: envelope }), headers))
    expect(result.tools.map((tool: { name: string }) => tool.name).sort()).toEqual(["echo", "elicit", "pid"])
    expect(result.cacheScope).not.toBe("public")
  })
})

test("a hidden tool gets the same answer as another name that the policy lacks, in both eras", async () => {
  const session = await openSession(at("dual"), alice)
  const answers = await Promise.all(
    ["env", "nothing"].map(async (name) => [
      await answerOf(await session.post(legacyCall(name))),
      await answerOf(await callTool(at("dual"), alice, name)),
    ]),
  )
  const [hidden, unknown] = answers.map((each) =>
    each.map(({ error }) => ({ code: error.code, message: error.message.replace(/env|nothing/, "NAME") })),
  )
  expect(hidden).toEqual(unknown)
  expect(hidden?.[0]).toEqual({
    code: -32602,
    message: "Unknown tool: NAME. Call a tool that tools/list shows. (UnknownTool)",
  })
})
