import { describe, expect, test } from "vitest"
import { AppError } from "../../../../src/errors.ts"
import { respond } from "../../../../src/gateway/answer/respond.ts"
import type { AnswerSink } from "../../../../src/gateway/answer/stream.ts"
import type { Placed } from "../../../../src/gateway/pipeline.ts"
import type { UpstreamAnswer } from "../../../../src/gateway/wire/upstream-answer.ts"
import { LazySignal } from "../../../../src/waiting/in-progress.ts"
import { identity, target } from "../../../support/build/who.ts"
import { fakeClock } from "../../../support/fake-clock.ts"

/** A stream without a call of a remote server, and in which order its login is followed and its request sent. */
const stream = (upstream: () => Promise<UpstreamAnswer>) => {
  const order: string[] = []
  let count = 0
  const follow = () => {
    const number = ++count
    order.push(`follow ${number}`)
    return () => void order.push(`release ${number}`)
  }
  const placed = {
    requestId: "r1",
    ...{ verb: "GET", headers: {}, messages: [], openStream: true, era: "legacy" },
    origin: { address: "1.2.3.4", host: "mcp.example.com", protocol: "https" },
    identity: identity(),
    target: target({}),
    signal: new LazySignal(),
    placement: {
      ...{ instance: "far", instanceUID: "uid", incarnation: "one", url: new URL("https://far.example.com/mcp") },
      remote: { headers: [], follow },
    },
  } as unknown as Placed
  const exchange = {
    upstream: {
      send: () => {
        order.push("send")
        return upstream()
      },
    },
    clock: fakeClock(),
    requestTimeoutMs: 60_000,
  }
  const deps = { exchange, clock: fakeClock() } as unknown as Parameters<typeof respond>[0]
  return { order, answered: respond(deps)(placed, {} as AnswerSink) }
}

/** A head, whose body is never read here: the answer says at once that it cannot be passed on. */
const head = (): UpstreamAnswer => ({
  status: 200,
  headers: { "content-type": "text/event-stream" },
  consume: () => {
    throw new AppError("UpstreamInvalid", { detail: "no body" })
  },
  resume: () => {},
  abort: () => {},
})

describe("the login of a stream without a call", () => {
  test("is followed from before the request, so that it is still known when the head comes minutes later", async () => {
    const { order, answered } = stream(async () => head())
    await answered.catch(() => {})
    expect(order).toEqual(["follow 1", "send", "follow 2", "release 1", "release 2"])
  })

  test("is not followed any more when the request has failed", async () => {
    const { order, answered } = stream(() =>
      Promise.reject(new AppError("UpstreamTimeout", { detail: "no head", data: { phase: "head" } })),
    )
    await expect(answered).rejects.toThrow("no head")
    expect(order).toEqual(["follow 1", "send", "release 1"])
  })
})
