import type { ServerResponse } from "node:http"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import {
  type FakeServer,
  lifeAt,
  message,
  post,
  type Seen,
  type Stage,
  startServer,
  startStage,
} from "./gateway-stage.ts"

let stage: Stage
let server: FakeServer | undefined

beforeEach(async () => {
  stage = await startStage({ silenceMs: 50 })
  stage.addTarget("open")
  stage.addTarget("narrow", { tools: { deny: ["hidden*"] } })
})
afterEach(async () => {
  await stage.close()
  await server?.close()
  server = undefined
})

const serve = async (handler: (response: ServerResponse, seen: Seen) => unknown): Promise<FakeServer> => {
  server = await startServer((seen, response) => handler(response, seen))
  stage.placement.now = lifeAt(server.url)
  return server
}

const result = '{"jsonrpc":"2.0","id":1,"result":{}}'
const notice = { jsonrpc: "2.0", method: "notifications/initialized" }
const answered = { jsonrpc: "2.0", id: 7, result: {} }
const targets = ["open", "narrow"] as const

describe.each(targets)("behind a target that is %s", (target) => {
  test.each(["identity", "none", "Identity, identity", ""])(
    "the coding %j is no coding: the answer passes, and is not said to be encoded",
    async (coding) => {
      await serve((response) =>
        response
          .writeHead(200, { "content-type": "text/event-stream", "content-encoding": coding })
          .end(`event: message\ndata: ${result}\n\n`),
      )
      const response = await post(stage, message("ping"), { target })
      expect([response.status, response.headers.get("content-encoding")]).toEqual([200, null])
      expect(await response.text()).toBe(`event: message\ndata: ${result}\n\n`)
    },
  )
  test("a stream that is encoded as identity gets comments while it is silent", async () => {
    await serve(async (response) => {
      response.writeHead(200, { "content-type": "text/event-stream", "content-encoding": "identity" }).flushHeaders()
      await new Promise((resolve) => setTimeout(resolve, 200))
      response.end(`data: ${result}\n\n`)
    })
    expect(await (await post(stage, message("ping"), { target })).text()).toMatch(/^(?::\n\n)+data: /)
  })
  test.each<[string, number, Record<string, string>, string]>([
    ["a text", 202, { "content-type": "text/plain; charset=utf-8" }, "Accepted"],
    ["null", 200, { "content-type": "application/json" }, "null"],
    ["nothing", 200, {}, ""],
    ["a page", 200, { "content-type": "text/html" }, "<html>".repeat(20_000)],
    ["no content", 204, {}, ""],
    ["a stream", 200, { "content-type": "text/event-stream" }, ": nothing\n\n"],
    ["a compressed text", 202, { "content-encoding": "gzip" }, "x"],
  ])("%s for what is no request becomes 202 without a body", async (_name, status, headers, body) => {
    await serve((response) => response.writeHead(status, headers).end(body))
    for (const sent of [notice, answered, [notice, answered]]) {
      const response = await post(stage, sent, { target })
      expect([response.status, response.headers.get("content-length")]).toEqual([202, "0"])
      expect(await response.text()).toBe("")
    }
  })
  test("a text for the end of a session is dropped, its status is not", async () => {
    await serve((response) => response.writeHead(200, { "content-type": "text/plain" }).end("OK"))
    const response = await post(stage, undefined, { target, verb: "DELETE" })
    expect([response.status, await response.text()]).toEqual([200, ""])
  })
  test("what follows on the same connection is not disturbed by a body that was dropped", async () => {
    const { sockets } = await serve((response, { body }) =>
      body.includes("notifications/")
        ? response.writeHead(202, { "content-type": "text/plain" }).end("Accepted".repeat(1_000))
        : response.writeHead(200, { "content-type": "application/json" }).end(result),
    )
    for (let turn = 0; turn < 5; turn++) {
      expect((await post(stage, notice, { target })).status).toBe(202)
      expect(await (await post(stage, message("ping"), { target })).text()).toBe(result)
    }
    expect(sockets.size).toBe(1)
  })
  test("an event of another type whose data is no JSON does not end the call", async () => {
    const pings = "event: ping\ndata: 2026-11-29 00:00:00.000+00:00\n\n"
    await serve((response) =>
      response.writeHead(200, { "content-type": "text/event-stream" }).end(`${pings}data: ${result}\n\n${pings}`),
    )
    expect(await (await post(stage, message("ping"), { target })).text()).toContain(`data: ${result}\n\n`)
  })
})

describe("what a tool policy cannot be applied to", () => {
  const long = `{"jsonrpc":"2.0","id":1,"result":{"text":"${"x".repeat(5_000_000)}"}}`
  const limit = 4 * 2 ** 20
  test.each([
    ["a message that is too long", long, /longer than 4194304 bytes/, { limit }],
    ["a message that is cut", result.slice(0, -1), /in the middle of a message/, {}],
    ["bytes that are no UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), /not valid UTF-8/, {}],
  ])("is told to the request, of a JSON body: %s", async (_name, body, words, data) => {
    await serve((response) => response.writeHead(200, { "content-type": "application/json" }).end(body))
    const response = await post(stage, message("tools/call", { name: "big" }), { target: "narrow" })
    const { id, error } = (await response.json()) as { id: number; error: { message: string; data: object } }
    expect([id, error.message]).toEqual([1, expect.stringMatching(words)])
    expect(error.data).toMatchObject({ code: "UpstreamInvalid", ...data })
  })
  test.each([
    ["a message that is too long", `data: ${long}\n\n`, /longer than 4194304 bytes/],
    ["a message that is no JSON", `event: message\ndata: {"a\n\n`, /not JSON/],
  ])("is told to the request, on a stream that has begun: %s", async (_name, body, words) => {
    await serve((response) => {
      response.writeHead(200, { "content-type": "text/event-stream" })
      response.write('data: {"jsonrpc":"2.0","method":"notifications/message","params":{}}\n\n')
      response.end(body)
    })
    const text = await (await post(stage, message("tools/call", { name: "big" }), { target: "narrow" })).text()
    const last = JSON.parse(text.trimEnd().split("data: ").at(-1) ?? "")
    expect([last.id, last.error.message]).toEqual([1, expect.stringMatching(words)])
  })
  test("of a long message nothing is held where there is no policy", async () => {
    await serve((response) => response.writeHead(200, { "content-type": "application/json" }).end(long))
    expect((await (await post(stage, message("tools/call", { name: "big" }), { target: "open" })).text()).length).toBe(
      long.length,
    )
  })
})
