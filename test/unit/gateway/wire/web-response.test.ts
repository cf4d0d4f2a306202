import { expect, test } from "vitest"
import { AppError } from "../../../../src/errors.ts"
import type { BodySink } from "../../../../src/gateway/wire/upstream-answer.ts"
import { toWebResponse } from "../../../../src/gateway/wire/web-response.ts"
import type { BodyFilter } from "../../../../src/mcp/tool-filter.ts"

/** A response to an answer whose body the test sends; `calls` has what was done with the exchange. */
const setUp = (filter?: BodyFilter) => {
  const calls: string[] = []
  const sinks: BodySink[] = []
  const response = toWebResponse(
    {
      status: 200,
      headers: { "content-type": "application/json", "mcp-session-id": "own", "x-secret": "1" },
      consume: (sink) => void sinks.push(sink),
      resume: () => void calls.push("resume"),
      abort: () => void calls.push("abort"),
    },
    { filter: () => filter, close: () => void calls.push("close"), cancel: () => void calls.push("cancel") },
  )
  return { calls, response, sink: () => sinks[0] as BodySink }
}

test("an answer becomes a response with the headers that a client needs, and ends the exchange at its end", async () => {
  const { calls, response, sink } = setUp()
  sink().data(Buffer.from("{}"))
  sink().end()
  expect(await response.text()).toBe("{}")
  expect(Object.fromEntries(response.headers)).toEqual({ "content-type": "application/json", "mcp-session-id": "own" })
  expect(calls.filter((call) => call !== "resume")).toEqual(["close"])
})

test("a body that the filter refuses fails, and ends the exchange", async () => {
  const refused = new AppError("UpstreamInvalid", { detail: "The answer is not JSON." })
  const throwing = () => {
    throw refused
  }
  const { calls, response, sink } = setUp({ push: throwing, end: throwing })
  expect(sink().data(Buffer.from("canary"))).toBe(true)
  await expect(response.text()).rejects.toBe(refused)
  expect(calls).toContain("close")
  // what comes later is for nobody
  expect(sink().data(Buffer.from("more"))).toBe(true)
})

test("a body that its reader does not want is given up in the way that was chosen", async () => {
  const { calls, response } = setUp()
  await response.body?.cancel()
  expect(calls.filter((call) => call !== "resume")).toEqual(["cancel"])
})
