import { expect, onTestFinished, test, vi } from "vitest"
import {
  answerOf,
  answerTo,
  bridgeOf,
  messagesOf,
  modernText,
  open,
  postModern,
  scripted,
  textOf,
} from "../support/bridge.ts"
import { allOf, eventsOf, type LegacySession, legacyCall, type StreamEvent } from "../support/legacy.ts"
import { initialize, post } from "../support/reflow.ts"

const shared = { processes: "shared", maxProcesses: 2 } as const

/** The methods of what a GET stream brought. */
const methodsIn = (events: readonly StreamEvent[]): readonly string[] =>
  events.flatMap(({ data }) => (data === "" ? [] : [JSON.parse(data).method]))

/** What the server heard, besides calls. */
const heardBy = async (session: LegacySession) => JSON.parse(await textOf(session, "heard"))

test("all sessions have one process, which the bridge has opened itself", async () => {
  const bridge = await bridgeOf(scripted(), shared)
  const [one, other] = [await open(bridge), await open(bridge)]
  expect(await textOf(one, "count")).toBe("1")
  expect(await textOf(other, "count")).toBe("2")
  expect(bridge.count()).toMatchObject({ processes: 1, sessions: 2 })
  // the clients' own initialized does not reach it
  expect(await heardBy(one)).toEqual([{ method: "notifications/initialized", params: {} }])
})

test("every initialize is answered from the server's answer to the bridge, in the client's revision", async () => {
  const { url } = await bridgeOf(scripted(), shared)
  const { params, ...others } = initialize()
  const old = await answerOf(
    await post(url, undefined, { ...others, params: { ...params, protocolVersion: "2025-03-26" } }),
  )
  expect(old.result).toEqual({
    protocolVersion: "2025-03-26",
    capabilities: { tools: {}, resources: { subscribe: true, listChanged: true } },
    serverInfo: { name: "scripted", version: "1.0.0" },
  })
  const unknown = { ...others, params: { ...params, protocolVersion: "2099-01-01" } }
  expect((await answerOf(await post(url, undefined, unknown))).result.protocolVersion).toBe("2025-11-25")
})

test("the server cannot ask a client: its requests are refused, its ping is answered", async () => {
  const session = await open(await bridgeOf(scripted(), shared))
  expect(JSON.parse(await textOf(session, "ask"))).toMatchObject({ error: { code: -32601 } })
  expect(JSON.parse(await textOf(session, "ask", { method: "ping" }))).toEqual({ result: {} })
})

test("an update of a resource reaches its subscribers only, a changed list everybody, a log message nobody", async () => {
  const bridge = await bridgeOf(scripted(), shared)
  const sessions = [await open(bridge), await open(bridge)]
  const streams = await Promise.all(sessions.map((session) => session.send("GET")))
  const [one, other] = sessions as [LegacySession, LegacySession]
  await one.post({ jsonrpc: "2.0", id: 1, method: "resources/subscribe", params: { uri: "test://a" } })
  await textOf(one, "notify", { method: "notifications/resources/updated", params: { uri: "test://a" } })
  await textOf(one, "notify", { method: "notifications/resources/updated", params: { uri: "test://b" } })
  await textOf(one, "notify", { method: "notifications/message", params: { data: "secret" } })
  await textOf(one, "notify", { method: "notifications/tools/list_changed" })
  await Promise.all(sessions.map((session) => session.send("DELETE")))
  const [ofOne, ofOther] = await Promise.all(streams.map((stream) => allOf(eventsOf(stream))))
  expect(methodsIn(ofOne ?? [])).toEqual(["notifications/resources/updated", "notifications/tools/list_changed"])
  expect(methodsIn(ofOther ?? [])).toEqual(["notifications/tools/list_changed"])
  expect(other.id).not.toBe(one.id)
})

test("an update of a resource is parsed no more often for many sessions", async () => {
  const bridge = await bridgeOf(scripted(), shared)
  const one = await open(bridge)
  for (let at = 0; at < 20; at++) await open(bridge)
  const stream = eventsOf(await one.send("GET"))
  await one.post({ jsonrpc: "2.0", id: 1, method: "resources/subscribe", params: { uri: "test://a" } })
  const parse = vi.spyOn(JSON, "parse")
  onTestFinished(() => parse.mockRestore())
  await textOf(one, "notify", { method: "notifications/resources/updated", params: { uri: "test://a" } })
  const update = '{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"test://a"}}'
  for await (const { data } of stream) if (data === update) break
  expect(parse.mock.calls.filter(([text]) => text === update).length).toBeLessThan(3)
})

test("the server hears every subscription to a resource, and when the last one ends, also by its session's end", async () => {
  const bridge = await bridgeOf(scripted(), shared)
  const [one, other, third] = [await open(bridge), await open(bridge), await open(bridge)]
  const ask = async (session: LegacySession, method: string, uri: string) =>
    expect(await answerOf(await session.post({ jsonrpc: "2.0", id: 1, method, params: { uri } }))).toMatchObject({
      result: {},
    })
  await ask(one, "resources/subscribe", "test://a")
  await ask(other, "resources/subscribe", "test://a")
  await ask(other, "resources/subscribe", "test://a")
  await ask(one, "resources/unsubscribe", "test://a")
  await ask(one, "resources/unsubscribe", "test://a")
  await ask(third, "logging/setLevel", "")
  expect((await heardBy(third)).map(({ method }: { method: string }) => method)).toEqual([
    "notifications/initialized",
    ...["resources/subscribe", "resources/subscribe", "resources/subscribe"],
  ])
  await other.send("DELETE")
  expect((await heardBy(third)).at(-1)).toMatchObject({ method: "resources/unsubscribe", params: { uri: "test://a" } })
})

test("a server that prints the text of one client does not answer the call of another one by it", async () => {
  const bridge = await bridgeOf(scripted(), { ...shared, silenceMs: 1 })
  const [one, other] = [await open(bridge), await open(bridge)]
  const waiting = await other.post(legacyCall("never", {}, 7))
  for (let number = 1; number < 20; number++)
    await textOf(one, "raw", { line: `{"jsonrpc":"2.0","id":"n:${number}","result":{"forged":true}}` })
  // the server may tell the id of a call in its answer, and the next ids differ from it in their numbers at least
  const [, prefix, own, rest = ""] = /(n:.*?:)(\d+)(.*)$/.exec(await textOf(one, "notify", { method: "x" })) ?? []
  for (let number = 1; number < Number(own); number++)
    await textOf(one, "raw", { line: `{"jsonrpc":"2.0","id":"${prefix}${number}${rest}","result":{"forged":true}}` })
  await other.send("DELETE")
  expect(await messagesOf(waiting)).toEqual([])
})

test("progress goes by token to its call alone, though all tokens are equal", async () => {
  const bridge = await bridgeOf(scripted(), shared)
  const sessions = [await open(bridge), await open(bridge)]
  const call = (steps: number) => ({
    jsonrpc: "2.0",
    id: 1,
    method: "tools/call",
    params: { name: "progress", arguments: { steps }, _meta: { progressToken: "t" } },
  })
  const answers = await Promise.all(sessions.map(async (session, at) => messagesOf(await session.post(call(at + 1)))))
  expect(answers.map((messages) => messages.length)).toEqual([2, 3])
  expect(answers.flat().filter(({ params }) => params !== undefined && params.progressToken !== "t")).toEqual([])
})

test("a session's end cancels its calls at the server, and nobody else's", async () => {
  const bridge = await bridgeOf(scripted(), { ...shared, silenceMs: 1 })
  const [one, other] = [await open(bridge), await open(bridge)]
  const [mine, theirs] = [await one.post(legacyCall("never")), await other.post(legacyCall("never"))]
  await one.send("DELETE")
  expect(await messagesOf(mine)).toEqual([])
  const cancelled = (await heardBy(other)).filter(({ method }: { method: string }) => method.endsWith("cancelled"))
  expect(cancelled).toHaveLength(1)
  expect((await one.post(legacyCall("pid"))).status).toBe(404)
  await theirs.body?.cancel()
})

test("the shared server's death: open calls get its exit code, and the bridge fails with it", async () => {
  const bridge = await bridgeOf(scripted(), { ...shared, silenceMs: 1 })
  const [one, other] = [await open(bridge), await open(bridge)]
  const waiting = await one.post(legacyCall("never", {}, "w"))
  expect((await answerTo(other, "die", { code: 6 })).error).toMatchObject({ code: -32603, data: { exit_code: 6 } })
  expect((await answerOf(waiting, "w")).error).toMatchObject({ code: -32603, data: { exit_code: 6 } })
  // nobody waits for what nobody will answer
  expect((await answerTo(one, "pid")).error).toMatchObject({ code: -32603 })
  expect(await bridge.failed).toBe(6)
})

test("a shared server that does not start: the bridge does not either, and leaves no process", async () => {
  await expect(bridgeOf(scripted("die=3"), shared)).rejects.toMatchObject({
    code: "ServerProcessEnded",
    data: { exit_code: 3 },
  })
  const log: string[] = []
  const write = (text: string) => void log.push(text)
  await expect(bridgeOf(scripted("hang", "stubborn"), { ...shared, startMs: 100, write })).rejects.toMatchObject({
    code: "ServerProcessEnded",
  })
  expect(log.at(-1)).toContain("ended by SIGKILL")
})

test.for([1, 2])("clients of the modern era use the same process, though at most %i may run", async (maxProcesses) => {
  const bridge = await bridgeOf(scripted(), { ...shared, maxProcesses })
  const session = await open(bridge)
  expect(await modernText(bridge, "pid")).toBe(await textOf(session, "pid"))
  expect((await answerOf(await postModern(bridge, "server/discover"))).result).toMatchObject({
    supportedVersions: ["2026-07-28"],
  })
})
