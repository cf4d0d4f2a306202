import { describe, expect, onTestFinished, test, vi } from "vitest"
import { readBody } from "../../../src/bridge/incoming.ts"
import type { Call } from "../../../src/bridge/peer.ts"
import { cancelledCall } from "../../../src/bridge/session.ts"

const callOf = (idText: string) => ({ idText }) as Call

/** A client's notification that cancels the call with this id. */
const cancellation = (id: string) => {
  const text = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":${id}}}`
  const body = readBody(Buffer.from(text))
  const message = "messages" in body ? body.messages[0] : undefined
  if (message === undefined) throw new Error("no message")
  return message
}

describe("the call that a client cancels", () => {
  test.for([
    ["1", "1.0"],
    ["1.0", "1"],
    ["100", "1e2"],
    ['"a"', '"\\u0061"'],
    ['"\\u0061"', '"a"'],
    ['"\\/"', '"/"'],
  ] as const)("is that with the same id, though one says %s and the other %s", ([own, named]) => {
    const [call, first] = [callOf(own), callOf('"another"')]
    expect(cancelledCall([first, call, callOf(own)], cancellation(named))).toBe(call)
  })

  test.for([
    ["1", '"1"'],
    ["1", "2"],
    ['"a"', '"A"'],
  ] as const)("is none with the id %s for %s", ([own, named]) => {
    expect(cancelledCall([callOf(own)], cancellation(named))).toBeUndefined()
  })

  test("is found without reading the ids of all calls again", () => {
    const calls = Array.from({ length: 100 }, (_, at) => callOf(`"\\u0061-${at}"`))
    const cancellations = Array.from({ length: 50 }, (_, at) => cancellation(`"nobody-${at}"`))
    const parse = vi.spyOn(JSON, "parse")
    onTestFinished(() => parse.mockRestore())
    for (const each of cancellations) expect(cancelledCall(calls, each)).toBeUndefined()
    expect(parse.mock.calls.length).toBeLessThanOrEqual(calls.length + cancellations.length)
  })
})
