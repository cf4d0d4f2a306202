import { mkdtempSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, onTestFinished, test } from "vitest"
import { createBridgeLog } from "../../src/bridge/log.ts"
import { Processes } from "../../src/bridge/processes.ts"
import {
  answerOf,
  bridgeOf,
  fixture,
  messagesOf,
  modernText,
  open,
  postModern,
  scripted,
  textOf,
} from "../support/bridge.ts"
import { legacyCall } from "../support/legacy.ts"
import { eventually } from "../support/processes.ts"
import { initialize, post } from "../support/reflow.ts"

test("a session too many is refused with Retry-After as long as all others are in use or were lately", async () => {
  const bridge = await bridgeOf(scripted(), { maxProcesses: 2, evictMs: 600_000 })
  const sessions = [await open(bridge), await open(bridge)]
  const refused = await post(bridge.url, undefined, initialize(7))
  expect(refused.status).toBe(503)
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0)
  expect(await answerOf(refused, 7)).toMatchObject({ error: { code: -32011, data: { code: "ProcessesExhausted" } } })
  for (const session of sessions) expect(await textOf(session, "echo", { words: "fine" })).toBe("fine")
  expect(bridge.count()).toMatchObject({ processes: 2, sessions: 2 })
})

test("the session that has been idle longest gives its place, one with a stream or a call does not", async () => {
  const bridge = await bridgeOf(scripted(), { maxProcesses: 4, evictMs: 0, silenceMs: 1 })
  const [listening, calling, idle, newer] = [
    await open(bridge),
    await open(bridge),
    await open(bridge),
    await open(bridge),
  ]
  const stream = await listening.send("GET")
  const call = await calling.post(legacyCall("never"))
  await textOf(newer, "echo", { words: "used" })
  const last = await open(bridge)
  expect(await textOf(last, "echo", { words: "fine" })).toBe("fine")
  expect((await idle.post(legacyCall("pid"))).status).toBe(404)
  for (const session of [listening, calling, newer])
    expect(await textOf(session, "echo", { words: "fine" })).toBe("fine")
  await Promise.all([stream.body?.cancel(), call.body?.cancel()])
})

test("a session waits for the place of a process that ends, however stubbornly", async () => {
  const bridge = await bridgeOf(scripted("stubborn"), { maxProcesses: 1, graceMs: 100 })
  const first = await open(bridge)
  await first.send("DELETE")
  const second = await open(bridge)
  expect(await textOf(second, "pid")).toBe(String(bridge.pids()[1]))
  expect(bridge.log.findIndex((line) => line.includes("c1: ended by SIGKILL"))).toBeLessThan(
    bridge.log.findIndex((line) => line.includes("c2: started")),
  )
})

test("the process of the modern era gives its place to a session when it is idle, and gets one again", async () => {
  const bridge = await bridgeOf(fixture("sdk"), { maxProcesses: 1, evictMs: 0 })
  const first = await modernText(bridge, "pid")
  const session = await open(bridge)
  expect(await textOf(session, "pid")).not.toBe(first)
  expect(await modernText(bridge, "pid")).not.toBe(first)
  expect((await session.post(legacyCall("pid"))).status).toBe(404)
})

test("a child whose end is asked for after it has ended is waited for by nobody", async () => {
  const directory = join(mkdtempSync(join(tmpdir(), "bridge-")), "began")
  // the first one leaves its pipes to a process of another group, so that its end is seen before theirs
  const holder = `setsid sh -c 'mkdir ${directory}.held; sleep 3' & while [ ! -d ${directory}.held ]; do :; done`
  const script = `if mkdir ${directory} 2>/dev/null; then ${holder}; exit 0; fi; cat`
  const log = createBridgeLog(() => {})
  const command = ["/bin/sh", "-c", script]
  const processes = new Processes({ command, environment: {}, guarded: false, graceMs: 100, most: 1, idleMs: 0, log })
  const nobody = { request: () => {}, notification: () => {} }
  const first = await processes.take(nobody)
  await first.child.ended
  void first.child.end()
  await processes.take(nobody)
  await expect(processes.take(nobody)).rejects.toMatchObject({ code: "ProcessesExhausted" })
  await processes.close()
  expect(processes.alive).toBe(0)
})

test("a process of the modern era that ended by itself stands in the way of no session", async () => {
  const bridge = await bridgeOf(scripted(), { maxProcesses: 2, evictMs: 0 })
  await expect(modernText(bridge, "die", { code: 3 })).rejects.toThrow("exit code 3")
  const sessions = [await open(bridge), await open(bridge), await open(bridge)]
  expect((await sessions[0]?.post(legacyCall("pid")))?.status).toBe(404)
  expect(bridge.count()).toMatchObject({ processes: 2, sessions: 2 })
})

test("of 1,001 open calls the last one is refused, and the others go on", async () => {
  const bridge = await bridgeOf(scripted(), { silenceMs: 1 })
  const session = await open(bridge)
  const batch = (from: number) => Array.from({ length: 100 }, (_, at) => legacyCall("never", {}, from + at))
  const waiting = await Promise.all(Array.from({ length: 10 }, (_, at) => session.post(batch(at * 100))))
  const refused = await session.post(legacyCall("echo", { words: "w" }, "e"))
  expect(refused.status).toBe(503)
  expect(refused.headers.get("retry-after")).toBe("1")
  expect((await answerOf(refused, "e")).error).toMatchObject({ code: -32011, data: { code: "TooManyCalls" } })
  // a batch is refused as a whole, before any of it was sent
  await session.post({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 0 } })
  expect((await session.post([legacyCall("count", {}, "a"), legacyCall("count", {}, "b")])).status).toBe(503)
  expect(await textOf(session, "count", {}, "c")).toBe("1")
  await session.send("DELETE")
  const answers = (await Promise.all(waiting.map(messagesOf))).flat()
  expect(answers).toHaveLength(999)
  expect(new Set(answers.map(({ error }) => error.code))).toEqual(new Set([-32603]))
})

test("an idle session ends with its process, one with an open stream or call does not", async () => {
  const bridge = await bridgeOf(scripted(), { idleMs: 1_000, silenceMs: 1 })
  const [idle, listening, calling] = [await open(bridge), await open(bridge), await open(bridge)]
  const stream = await listening.send("GET")
  const call = await calling.post(legacyCall("never", {}, "n"))
  await eventually(() => bridge.count().sessions === 2, 15_000, "the idle session has ended")
  expect((await idle.post(legacyCall("pid"))).status).toBe(404)
  // a second idle session ends, and thus the sweep has seen the others once more
  await open(bridge)
  await eventually(() => bridge.count().sessions === 2, 15_000, "the next idle session has ended")
  for (const session of [listening, calling]) expect(await textOf(session, "echo", { words: "fine" })).toBe("fine")
  await stream.body?.cancel()
  await calling.post({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: "n" } })
  expect(await messagesOf(call)).toEqual([])
  await eventually(() => bridge.count().processes === 0, 15_000, "they end when they are idle too")
})

test("an idle session of a shared process ends, and its process does not", async () => {
  const bridge = await bridgeOf(scripted(), { idleMs: 1_000, processes: "shared" })
  const session = await open(bridge)
  await eventually(() => bridge.count().sessions === 0, 15_000, "the idle session has ended")
  expect((await session.post(legacyCall("pid"))).status).toBe(404)
  expect(bridge.count().processes).toBe(1)
})

/** Sends all but the end of the largest body; resolves when the bridge must have read most of it. */
const unfinished = (port: number, session: string): Promise<void> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1")
    onTestFinished(() => void socket.destroy())
    const head = `POST /mcp HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n${session}content-length: 16777216\r\n\r\n`
    socket.write(head + " ".repeat(16_777_000), () => resolve())
  })

test("an unfinished body outside of sessions takes the room of nobody else's", async () => {
  const bridge = await bridgeOf(scripted())
  await unfinished(bridge.port, "")
  const large = { ...initialize(), padding: "x".repeat(100_000) }
  expect((await post(bridge.url, undefined, large)).status).toBe(200)
})

test("a session that does not exist owns no bodies", async () => {
  const bridge = await bridgeOf(scripted())
  await unfinished(bridge.port, "mcp-session-id: x\r\n")
  const large = { ...legacyCall("pid"), padding: "x".repeat(100_000) }
  expect((await post(bridge.url, undefined, large, { "mcp-session-id": "x" })).status).toBe(404)
})

test("subscriptions of the modern era take at most half of a server's calls, and their ends make room", async () => {
  const bridge = await bridgeOf(fixture("modern"))
  const leave = new AbortController()
  onTestFinished(() => leave.abort())
  const listen = (id: number, signal?: AbortSignal) =>
    postModern(bridge, "subscriptions/listen", { notifications: {} }, id, signal)
  const first = await listen(0)
  const others = Array.from({ length: 499 }, (_, at) => listen(at + 1, leave.signal))
  for (const each of await Promise.all(others)) expect(each.status).toBe(200)
  const refused = await listen(500)
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "1"])
  expect((await answerOf(refused, 500)).error).toMatchObject({ code: -32011, data: { code: "TooManyCalls" } })
  expect(await modernText(bridge, "echo", { words: "fine" })).toBe("fine")
  await first.body?.cancel()
  await eventually(async () => (await listen(501, leave.signal)).status === 200, 10_000, "another one may listen")
  expect((await listen(502)).status).toBe(503)
})
