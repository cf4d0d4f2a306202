import { type Dispatcher, Pool } from "undici"
import { afterEach, expect, test, vi } from "vitest"
import { connectionOptions } from "../../../../src/gateway/wire/pools.ts"
import { createUpstream } from "../../../../src/gateway/wire/upstream.ts"
import { fakeClock } from "../../../support/fake-clock.ts"

const minute = 60_000
const placement = { instance: "i", instanceUID: "u", incarnation: "p.0", url: new URL("http://10.0.0.1:8080/mcp") }

afterEach(() => vi.restoreAllMocks())

test("a body may be silent for as long as it likes", () => {
  expect(connectionOptions.bodyTimeout).toBe(0)
})

test.each(["call", "stream"] as const)(
  "the head of an answer may take as long as its request says, not undici's five minutes (%s)",
  async (lane) => {
    const sent: Dispatcher.DispatchOptions[] = []
    vi.spyOn(Pool.prototype, "dispatch").mockImplementation((options) => {
      sent.push(options)
      return true
    })
    const clock = fakeClock()
    const upstream = createUpstream(clock)
    const { signal } = new AbortController()
    for (const headersTimeoutMs of [5 * minute, 15 * minute, 24 * 60 * minute])
      void upstream.send({ placement, verb: "POST", headers: [], body: undefined, headersTimeoutMs, lane, signal })
    await new Promise((resolve) => setImmediate(resolve))
    expect(connectionOptions.headersTimeout).toBe(0)
    // nothing in a single request may bring undici's limits back
    expect(sent.map(({ headersTimeout }) => headersTimeout)).toEqual([undefined, undefined, undefined])
    expect(sent.map(({ bodyTimeout }) => bodyTimeout)).toEqual([undefined, undefined, undefined])
    // their own limits, and the sweep of idle pools
    expect(clock.pending).toBe(4)
    await upstream.close()
  },
)

test("a kept connection is given up before a server that says nothing closes it", () => {
  expect(connectionOptions).toMatchObject({ keepAliveTimeout: 4_000, keepAliveTimeoutThreshold: 1_000 })
})
