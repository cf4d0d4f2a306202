import { afterEach, beforeEach, describe, expect, test, vi } from "vitest"
import { OwnSession } from "../../../src/bridge/session.ts"
import { Unsent } from "../../../src/bridge/unsent.ts"
import { fakeConnection, fakeStarted, incoming } from "../../support/bridge-doubles.ts"
import { initialize } from "../../support/reflow.ts"

const startMs = 1_000
const limits = { startMs, silenceMs: 600_000, goneMs: 60_000, unsent: new Unsent(), mask: undefined }

/** A session whose client has sent `initialize`, which is not answered yet. */
const opening = (connection = fakeConnection()) => {
  const started = fakeStarted()
  const over = vi.fn()
  const session = new OwnSession(started, limits, over)
  session.initialize(incoming(initialize()), connection)
  const answer = () => started.answer({ protocolVersion: "2025-11-25", capabilities: {} })
  return { session, over, connection, answer, state: started.state }
}

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

describe("a session that its server has not opened yet", () => {
  test("is in use, however long the server takes", () => {
    const { session, connection, answer } = opening()
    vi.advanceTimersByTime(startMs - 1)
    expect(session.idleSince).toBeUndefined()
    answer()
    expect(connection.headers).toEqual({ "mcp-session-id": session.id })
    expect(session.idleSince).toBeTypeOf("number")
  })

  test("ends after the start timeout, with its process", () => {
    const { connection, over, state } = opening()
    vi.advanceTimersByTime(startMs)
    expect(connection.got[0]).toContain("did not answer 'initialize' within 1 s")
    expect(over).toHaveBeenCalledOnce()
    expect(state.isEnding).toBe(true)
  })

  test("lives on after the start timeout once it is open", () => {
    const { connection, over, answer, state } = opening()
    answer()
    vi.advanceTimersByTime(10 * startMs)
    expect(connection.got).toHaveLength(1)
    expect(over).not.toHaveBeenCalled()
    expect(state.isEnding).toBe(false)
  })

  test("ends with its process when its client leaves", () => {
    const { connection, over, state } = opening()
    connection.leave()
    expect(over).toHaveBeenCalledOnce()
    expect(state.isEnding).toBe(true)
  })

  test("ends with its process if its client left while the process was started", () => {
    const { over, state } = opening(fakeConnection({ isThere: false }))
    expect(over).toHaveBeenCalledOnce()
    expect(state.isEnding).toBe(true)
  })
})

test("a session ends at once if the server's refusal of it is answered", () => {
  const started = fakeStarted()
  const over = vi.fn()
  const connection = fakeConnection()
  new OwnSession(started, limits, over).initialize(incoming(initialize()), connection)
  const { id } = JSON.parse(started.written[0] ?? "")
  started.peer.take(Buffer.from(JSON.stringify({ jsonrpc: "2.0", id, error: { code: -1, message: "no" } })))
  expect(connection.headers).toEqual({})
  expect(over).toHaveBeenCalledOnce()
  expect(started.state.isEnding).toBe(true)
})
