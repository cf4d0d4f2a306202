import { describe, expect, test } from "vitest"
import {
  answerOf,
  bridgeOf,
  fixture,
  messagesOf,
  modernRequest,
  modernText,
  postModern,
  type TestBridge,
} from "../support/bridge.ts"
import { post } from "../support/reflow.ts"

const modern = fixture("ruled")
const legacy = fixture("ruled", "legacy")
const eras = [
  ["of the modern era", modern],
  ["of the legacy era", legacy],
] as const

const call = (name: string, args = {}) => ({ name, arguments: args })

/** Calls `go`, with headers that repeat its argument. */
const go = ({ url }: TestBridge, headers: Readonly<Record<string, string>> = {}): Promise<Response> =>
  post(url, undefined, modernRequest("tools/call", call("go", { place: "eu" })), headers)

describe.for(eras)("the headers that repeat arguments, for a server %s", ([, command]) => {
  test("are demanded, though the server sees none and the client asked for no list of tools", async () => {
    const bridge = await bridgeOf(command)
    const refused = await go(bridge)
    expect(refused.status).toBe(400)
    expect((await answerOf(refused)).error).toMatchObject({ code: -32020, data: { code: "HeaderMismatch" } })
    expect((await go(bridge, { "mcp-param-region": "us" })).status).toBe(400)
    expect((await answerOf(await go(bridge, { "mcp-param-region": "eu" }))).result.content[0].text).toBe("gone")
    expect(JSON.parse(await modernText(bridge, "called"))).toEqual(["go", "called"])
  })

  test("are those of the list that a client got last", async () => {
    const bridge = await bridgeOf(command)
    await modernText(bridge, "rename", { to: "Zone" })
    expect((await go(bridge, { "mcp-param-region": "eu" })).status).toBe(200)
    await answerOf(await postModern(bridge, "tools/list"))
    expect((await go(bridge, { "mcp-param-region": "eu" })).status).toBe(400)
    expect((await go(bridge, { "mcp-param-zone": "eu" })).status).toBe(200)
  })
})

test("a request that does not say what its client can do is refused", async () => {
  const bridge = await bridgeOf(modern)
  for (const capabilities of [undefined, null, "all", []]) {
    const _meta = { "io.modelcontextprotocol/clientCapabilities": capabilities }
    const response = await postModern(bridge, "tools/call", { ...call("pid"), _meta })
    expect(response.status).toBe(400)
    expect((await answerOf(response)).error).toMatchObject({ code: -32602, data: { code: "InvalidParams" } })
  }
})

test("a log message goes to the newest of the open calls that asked for some", async () => {
  const bridge = await bridgeOf(modern, { singleUser: true, silenceMs: 1 })
  const _meta = { "io.modelcontextprotocol/logLevel": "info" }
  const asking = [
    // each has its head, and so is at the server, before the next one
    await postModern(bridge, "tools/call", { ...call("hold"), _meta }, 1),
    await postModern(bridge, "tools/call", { ...call("hold"), _meta }, 2),
    await postModern(bridge, "tools/call", call("hold"), 3),
  ]
  expect(await modernText(bridge, "log", { words: "hello" })).toBe("logged")
  await modernText(bridge, "release")
  const got = await Promise.all(asking.map(async (response) => messagesOf(response)))
  expect(got.map((messages) => messages.map(({ id, params }) => params?.data ?? id))).toEqual([[1], ["hello", 2], [3]])
})

test("the stream of a subscription opens at once, though the server says nothing", async () => {
  const bridge = await bridgeOf(modern, { silenceMs: 600_000 })
  const left = new AbortController()
  const response = await postModern(bridge, "subscriptions/listen", {}, 1, left.signal)
  expect(response.headers.get("content-type")).toBe("text/event-stream")
  left.abort()
}, 10_000)

/** What a server of the legacy era, which answers all methods, is made to answer in the modern era: status and answer. */
const answersTo = async (methods: readonly string[]) => {
  const bridge = await bridgeOf(legacy)
  const answers = methods.map(async (method) => {
    const response = await postModern(bridge, method)
    return [method, response.status, await answerOf(response)] as const
  })
  return Promise.all(answers)
}

test("a server of the legacy era does not hear what needs a session", async () => {
  const ofSessions = ["initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"]
  for (const answer of await answersTo([...ofSessions, "subscriptions/listen"]))
    expect(answer).toMatchObject([answer[0], 404, { error: { code: -32601 } }])
})

test("the lists and resources of a server of the legacy era must not be cached, and of other results nothing is said", async () => {
  const lists = ["tools/list", "prompts/list", "resources/list", "resources/templates/list"]
  for (const answer of await answersTo([...lists, "resources/read"]))
    expect(answer).toMatchObject([
      answer[0],
      200,
      { result: { resultType: "complete", ttlMs: 0, cacheScope: "private" } },
    ])
  for (const [method, , { result }] of await answersTo(["prompts/get", "completion/complete"]))
    expect(result).toEqual({ resultType: "complete", own: method })
})
