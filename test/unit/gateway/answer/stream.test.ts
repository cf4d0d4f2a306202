import { expect, test } from "vitest"
import { AppError } from "../../../../src/errors.ts"
import { type AnswerSink, pump } from "../../../../src/gateway/answer/stream.ts"
import type { BodySink, UpstreamAnswer } from "../../../../src/gateway/wire/upstream-answer.ts"
import { fakeClock } from "../../../support/fake-clock.ts"

const silenceMs = 15_000

/** An event stream that goes to a client; the test is its server and its client. */
const setUp = () => {
  const clock = fakeClock()
  const written: string[] = []
  const server: { sink?: BodySink; resumed: number } = { resumed: 0 }
  const client: { isSlow: boolean; reads?: () => void } = { isSlow: false }
  const answer: UpstreamAnswer = {
    status: 200,
    headers: {},
    consume: (sink) => {
      server.sink = sink
    },
    resume: () => void server.resumed++,
    abort: () => {},
  }
  const write = (piece: Buffer | string): boolean => {
    written.push(piece.toString())
    return !client.isSlow
  }
  const sink: AnswerSink = {
    shouldKeepAlive: true,
    get writableNeedDrain() {
      return client.isSlow
    },
    writeHead: () => {},
    flushHeaders: () => {},
    write,
    once: (_event, listener) => {
      client.reads = listener
    },
    end: () => {},
    destroy: () => {},
  }
  const ended = pump(answer, sink, {
    clock,
    writeHead: () => {},
    signal: new AbortController().signal,
    events: true,
    silenceMs,
    holdHead: false,
    filter: undefined,
    onBytes: undefined,
    brokenOff: () => new AppError("UpstreamUnreachable", { detail: "broken off" }),
    onUnreadable: () => {},
  })
  const say = (text: string): boolean | undefined => server.sink?.data(Buffer.from(text))
  return { clock, written, server, client, say, ended }
}

test("a silent stream gets a comment, again and again, and none in the middle of an event", async () => {
  const { clock, written, say } = setUp()
  say("data: 1\n\n")
  await clock.advance(2 * silenceMs)
  expect(written).toEqual(["data: 1\n\n", ":\n\n", ":\n\n"])
  say("data: ")
  await clock.advance(3 * silenceMs)
  expect(written).toHaveLength(4)
})

test("a client that does not read gets no comments either: what waits for it grows by nothing of ours", async () => {
  const { clock, written, server, client, say } = setUp()
  client.isSlow = true
  expect(say("data: 1\n\n")).toBe(false)
  await clock.advance(10 * silenceMs)
  expect(written).toEqual(["data: 1\n\n"])
  client.isSlow = false
  client.reads?.()
  expect(server.resumed).toBe(1)
  await clock.advance(silenceMs)
  expect(written).toHaveLength(2)
})

test("the timer of the comments ends with the stream", async () => {
  const { clock, server, ended } = setUp()
  server.sink?.end()
  expect(await ended).toBe("complete")
  expect(clock.pending).toBe(0)
})
