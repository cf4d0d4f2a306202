import { afterEach, beforeEach, expect, test, vi } from "vitest"
import type { CommonChild } from "../../../src/bridge/common-child.ts"
import { readEnvelope } from "../../../src/bridge/envelope.ts"
import { createRingBudget } from "../../../src/bridge/ring.ts"
import { SharedSession } from "../../../src/bridge/shared-session.ts"
import { Subscriptions } from "../../../src/bridge/subscriptions.ts"
import { Unsent } from "../../../src/bridge/unsent.ts"
import { createShares } from "../../../src/intake/bodies.ts"
import { fakeConnection, fakeStarted, incoming } from "../../support/bridge-doubles.ts"
import { legacyCall } from "../../support/legacy.ts"

const goneMs = 60_000

const createSession = () => {
  const { peer, written, child } = fakeStarted()
  const common: CommonChild = {
    ...{ peer, opening: {}, listeners: new Set(), idleSince: undefined, isOver: false },
    end: () => child.end(),
  }
  const limits = { startMs: 1_000, silenceMs: 1, goneMs, unsent: new Unsent(), mask: undefined }
  const others = { subscriptions: new Subscriptions<SharedSession>(), shares: createShares(100), limits }
  const session = new SharedSession({ common, ringBudget: createRingBudget(), ...others }, () => {})
  const methods = () => written.map((line) => JSON.parse(line).method)
  /** Answers the newest request. */
  const answer = (member: object) => {
    const { id } = JSON.parse(written.at(-1) ?? "")
    peer.take(Buffer.from(JSON.stringify({ jsonrpc: "2.0", id, ...member })))
  }
  const tell = (uri: string) => {
    const text = JSON.stringify({ jsonrpc: "2.0", method: "notifications/resources/updated", params: { uri } })
    const message = { text, method: "notifications/resources/updated", envelope: readEnvelope(text, false) }
    for (const listen of common.listeners) listen(message, uri)
    return text
  }
  return { session, methods, answer, tell }
}

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test("a call whose client left is cancelled after a while, and not if the client came back meanwhile", () => {
  const { session, methods } = createSession()
  const connection = fakeConnection()
  session.receive([incoming(legacyCall("slow"))], connection)
  vi.advanceTimersByTime(1)
  connection.leave()
  session.cancelAbandoned()
  const back = fakeConnection()
  session.listen(back, "1-0")
  vi.advanceTimersByTime(goneMs)
  session.cancelAbandoned()
  expect(methods()).toEqual(["tools/call"])
  back.leave()
  session.cancelAbandoned()
  vi.advanceTimersByTime(goneMs)
  session.cancelAbandoned()
  expect(methods()).toEqual(["tools/call", "notifications/cancelled"])
})

test("a session whose subscription the server refused hears nothing of that resource", () => {
  const { session, methods, answer, tell } = createSession()
  const subscribe = { jsonrpc: "2.0", id: 1, method: "resources/subscribe", params: { uri: "test://a" } }
  const get = fakeConnection()
  session.listen(get, undefined)
  session.receive([incoming(subscribe)], fakeConnection())
  answer({ error: { code: -32602, message: "no" } })
  tell("test://a")
  expect(get.got).toEqual([])
  // another session's may have ended while this one was kept for it
  expect(methods()).toEqual(["resources/subscribe", "resources/unsubscribe"])
  session.receive([incoming(subscribe)], fakeConnection())
  answer({ result: {} })
  expect(get.got).toEqual([tell("test://a")])
})
