/** Streams that are silent for hours, and clients that read slowly. */
import { once } from "node:events"
import type { ServerResponse } from "node:http"
import { afterEach, beforeEach, expect, test } from "vitest"
import { type FakeClock, fakeClock } from "../support/fake-clock.ts"
import { type FakeServer, gate, lifeAt, message, post, type Stage, startServer, startStage } from "./gateway-stage.ts"

const hour = 3_600_000
const events = { "content-type": "text/event-stream" }
/** The answer to {@link toolCall}. */
const last = 'data: {"jsonrpc":"2.0","id":1,"result":{}}\n\n'
const toolCall = message("tools/call", { name: "slow", arguments: {} })

let clock: FakeClock
let stage: Stage
let server: FakeServer

const serve = async (handler: Parameters<typeof startServer>[0]): Promise<void> => {
  server = await startServer(handler)
  stage.placement.now = lifeAt(server.url)
}

beforeEach(async () => {
  clock = fakeClock()
  stage = await startStage({ clock })
})
afterEach(async () => {
  await stage.close()
  await server?.close()
})

test.each(["GET", "POST"] as const)("an event stream that is silent for 12 hours stays open (%s)", async (verb) => {
  const rest = gate()
  await serve(async (_, response) => {
    response.writeHead(200, events).write("data: first\n\n")
    await rest.promise
    response.end(last)
  })
  const response = await post(stage, toolCall, { verb })
  const source = (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream()).getReader()
  expect((await source.read()).value).toBe("data: first\n\n")
  let text = ""
  const read = (async () => {
    for (let { value, done } = await source.read(); !done; { value, done } = await source.read()) text += value
  })()
  await clock.advance(12 * hour)
  rest.resolve()
  await read
  expect(text).toBe(`${":\n\n".repeat((12 * hour) / 15_000)}${last}`)
})

/** How much a gateway may hold of one answer: what one read of a socket brings, and one more. */
const maxBuffered = 256 * 2 ** 10
const toPiece = (filling: string): Buffer =>
  Buffer.from(`data: {"jsonrpc":"2.0","method":"notifications/message","params":{"data":"${filling}"}}\n\n`)
const piece = toPiece("x".repeat(2 ** 16 - toPiece("").length))

/**
 * A server that writes so many pieces as fast as it can. `most` is the most that the gateway held at any time of one
 * answer; `stuck` resolves with the server's answer when neither it nor the gateway can write any more.
 */
const startFirehose = async (pieces: number) => {
  const state = { written: 0, most: 0 }
  const answering = gate<ServerResponse>()
  const sample = () => {
    for (const { writableLength } of stage.responses) state.most = Math.max(state.most, writableLength)
  }
  await serve(async (_, response) => {
    response.writeHead(200, events)
    answering.resolve(response)
    const closed = once(response, "close")
    for (let count = 0; count < pieces && !response.destroyed; count++) {
      state.written += piece.length
      const flows = response.write(piece)
      sample()
      if (flows) continue
      await Promise.race([once(response, "drain"), closed])
      sample()
    }
    response.end(last)
  })
  const stuck = async (): Promise<ServerResponse> => {
    const response = await answering.promise
    let before = -1
    const isStuck = (): boolean => {
      sample()
      const rests = before === state.written
      before = state.written
      return rests && [response, ...stage.responses].every(({ writableNeedDrain }) => writableNeedDrain)
    }
    await expect.poll(isStuck, { timeout: 25_000 }).toBe(true)
    return response
  }
  return Object.assign(state, { stuck })
}

test.each([
  ["without a tool policy", {}],
  ["with a tool policy", { tools: { allow: ["*"] } }],
])("a slow reader makes the server wait, not the gateway grow, and gets everything (%s)", async (_name, spec) => {
  stage.addTarget("demo", spec)
  const pieces = 512
  const hose = await startFirehose(pieces)
  const response = await post(stage, toolCall)
  await hose.stuck()
  // what two pairs of sockets hold at most; the rest has not been written
  expect(hose.written).toBeLessThan(24 * 2 ** 20)
  let size = 0
  for await (const chunk of response.body ?? []) size += chunk.length
  expect(size).toBe(pieces * piece.length + last.length)
  expect(hose.most).toBeGreaterThan(0)
  expect(hose.most).toBeLessThan(maxBuffered)
})

test("a client that leaves while it does not read is seen by its server all the same", async () => {
  const hose = await startFirehose(100_000)
  const leave = new AbortController()
  const answer = await post(stage, toolCall, { signal: leave.signal })
  const response = await hose.stuck()
  const closed = once(response, "close")
  leave.abort()
  await closed
  await expect.poll(() => stage.lines.at(-1)?.fields).toMatchObject({ ending: "client gone" })
  // in use until here: of an answer that is garbage nobody reads, fetch drops the body and lets the server go on
  expect(answer.status).toBe(200)
})
