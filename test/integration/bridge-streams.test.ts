import { expect, test } from "vitest"
import { bridgeOf, messagesOf, open, scripted, textOf } from "../support/bridge.ts"
import { allOf, eventsOf, type LegacySession, legacyCall, type StreamEvent, sessionAs } from "../support/legacy.ts"
import { initialize, post } from "../support/reflow.ts"

const told = (at: number) => ({ method: "notifications/x/list_changed", params: { at } })

/** What the events of {@link told} say. */
const numbersIn = (events: readonly StreamEvent[]): readonly number[] =>
  events.flatMap(({ data }) => (data === "" ? [] : [JSON.parse(data).params.at]))

/** The next events of a stream. */
const take = async (events: AsyncGenerator<StreamEvent>, count: number): Promise<readonly StreamEvent[]> => {
  const taken: StreamEvent[] = []
  while (taken.length < count) {
    const { value } = await events.next()
    if (value === undefined) throw new Error(`the stream ended after ${JSON.stringify(taken)}`)
    if (value.id !== undefined) taken.push(value)
  }
  return taken
}

const listen = (session: LegacySession, lastEventId?: string, signal?: AbortSignal): Promise<Response> =>
  session.send("GET", lastEventId === undefined ? {} : { "last-event-id": lastEventId }, signal)

const openAs = async (url: string, protocolVersion: string): Promise<LegacySession> => {
  const { params, ...others } = initialize()
  const response = await post(url, undefined, { ...others, params: { ...params, protocolVersion } })
  await response.text()
  return sessionAs(url, "", response.headers.get("mcp-session-id") ?? "")
}

test("messages that belong to no call go to the GET stream, those from before it too", async () => {
  const session = await open(await bridgeOf(scripted()))
  await textOf(session, "notify", told(1))
  const events = eventsOf(await listen(session))
  await textOf(session, "notify", told(2))
  expect(numbersIn(await take(events, 3))).toEqual([1, 2])
})

test("a newer GET stream replaces the one before, which ends", async () => {
  const session = await open(await bridgeOf(scripted()))
  const [first, second] = [await listen(session), await listen(session)]
  expect(numbersIn(await allOf(eventsOf(first)))).toEqual([])
  await textOf(session, "notify", told(1))
  expect(numbersIn(await take(eventsOf(second), 2))).toEqual([1])
})

test("a client that lost its GET stream gets with Last-Event-ID what it missed", async () => {
  const session = await open(await bridgeOf(scripted()))
  const lost = new AbortController()
  const events = eventsOf(await listen(session, undefined, lost.signal))
  await textOf(session, "notify", told(1))
  const [, first] = await take(events, 2)
  await textOf(session, "notify", told(2))
  await take(events, 1)
  lost.abort()
  await textOf(session, "notify", told(3))
  const resumed = await take(eventsOf(await listen(session, first?.id)), 3)
  expect(numbersIn(resumed)).toEqual([2, 3])
  expect(new Set(resumed.map(({ id }) => id)).size).toBe(3)
})

test("of a GET stream the last 256 messages are kept", async () => {
  const session = await open(await bridgeOf(scripted()))
  for (let at = 1; at <= 300; at++) await textOf(session, "notify", told(at))
  const resumed = await take(eventsOf(await listen(session, "0-0")), 257)
  expect(numbersIn(resumed)).toEqual(Array.from({ length: 256 }, (_, at) => 45 + at))
})

test("a client that lost the stream of a call gets with Last-Event-ID the rest and the answer", async () => {
  const session = await open(await bridgeOf(scripted()))
  const lost = new AbortController()
  const call = {
    jsonrpc: "2.0",
    id: "c",
    method: "tools/call",
    params: { name: "ask", arguments: { method: "elicitation/create" } },
  }
  const response = await fetch((await session.post({ jsonrpc: "2.0", method: "notifications/none" })).url, {
    method: "POST",
    headers: { "content-type": "application/json", "mcp-session-id": session.id },
    body: JSON.stringify(call),
    signal: lost.signal,
  })
  const [primer, question] = await take(eventsOf(response), 2)
  lost.abort()
  expect(primer?.data).toBe("")
  const resumed = eventsOf(await listen(session, primer?.id))
  expect((await take(resumed, 2)).at(-1)).toEqual(question)
  const { id } = JSON.parse(question?.data ?? "")
  await session.post({ jsonrpc: "2.0", id, result: { action: "decline" } })
  const rest = (await allOf(resumed)).filter(({ data }) => data !== "")
  expect(rest.map(({ data }) => JSON.parse(data).id)).toEqual(["c"])
})

test("the answer of a call that ended while its client was away can still be asked for, and then the stream ends", async () => {
  const session = await open(await bridgeOf(scripted(), { silenceMs: 1 }))
  const lost = new AbortController()
  const sent = fetch((await session.post({ jsonrpc: "2.0", method: "notifications/none" })).url, {
    method: "POST",
    headers: { "content-type": "application/json", "mcp-session-id": session.id },
    body: JSON.stringify({
      ...legacyCall("ask", { method: "roots/list" }, "c"),
    }),
    signal: lost.signal,
  })
  const [, question] = await take(eventsOf(await sent), 2)
  lost.abort()
  await session.post({ jsonrpc: "2.0", id: JSON.parse(question?.data ?? "").id, result: { roots: [] } })
  // the server has answered that call when it answers this one
  await textOf(session, "echo", { words: "later" })
  const messages = await messagesOf(await listen(session, question?.id))
  expect(messages).toEqual([
    { jsonrpc: "2.0", id: "c", result: { content: [{ type: "text", text: '{"result":{"roots":[]}}' }] } },
  ])
})

test("a stream begins with an event without data from revision 2025-11-25 on", async () => {
  const { url } = await bridgeOf(scripted(), { silenceMs: 1 })
  const first = async (protocolVersion: string): Promise<StreamEvent | undefined> => {
    const session = await openAs(url, protocolVersion)
    const events = eventsOf(await listen(session))
    await textOf(session, "notify", told(1))
    return (await take(events, 1))[0]
  }
  expect(await first("2025-11-25")).toEqual({ id: "0-0", data: "" })
  expect((await first("2025-06-18"))?.data).toContain("list_changed")
})

test.for(["what?", "99-1", "0-7"])(
  "the id %s of an event, which the session never gave, opens the stream anew",
  async (id) => {
    const session = await open(await bridgeOf(scripted()))
    await textOf(session, "notify", told(1))
    const events = eventsOf(await listen(session, id))
    expect(numbersIn(await take(events, 2))).toEqual([1])
    await textOf(session, "notify", told(2))
    expect(numbersIn(await take(events, 1))).toEqual([2])
  },
)

test("the id of an event that the stream of a call never had takes that stream from nobody", async () => {
  const session = await open(await bridgeOf(scripted(), { silenceMs: 1 }))
  const call = eventsOf(await session.post(legacyCall("ask", { method: "roots/list" }, "c")))
  const [, question] = await take(call, 2)
  const events = eventsOf(await listen(session, "1-50"))
  await textOf(session, "notify", told(1))
  expect(numbersIn(await take(events, 2))).toEqual([1])
  await session.post({ jsonrpc: "2.0", id: JSON.parse(question?.data ?? "").id, result: { roots: [] } })
  expect((await allOf(call)).map(({ data }) => JSON.parse(data).id)).toEqual(["c"])
})
