import { readFileSync } from "node:fs"
import { expect, onTestFinished, test } from "vitest"
import type { Connection } from "../../src/bridge/http/connection.ts"
import { readBody } from "../../src/bridge/incoming.ts"
import { createBridgeLog } from "../../src/bridge/log.ts"
import { Processes } from "../../src/bridge/processes.ts"
import { Sessions } from "../../src/bridge/sessions.ts"
import { Unsent } from "../../src/bridge/unsent.ts"
import { answerOf, answerTo, bridgeOf, open, scripted, textOf, unread } from "../support/bridge.ts"
import { type LegacySession, legacyCall } from "../support/legacy.ts"
import { eventually } from "../support/processes.ts"
import { initialize } from "../support/reflow.ts"

const shared = { processes: "shared", maxProcesses: 2 } as const

/** A shared server whose resources have names that it refuses, in the order in which it is asked. */
const moody = (refusals: readonly boolean[]): readonly string[] => [
  process.execPath,
  "-e",
  `const refusals = ${JSON.stringify(refusals)}, heard = []
  require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
    const { id, method, params } = JSON.parse(line)
    const send = (message) => console.log(JSON.stringify({ jsonrpc: "2.0", ...message }))
    if (id === undefined) return
    if (method === "initialize") return send({ id, result: { protocolVersion: "2025-11-25", capabilities: {} } })
    if (method === "tools/call") {
      send({ method: "notifications/resources/updated", params: { uri: "test://a" } })
      return send({ id, result: { content: [{ type: "text", text: heard.join(" ") }] } })
    }
    heard.push(method)
    if (method === "resources/subscribe" && refusals.shift()) return send({ id, error: { code: -32002, message: "no" } })
    send({ id, result: {} })
  })`,
]

const subscribe = async (session: LegacySession, uri = "test://a") =>
  answerOf(await session.post({ jsonrpc: "2.0", id: 1, method: "resources/subscribe", params: { uri } }))

test("every client hears what the server says to its subscription", async () => {
  const bridge = await bridgeOf(moody([true, true, false, true]), shared)
  const [one, other] = [await open(bridge), await open(bridge)]
  expect((await subscribe(one)).error.code).toBe(-32002)
  expect((await subscribe(other)).error.code).toBe(-32002)
  expect((await subscribe(one)).result).toEqual({})
  expect((await subscribe(other)).error.code).toBe(-32002)
  await other.send("DELETE")
  await one.post({ jsonrpc: "2.0", id: 1, method: "resources/unsubscribe", params: { uri: "test://a" } })
  // a refused subscription has ended at once; nobody had one of the first two
  expect((await textOf(one, "heard")).split(" ").at(-1)).toBe("resources/unsubscribe")
})

test("a URI that is too long, and a subscription too many, are refused", async () => {
  const session = await open(await bridgeOf(scripted(), shared))
  expect((await subscribe(session, "x".repeat(8_193))).error.code).toBe(-32602)
  for (let at = 0; at < 1_000; at++) expect((await subscribe(session, `test://${at}`)).result).toEqual({})
  expect((await subscribe(session, "test://more")).error).toMatchObject({ code: -32602 })
})

/** Opens as many calls as a session may have that nobody answers, and whose client reads no answer. */
const fill = async (bridge: { readonly url: string }, session: LegacySession) => {
  const sent: { readonly destroy: () => void }[] = []
  for (;;) {
    const answer = await session.post(legacyCall("echo", { words: "w" }))
    await answer.text()
    if (answer.status !== 200) return { sent, status: answer.status }
    sent.push(await unread(bridge, "POST", session.id, legacyCall("never", {}, sent.length)))
  }
}

test("one session of a shared process can hold a quarter of its calls, and the others go on", async () => {
  const bridge = await bridgeOf(scripted(), { ...shared, silenceMs: 1 })
  const [one, other] = [await open(bridge), await open(bridge)]
  const { sent, status } = await fill(bridge, one)
  expect([sent.length, status]).toEqual([250, 503])
  expect((await answerTo(one, "pid")).error.data.code).toBe("TooManyCalls")
  expect(await textOf(other, "echo", { words: "fine" })).toBe("fine")
  await one.send("DELETE")
  const next = await open(bridge)
  expect((await fill(bridge, next)).sent).toHaveLength(250)
})

test("calls of a shared process whose clients went away for good are cancelled", async () => {
  const bridge = await bridgeOf(scripted(), { ...shared, silenceMs: 1, idleMs: 400, goneMs: 500 })
  const session = await open(bridge)
  const stream = await session.send("GET")
  const calls = await Promise.all([1, 2].map((id) => unread(bridge, "POST", session.id, legacyCall("never", {}, id))))
  calls[0]?.destroy()
  const cancelled = async () =>
    JSON.parse(await textOf(session, "heard")).filter(({ method }: { method: string }) => method.endsWith("/cancelled"))
  await eventually(async () => (await cancelled()).length === 1, 10_000, "the server has heard it")
  // the other one has been open for longer, and its client is there
  expect(await cancelled()).toHaveLength(1)
  calls[1]?.destroy()
  await eventually(async () => (await cancelled()).length === 2, 10_000, "it has heard of the other one too")
  await stream.body?.cancel()
})

test("a stream whose client has vanished from the network ends: TCP asks whether it is there", async () => {
  const bridge = await bridgeOf(scripted())
  await unread(bridge, "GET", (await open(bridge)).id)
  const local = `0100007F:${bridge.port.toString(16).toUpperCase().padStart(4, "0")}`
  // established connections, and the timer of each: 02 is that of keep-alive
  const timers = readFileSync("/proc/net/tcp", "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([, address, , state]) => address === local && state === "01")
    .map((fields) => fields[5]?.slice(0, 2))
  expect(timers.length).toBeGreaterThan(0)
  expect(new Set(timers)).toEqual(new Set(["02"]))
})

/** As many sessions of a shared process as there may be, without HTTP; `ids` has them in the order of their use. */
const fullHouse = async (evictMs: number) => {
  const own = { startMs: 20_000, mask: undefined }
  const log = createBridgeLog(() => {})
  const child = { command: scripted(), environment: process.env, guarded: false, graceMs: 300 }
  const processes = new Processes({ ...child, most: 1, idleMs: 0, log })
  onTestFinished(() => processes.close())
  const limits = { ...own, silenceMs: 1_000, goneMs: 60_000, unsent: new Unsent() }
  const deps = { ...own, discoverMs: 2_000, singleUser: false, idleMs: 600_000, evictMs }
  const sessions = new Sessions({ ...deps, processes, limits })
  await sessions.share()
  const body = readBody(Buffer.from(JSON.stringify(initialize())))
  if ("error" in body) throw body.error
  const [opening] = body.messages
  if (opening === undefined) throw new Error("no message")
  const ids: string[] = []
  const json: Connection["json"] = (_status, _text, headers) => void ids.push(headers?.["mcp-session-id"] ?? "")
  const openOne = () => sessions.open(opening, { json } as Connection)
  for (let at = 0; at < 10_000; at++) await openOne()
  return { sessions, ids, openOne }
}

test("a session of a shared process too many takes the place of the one that has been idle longest", async () => {
  const { sessions, ids, openOne } = await fullHouse(0)
  const [used = "", idle = "", newer = ""] = ids
  sessions.get(used).receive([], { empty: () => {} } as unknown as Connection)
  await openOne()
  expect(sessions.size).toBe(10_000)
  expect([used, idle, newer, ids.at(-1) ?? ""].map((id) => sessions.has(id))).toEqual([true, false, true, true])
})

test("a session of a shared process too many is refused if all others were used lately", async () => {
  const { sessions, ids, openOne } = await fullHouse(600_000)
  await expect(openOne()).rejects.toMatchObject({ code: "ProcessesExhausted", retryAfterSeconds: 10 })
  expect(ids.every((id) => sessions.has(id))).toBe(true)
  await sessions.get(ids[0] ?? "").end()
  await openOne()
  expect(sessions.size).toBe(10_000)
})
