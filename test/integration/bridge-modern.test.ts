import { expect, test } from "vitest"
import {
  answerOf,
  bridgeOf,
  fixture,
  modernRequest,
  modernText,
  open,
  postModern,
  scripted,
  textOf,
} from "../support/bridge.ts"
import { allOf, eventsOf } from "../support/legacy.ts"
import { connectV1, connectV2 } from "../support/mcp-peers.ts"
import { eventually } from "../support/processes.ts"
import { post } from "../support/reflow.ts"

const modern = fixture("modern")
const call = (name: string, args = {}) => ({ name, arguments: args })

test("a server of the modern era serves all requests with one process, the first one of the bridge", async () => {
  const bridge = await bridgeOf(modern)
  const pids = await Promise.all(Array.from({ length: 20 }, () => modernText(bridge, "pid")))
  expect(new Set(pids)).toEqual(new Set([String(bridge.pids()[0])]))
  expect(bridge.count()).toMatchObject({ processes: 1, sessions: 0 })
})

test("a server of the legacy era serves all requests of the modern era over one session of the bridge", async () => {
  const bridge = await bridgeOf(scripted())
  const pids = await Promise.all(Array.from({ length: 20 }, () => modernText(bridge, "pid")))
  expect(new Set(pids).size).toBe(1)
  await eventually(() => bridge.count().processes === 1, 5_000, "the process that was asked for its era has ended")
  // a session has a process of its own
  expect(await textOf(await open(bridge), "pid")).not.toBe(pids[0])
})

test("the result of a server of the legacy era gets what the modern era demands", async () => {
  const bridge = await bridgeOf(scripted())
  const called = await answerOf(await postModern(bridge, "tools/call", call("echo", { words: "w" })))
  expect(called.result).toEqual({ resultType: "complete", content: [{ type: "text", text: "w" }] })
  const read = await answerOf(await postModern(bridge, "resources/read", { uri: "test://a" }, "é"), "é")
  expect(read).toEqual({
    jsonrpc: "2.0",
    id: "é",
    result: { resultType: "complete", ttlMs: 0, cacheScope: "private" },
  })
})

test("server/discover for a server of the legacy era comes from its initialize", async () => {
  const bridge = await bridgeOf(scripted())
  expect((await answerOf(await postModern(bridge, "server/discover"))).result).toEqual({
    resultType: "complete",
    supportedVersions: ["2026-07-28"],
    capabilities: { tools: {}, resources: {} },
    ttlMs: 0,
    cacheScope: "private",
    _meta: { "io.modelcontextprotocol/serverInfo": { name: "scripted", version: "1.0.0" } },
  })
})

test.for([
  ["of the legacy era", scripted()],
  ["of the modern era", modern],
] as const)("a server %s: an unknown method is 404, an unknown version 400", async ([, command]) => {
  const bridge = await bridgeOf(command)
  const unknown = await postModern(bridge, "what/ever")
  expect(unknown.status).toBe(404)
  expect((await answerOf(unknown)).error.code).toBe(-32601)
  const later = modernRequest("tools/list", { _meta: { "io.modelcontextprotocol/protocolVersion": "2099-01-01" } })
  const refused = await post(bridge.url, undefined, later)
  expect(refused.status).toBe(400)
  expect((await answerOf(refused)).error).toMatchObject({
    code: -32022,
    data: { supported: ["2026-07-28"], requested: "2099-01-01" },
  })
})

test.for(["initialize", "subscriptions/listen", "logging/setLevel"])(
  "a server of the legacy era does not hear %s of the modern era",
  async (method) => {
    const response = await postModern(await bridgeOf(scripted()), method)
    expect(response.status).toBe(404)
    expect((await answerOf(response)).error.code).toBe(-32601)
  },
)

test.for([
  ["of the legacy era", scripted()],
  ["of the modern era", modern],
] as const)("a server %s hears that a client went away, under its own id of the call", async ([, command]) => {
  const bridge = await bridgeOf(command, { silenceMs: 1 })
  const gone = new AbortController()
  await postModern(bridge, "tools/call", call("never"), 1, gone.signal)
  gone.abort()
  const cancelled = async () =>
    JSON.parse(await modernText(bridge, "heard")).find(({ method }: { method?: string }) =>
      method?.endsWith("cancelled"),
    )
  await eventually(async () => (await cancelled()) !== undefined, 5_000, "the server has heard it")
  expect((await cancelled()).params.requestId).toMatch(/^n:[\w-]{8}:\d+:[\w-]{8}$/)
})

test("a subscription gets the notifications that name it, under the client's own id, until the client leaves", async () => {
  const bridge = await bridgeOf(modern)
  const subscribed = async (id: number) => {
    const gone = new AbortController()
    const response = await postModern(bridge, "subscriptions/listen", {}, id, gone.signal)
    const events = eventsOf(response)
    const next = async () => {
      for (;;) {
        const { value } = await events.next()
        if (value === undefined) throw new Error("the stream has ended")
        if (value.data !== "") return JSON.parse(value.data)
      }
    }
    return { next, gone }
  }
  const [one, other] = [await subscribed(7), await subscribed(7)]
  const key = "io.modelcontextprotocol/subscriptionId"
  expect(await one.next()).toMatchObject({ method: "notifications/subscriptions/acknowledged" })
  await other.next()
  const heard = async () => JSON.parse(await modernText(bridge, "heard"))
  const [first, second] = (await heard()).map(({ listening }: { listening: string }) => listening)
  await modernText(bridge, "update", { subscription: second })
  await modernText(bridge, "update", { subscription: first })
  const updates = [await one.next(), await other.next()]
  expect(updates.map(({ params }) => params)).toEqual([
    { uri: "test://one", _meta: { [key]: 7 } },
    { uri: "test://one", _meta: { [key]: 7 } },
  ])
  one.gone.abort()
  other.gone.abort()
  await eventually(
    async () => (await heard()).filter(({ method }: { method?: string }) => method?.endsWith("cancelled")).length === 2,
    5_000,
    "the server has heard of both ends",
  )
})

test("a log message goes to a call that asked for some, and only if all clients are one user", async () => {
  const logged = async (singleUser: boolean) => {
    const bridge = await bridgeOf(modern, { singleUser })
    const _meta = { "io.modelcontextprotocol/logLevel": "info" }
    const response = await postModern(bridge, "tools/call", { ...call("log", { words: "hi" }), _meta })
    const type = response.headers.get("content-type")
    await response.text()
    return type
  }
  expect(await logged(true)).toBe("text/event-stream")
  expect(await logged(false)).toBe("application/json")
})

test("a server of the modern era that died is started again, once for all who ask at the same time", async () => {
  const bridge = await bridgeOf(modern)
  const first = await modernText(bridge, "pid")
  const died = await answerOf(await postModern(bridge, "tools/call", call("die", { code: 3 })))
  expect(died.error).toMatchObject({ code: -32603, data: { exit_code: 3 } })
  const pids = new Set(await Promise.all(Array.from({ length: 10 }, () => modernText(bridge, "pid"))))
  expect(pids.size).toBe(1)
  expect(pids).not.toContain(first)
  expect(bridge.count().processes).toBe(1)
  expect(bridge.pids()).toHaveLength(2)
})

test("a server of the modern era that nobody uses is ended, and started again when somebody comes", async () => {
  const bridge = await bridgeOf(modern, { idleMs: 200 })
  const first = await modernText(bridge, "pid")
  await eventually(() => bridge.count().processes === 0, 5_000, "it has ended")
  expect(await modernText(bridge, "pid")).not.toBe(first)
})

test("a client of the 2.x library finds the modern era of a server of the 2.x library", async () => {
  const bridge = await bridgeOf(fixture("sdk"))
  const client = await connectV2("auto", bridge.url)
  expect(client.revision()).toBe("2026-07-28")
  expect((await client.call("echo", { message: "hello" })).text).toBe("Echo: hello")
  expect((await client.call("pid")).text).toBe(String(bridge.pids()[0]))
  await client.close()
})

test("clients of both libraries and eras use a published server of the legacy era", async () => {
  const everything = "node_modules/@modelcontextprotocol/server-everything/dist/index.js"
  const bridge = await bridgeOf([process.execPath, everything])
  const clients = await Promise.all([
    connectV1(bridge.url),
    connectV2("legacy", bridge.url),
    connectV2("auto", bridge.url),
  ])
  for (const client of clients) {
    expect(await client.tools()).toContain("get-sum")
    expect((await client.call("get-sum", { a: 2, b: 3 })).text).toContain("5")
  }
  const [legacy] = clients
  expect((await legacy?.call("trigger-sampling-request", { prompt: "p", maxTokens: 5 }))?.text).toContain("sampled!")
  const slow = await legacy?.call("trigger-long-running-operation", { duration: 0.2, steps: 2 })
  expect(slow?.progress).toBeGreaterThan(0)
  await Promise.all(clients.map((client) => client.close()))
})

test("a notification of the modern era is accepted, and a batch is not", async () => {
  const { url } = await bridgeOf(modern)
  const { id: _, ...notice } = modernRequest("notifications/x")
  expect((await post(url, undefined, notice)).status).toBe(202)
  expect((await post(url, undefined, [modernRequest("ping"), modernRequest("ping", {}, 2)])).status).toBe(400)
  expect(await allOf(eventsOf(await post(url, undefined, { ...notice, method: "notifications/y" })))).toEqual([])
})
