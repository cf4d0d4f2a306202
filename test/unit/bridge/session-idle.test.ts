import { afterEach, beforeEach, describe, expect, test, vi } from "vitest"
import type { CommonChild } from "../../../src/bridge/common-child.ts"
import { createRingBudget } from "../../../src/bridge/ring.ts"
import { OwnSession, type Session } from "../../../src/bridge/session.ts"
import { SharedSession } from "../../../src/bridge/shared-session.ts"
import { Subscriptions } from "../../../src/bridge/subscriptions.ts"
import { Unsent } from "../../../src/bridge/unsent.ts"
import { createShares } from "../../../src/intake/bodies.ts"
import { fakeConnection, fakeStarted, incoming } from "../../support/bridge-doubles.ts"
import { legacyCall } from "../../support/legacy.ts"
import { initialize } from "../../support/reflow.ts"

const limits = { startMs: 1_000, silenceMs: 600_000, goneMs: 60_000, unsent: new Unsent(), mask: undefined }

const opened = { protocolVersion: "2025-11-25", capabilities: {} }

type Opened = { readonly session: Session; readonly answer: (result: object) => void }

const own = (): Opened => {
  const started = fakeStarted()
  const session = new OwnSession(started, limits, () => {})
  session.initialize(incoming(initialize()), fakeConnection())
  started.answer(opened)
  return { session, answer: started.answer }
}

const sharing = () => {
  const { peer, answer, child } = fakeStarted()
  const common: CommonChild = {
    ...{ peer, opening: opened, listeners: new Set(), idleSince: undefined, isOver: false },
    end: () => child.end(),
  }
  const others = { subscriptions: new Subscriptions<SharedSession>(), shares: createShares(100), limits }
  const session = new SharedSession({ common, ringBudget: createRingBudget(), ...others }, () => {})
  session.initialize(incoming(initialize()), fakeConnection())
  return { session, answer, common }
}

const kinds = { "of its own process": own, "of a shared process": sharing }

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

describe.for(Object.entries(kinds))("a session %s", ([, create]) => {
  test("is in use during a call, and idle from its end on", () => {
    const { session, answer } = create()
    session.receive([incoming(legacyCall("slow"))], fakeConnection())
    vi.advanceTimersByTime(10_000)
    expect(session.idleSince).toBeUndefined()
    answer({})
    expect(session.idleSince).toBe(performance.now())
  })

  test("is idle from the newest notification of its client on", () => {
    const { session } = create()
    vi.advanceTimersByTime(10_000)
    session.receive([incoming({ jsonrpc: "2.0", method: "notifications/x" })], fakeConnection())
    expect(session.idleSince).toBe(performance.now())
    vi.advanceTimersByTime(1)
    expect(session.idleSince).toBe(performance.now() - 1)
  })

  test("is in use while a client listens, and idle from when it left", () => {
    const { session } = create()
    const connection = fakeConnection()
    session.listen(connection, undefined)
    vi.advanceTimersByTime(10_000)
    expect(session.idleSince).toBeUndefined()
    connection.leave()
    expect(session.idleSince).toBe(performance.now())
  })

  test("is idle during a call whose client has left", () => {
    const { session } = create()
    const connection = fakeConnection()
    session.receive([incoming(legacyCall("never"))], connection)
    connection.leave()
    expect(session.idleSince).toBeTypeOf("number")
  })
})

test("a session that has ended hears nothing more of its shared process", async () => {
  const { session, common } = sharing()
  expect(common.listeners.size).toBe(1)
  await session.end()
  expect(common.listeners.size).toBe(0)
})
