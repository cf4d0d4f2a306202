import { expect, test, vi } from "vitest"
import {
  answerTo,
  bridgeOf,
  fixture,
  messagesOf,
  modernText,
  open,
  postModern,
  scripted,
  textOf,
  unread,
} from "../support/bridge.ts"
import { startApart } from "../support/bridge-apart.ts"
import { legacyCall } from "../support/legacy.ts"
import { eventually } from "../support/processes.ts"

// much work, on machines that may be busy; what is broken fails by other limits
vi.setConfig({ testTimeout: 120_000 })

const mebibyte = 2 ** 20

/** Most bytes that a bridge may hold when one session is stuck; without a bound it would hold all of 150 MiB. */
const mostHeld = 64 * mebibyte

/** A thread of V8 frees the bytes of buffers, some time after the collection that found them unused. */
const heldLittle = (bridge: { collected(): Promise<number> }): Promise<void> =>
  eventually(async () => (await bridge.collected()) < mostHeld, 10_000, "little is held")

/** A call whose answer is as many bytes of progress. */
const flood = (mebibytes: number, id = 1) => ({
  jsonrpc: "2.0",
  id,
  method: "tools/call",
  params: { name: "flood", arguments: { times: mebibytes * 16, bytes: 65_536 }, _meta: { progressToken: id } },
})

test("a client that does not read its stream makes its own server wait, and no other", async () => {
  const bridge = await startApart(scripted())
  const [slow, other] = [await open(bridge), await open(bridge)]
  const stream = await unread(bridge, "POST", slow.id, flood(150))
  for (let at = 0; at < 20; at++) expect(await textOf(other, "echo", { words: `w${at}` })).toBe(`w${at}`)
  await messagesOf(await other.post(flood(150)))
  await heldLittle(bridge)
  stream.destroy()
  await eventually(async () => (await textOf(slow, "echo", { words: "again" })) === "again", 20_000, "it goes on")
})

test("a client that reads none of its answers makes its server wait", async () => {
  const bridge = await startApart(scripted())
  const session = await open(bridge)
  for (let id = 1; id <= 20; id++)
    void unread(bridge, "POST", session.id, legacyCall("big", { bytes: 8 * mebibyte }, id))
  const other = await open(bridge)
  await messagesOf(await other.post(flood(150)))
  await heldLittle(bridge)
})

test("a newer GET stream frees a server that waits for the one before", async () => {
  const bridge = await bridgeOf(scripted())
  const [session, other] = [await open(bridge), await open(bridge)]
  await unread(bridge, "GET", session.id)
  const args = { method: "notifications/x/list_changed", params: { x: "x".repeat(mebibyte) } }
  /** False if the server does not answer while another one answers many calls. */
  const isServed = async (id: number): Promise<boolean> => {
    let isAnswered = false
    const answered = answerTo(session, "notify", args, id).then(() => {
      isAnswered = true
      return true
    })
    const others = async () => {
      for (let at = 0; at < 400 && !isAnswered; at++) await textOf(other, "echo", { words: "w" })
      return isAnswered
    }
    return await Promise.race([answered, others()])
  }
  let id = 0
  while (await isServed(id)) id++
  const newer = await unread(bridge, "GET", session.id)
  newer.resume()
  expect(await textOf(session, "echo", { words: "behind" }, "e")).toBe("behind")
})

test("a server that does not read makes POSTs wait, and bodies beyond the session's share are refused", async () => {
  const bridge = await startApart(scripted())
  const [deaf, other] = [await open(bridge), await open(bridge)]
  const left = deaf.post(legacyCall("deaf"))
  await eventually(() => bridge.log.some((line) => line.includes("] deaf")), 5_000, "the server is deaf")
  const statuses: number[] = []
  const words = "x".repeat(4 * mebibyte)
  const sent: Promise<void>[] = []
  for (let id = 0; id < 20; id++) {
    const posted = deaf.post(legacyCall("echo", { words }, id)).then(async (response) => {
      statuses.push(response.status)
      await response.text()
    })
    sent.push(posted)
    // one after the other: bodies that arrive at the same moment would share the bytes
    await answerTo(other, "echo", { words })
  }
  await eventually(() => statuses.length > 10, 20_000, "most are refused")
  expect(statuses.filter((status) => status === 503).length).toBeGreaterThan(10)
  expect(await textOf(other, "echo", { words: "fine" })).toBe("fine")
  await heldLittle(bridge)
  process.kill(Number(bridge.pids()[0]), "SIGKILL")
  // whoever waits for the server hears that it ended
  await Promise.all([...sent, left.then((response) => response.text())])
  expect(statuses).toContain(404)
})

test.for(["a session", "the modern era"])(
  "of 1,100 requests that wait for a server of %s 100 are refused",
  async (whose) => {
    const bridge = await bridgeOf(scripted(), { silenceMs: 600_000 })
    const isModern = whose !== "a session"
    if (isModern) await modernText(bridge, "pid")
    const [deaf, other] = [await open(bridge), await open(bridge)]
    const ask = (name: string, args: object, id: number): Promise<Response> =>
      isModern
        ? postModern(bridge, "tools/call", { name, arguments: args }, id)
        : deaf.post(legacyCall(name, { ...args }, id))
    const refused: Response[] = []
    const kept = (response: Response): Response => {
      if (response.status === 503) refused.push(response)
      return response
    }
    const sent = [ask("deaf", {}, 0)]
    await eventually(() => bridge.log.some((line) => line.includes("] deaf")), 5_000, "the server is deaf")
    sent.push(ask("echo", { words: "x".repeat(mebibyte) }, 1))
    // the pipe is full when that has been written, which a bridge that serves others does meanwhile
    for (let at = 0; at < 20; at++) await answerTo(other, "echo", { words: "x".repeat(mebibyte) })
    for (let id = 2; id < 1_102; id++) sent.push(ask("echo", { words: "w" }, id).then(kept))
    for (let at = 0; at < 2_000 && refused.length < 100; at++) await textOf(other, "echo", { words: "w" })
    expect(refused).toHaveLength(100)
    expect(refused[0]?.headers.get("retry-after")).toBe("1")
    // others find room to wait
    expect(await textOf(await open(bridge), "echo", { words: "fine" })).toBe("fine")
    process.kill(Number(bridge.pids()[isModern ? 1 : 0]), "SIGKILL")
    await Promise.all(sent.map(async (each) => (await each).text()))
    expect(refused).toHaveLength(100)
  },
)

test("10^5 calls of two clients with equal ids, answered in random order: each gets its own answer", async () => {
  const bridge = await bridgeOf(fixture("shuffled"), { processes: "shared" })
  const [one, other] = [await open(bridge), await open(bridge)]
  const batch = (name: string, round: number) =>
    Array.from({ length: 100 }, (_, id) => legacyCall("x", { words: `${name}-${round}-${id}` }, id))
  const run = async (session: typeof one, name: string, rounds: number) => {
    let right = 0
    for (let round = 0; round < rounds; round++)
      for (const { id, result } of await messagesOf(await session.post(batch(name, round))))
        if (result.words === `${name}-${round}-${id}`) right++
    return right
  }
  // 4 at once: several calls of one session have equal ids too
  const clients = [one, other, one, other].map((session, at) => run(session, `client${at}`, 250))
  expect(await Promise.all(clients)).toEqual([25_000, 25_000, 25_000, 25_000])
})
