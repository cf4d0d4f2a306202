import { expect, test } from "vitest"
import { answerOf, answerTo, bridgeOf, messagesOf, open, scripted, textOf } from "../support/bridge.ts"
import { eventsOf } from "../support/legacy.ts"
import { eventually, processesOfGroup } from "../support/processes.ts"
import { initialize, post } from "../support/reflow.ts"

test("each session has a process and a state of its own", async () => {
  const bridge = await bridgeOf(scripted())
  const [one, other] = [await open(bridge), await open(bridge)]
  expect(await textOf(one, "count")).toBe("1")
  expect(await textOf(one, "count")).toBe("2")
  expect(await textOf(other, "count")).toBe("1")
  expect(await textOf(one, "pid")).not.toBe(await textOf(other, "pid"))
  expect(bridge.count()).toEqual({ processes: 2, sessions: 2, junk: 0 })
})

test("the process that the bridge started before it listened is that of the first session", async () => {
  const bridge = await bridgeOf(scripted())
  expect(bridge.count()).toMatchObject({ processes: 1, sessions: 0 })
  const session = await open(bridge)
  expect(await textOf(session, "pid")).toBe(String(bridge.pids()[0]))
  expect(bridge.count()).toMatchObject({ processes: 1, sessions: 1 })
})

test("a session ends with DELETE: its process ends, and it is unknown afterwards", async () => {
  const bridge = await bridgeOf(scripted())
  const [session, other] = [await open(bridge), await open(bridge)]
  const pid = Number(await textOf(session, "pid"))
  expect((await session.send("DELETE")).status).toBe(204)
  expect((await session.post({ jsonrpc: "2.0", id: 1, method: "ping" })).status).toBe(404)
  expect((await session.send("GET")).status).toBe(404)
  expect((await session.send("DELETE")).status).toBe(404)
  await eventually(() => processesOfGroup(pid).length === 0, 5_000, "the process has ended")
  expect(await textOf(other, "echo", { words: "alive" })).toBe("alive")
})

test("messages reach the server byte for byte, but for the ids", async () => {
  const bridge = await bridgeOf(scripted())
  const session = await open(bridge)
  const big =
    '{"jsonrpc":"2.0","id":"x\\u0041","method":"tools/call","params":{"name":"echo","arguments":{"words":"é\\n\\u2028"}}}'
  const response = await session.post(big)
  expect(await response.text()).toBe(
    '{"jsonrpc":"2.0","id":"x\\u0041","result":{"content":[{"type":"text","text":"é\\n\u2028"}]}}',
  )
  await session.post('{"jsonrpc":"2.0","method":"notifications/own",\r\n"params":{"big":12345678901234567890}}')
  expect(JSON.parse(await textOf(session, "heard"))).toContainEqual({
    method: "notifications/own",
    params: { big: Number("12345678901234567890") },
  })
})

test("a request of the server reaches the client, and the client's answer reaches the server", async () => {
  const bridge = await bridgeOf(scripted())
  const session = await open(bridge)
  const call = await session.post({
    jsonrpc: "2.0",
    id: 5,
    method: "tools/call",
    params: { name: "ask", arguments: { method: "elicitation/create" } },
  })
  expect(call.headers.get("content-type")).toBe("text/event-stream")
  const events = eventsOf(call)
  const messages = []
  for await (const { data } of events) {
    if (data === "") continue
    const message = JSON.parse(data)
    messages.push(message)
    if (message.method !== undefined) {
      const answer = await session.post({ jsonrpc: "2.0", id: message.id, result: { action: "accept" } })
      expect(answer.status).toBe(202)
    }
  }
  expect(messages).toEqual([
    { jsonrpc: "2.0", id: "ask-0", method: "elicitation/create", params: {} },
    { jsonrpc: "2.0", id: 5, result: { content: [{ type: "text", text: '{"result":{"action":"accept"}}' }] } },
  ])
})

test("progress goes to the call that asked for it, with the client's own token", async () => {
  const bridge = await bridgeOf(scripted())
  const session = await open(bridge)
  const call = (id: number) =>
    session.post({
      jsonrpc: "2.0",
      id,
      method: "tools/call",
      params: { name: "progress", arguments: { steps: 2 }, _meta: { progressToken: 7 } },
    })
  for (const response of await Promise.all([call(1), call(2)])) {
    expect((await messagesOf(response)).map(({ params, result }) => params ?? result.content[0].text)).toEqual([
      { progressToken: 7, progress: 1 },
      { progressToken: 7, progress: 2 },
      "2 steps",
    ])
  }
})

test("a cancelled call is cancelled under the server's id, and its stream ends without an answer", async () => {
  const bridge = await bridgeOf(scripted(), { silenceMs: 10 })
  const session = await open(bridge)
  const call = await session.post({ jsonrpc: "2.0", id: "mine", method: "tools/call", params: { name: "never" } })
  await session.post({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: "mine", reason: "r" } })
  expect(await messagesOf(call)).toEqual([])
  const heard = JSON.parse(await textOf(session, "heard"))
  expect(heard).toContainEqual({
    method: "notifications/cancelled",
    params: { requestId: expect.stringMatching(/^n:[\w-]{8}:\d+:[\w-]{8}$/), reason: "r" },
  })
})

test("a batch is answered by one stream with the answers of all its calls", async () => {
  const bridge = await bridgeOf(scripted())
  const session = await open(bridge)
  const call = (id: number) => ({
    jsonrpc: "2.0",
    id,
    method: "tools/call",
    params: { name: "echo", arguments: { words: `w${id}` } },
  })
  const response = await session.post([call(1), { jsonrpc: "2.0", method: "notifications/x" }, call(2)])
  const answers = await messagesOf(response)
  expect(answers.map(({ id, result }) => [id, result.content[0].text])).toEqual([
    [1, "w1"],
    [2, "w2"],
  ])
})

test("the server's refusal of initialize reaches the client, and opens no session", async () => {
  const bridge = await bridgeOf(scripted("refuse"))
  const response = await post(bridge.url, undefined, initialize(4))
  expect(response.headers.get("mcp-session-id")).toBeNull()
  expect(await answerOf(response, 4)).toEqual({
    jsonrpc: "2.0",
    id: 4,
    error: { code: -32602, message: "not for you" },
  })
  await eventually(() => bridge.count().sessions === 0 && bridge.count().processes === 0, 5_000, "nothing is left")
})

test("the server gets neither PORT nor REFLOW variables, but all others", async () => {
  const bridge = await bridgeOf(scripted(), {
    environment: { PATH: process.env.PATH, PORT: "1", REFLOW_TOKEN: "2", OTHER: "3" },
  })
  const environment = JSON.parse(await textOf(await open(bridge), "env"))
  expect(environment).toMatchObject({ PATH: process.env.PATH, OTHER: "3" })
  expect(Object.keys(environment).filter((name) => name === "PORT" || name.startsWith("REFLOW"))).toEqual([])
})

test("an unknown tool's error passes as it is", async () => {
  const session = await open(await bridgeOf(scripted()))
  expect((await answerTo(session, "missing", {}, "é")).error).toEqual({ code: -32602, message: "no tool missing" })
})
