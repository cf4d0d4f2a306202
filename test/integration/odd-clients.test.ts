import type { AddressInfo } from "node:net"
import { H3 } from "h3/node"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { createFrontDoor } from "../../src/door/front-door.ts"
import { createGuard } from "../../src/door/guard.ts"
import { makeServer } from "../../src/roles/listen/http-listener.ts"
import {
  answerJson,
  type FakeServer,
  initialize,
  lifeAt,
  message,
  post,
  raw,
  type Seen,
  type Stage,
  startServer,
  startStage,
} from "./gateway-stage.ts"

let stage: Stage
let server: FakeServer

/** The session id that the server gives out. */
let sessionId: string

beforeEach(async () => {
  stage = await startStage()
  sessionId = "session-1"
  server = await startServer((one, response) => answerJson(response, one, {}, { "mcp-session-id": sessionId }))
  stage.placement.now = lifeAt(server.url)
})
afterEach(async () => {
  await stage.close()
  await server.close()
})

const ping = JSON.stringify(message("ping"))
/** Sends a ping with exactly these lines in its head. */
const send = (lines: readonly string[], path = "/mcp/demo", verb = "POST") =>
  raw(
    stage.port,
    [
      `${verb} ${path} HTTP/1.1`,
      "Host: localhost",
      "Connection: close",
      ...lines,
      ...(verb === "POST" ? [`Content-Length: ${ping.length}`, "", ping] : ["", ""]),
    ].join("\r\n"),
  )
const token = "Authorization: Bearer token-of-alice"
const type = "Content-Type: application/json"
const both = "Accept: application/json, text/event-stream"
const statusOf = (answer: string) => Number(answer.split(" ")[1])

describe("a header that a client sends twice", () => {
  test.each([
    ["a version", ["MCP-Protocol-Version: 2025-11-25", "mcp-protocol-version: 2025-11-25"]],
    ["a version, joined by a proxy", ["MCP-Protocol-Version: 2025-11-25, 2025-11-25"]],
    ["the token", [token]],
    ["the type", [type]],
    ["an event id", ["Last-Event-ID: a,b", "Last-Event-ID: a,b"]],
    ["an argument", ["Mcp-Param-Region: eu", "Mcp-Param-Region: eu"]],
    ["no coding", ["Content-Encoding: identity", "Content-Encoding: identity"]],
    ["the page's origin", ["Origin: https://app.example", "Origin: https://app.example"]],
  ])("with equal values is one: %s", async (_name, lines) => {
    expect(statusOf(await send([token, type, both, ...lines]))).toBe(200)
    const { headers } = server.seen[0] as Seen
    if (lines[0]?.startsWith("MCP")) expect(headers["mcp-protocol-version"]).toBe("2025-11-25")
    if (lines[0]?.startsWith("Last")) expect(headers["last-event-id"]).toBe("a,b")
  })
  test.each([
    ["versions", ["MCP-Protocol-Version: 2025-11-25", "MCP-Protocol-Version: 2025-06-18"]],
    ["versions, joined by a proxy", ["MCP-Protocol-Version: 2025-11-25,2025-06-18"]],
    ["tokens", ["Authorization: Bearer token-of-bob"]],
    ["types", ["Content-Type: text/plain"]],
    ["sessions", ["Mcp-Session-Id: a", "Mcp-Session-Id: b"]],
    ["origins", ["Origin: https://app.example", "Origin: https://evil.example"]],
    ["arguments", ["Mcp-Param-Region: eu", "Mcp-Param-Region: us"]],
  ])("with different values is refused, and the header named: %s", async (_name, lines) => {
    const answer = await send([token, type, both, ...lines])
    expect(statusOf(answer)).toBe(400)
    expect(answer).toContain("RepeatedHeader")
    expect(server.seen).toEqual([])
  })
})

test("a header that a client of the REST API sends twice is one there too", async () => {
  const seen: (string | null)[] = []
  const api = new H3().put("/api/x", ({ req: { headers } }) => {
    seen.push(headers.get("authorization"), headers.get("content-type"))
    return ""
  })
  const { gateway } = stage
  const guard = createGuard({ publicUrl: stage.url, allowedHosts: [], allowedOrigins: [], loopback: true })
  const server = makeServer().on("request", createFrontDoor({ guard, gateway, api }))
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const head = ["PUT /api/x HTTP/1.1", "Host: localhost", "Connection: close", token, token, type, type, "", ""]
  const answer = await raw((server.address() as AddressInfo).port, head.join("\r\n"))
  server.close()
  expect([statusOf(answer), ...seen]).toEqual([200, "Bearer token-of-alice", "application/json"])
})

describe("a client that is not exact", () => {
  test.each(["", "an-old-one", `${"A".repeat(200)}`])("may send a session id with initialize: %j", async (id) => {
    const response = await post(stage, initialize, { headers: { "mcp-session-id": id } })
    expect(response.status).toBe(200)
    expect(server.seen[0]?.headers["mcp-session-id"]).toBeUndefined()
    const own = { "mcp-session-id": response.headers.get("mcp-session-id") ?? "" }
    expect((await post(stage, message("ping"), { headers: own })).status).toBe(200)
  })
  test("may end the path with a slash", async () => {
    expect(statusOf(await send([token, type, both], "/mcp/demo/"))).toBe(200)
    expect(statusOf(await send([token, type, both], "/mcp/demo//"))).toBe(400)
    expect(statusOf(await send([token, type, both], "/mcp//"))).toBe(400)
    expect(statusOf(await send([token, type, both], "/mcp/"))).toBe(404)
  })
  test("may write params that it has not as null, and the server gets what it wrote", async () => {
    const body = '{"jsonrpc":"2.0","id":1,"method":"tools/list","params":null}'
    expect((await post(stage, body)).status).toBe(200)
    expect(server.seen[0]?.body).toBe(body)
    const call = await post(stage, '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":null}')
    expect(await call.json()).toMatchObject({ error: { code: -32602 } })
  })
  test.each([
    ["application/json", "application/json, text/event-stream"],
    ["*/*", "*/*, application/json, text/event-stream"],
    ["text/event-stream;q=0.5", "text/event-stream;q=0.5, application/json"],
    [undefined, "application/json, text/event-stream"],
  ])("may accept less than MCP says: %s becomes what its server wants", async (accept, expected) => {
    await send([token, type, ...(accept === undefined ? [] : [`Accept: ${accept}`])])
    expect(server.seen[0]?.headers.accept).toBe(expected)
  })
  test("hears by any verb that it has no token, before it hears that the verb is none", async () => {
    for (const verb of ["HEAD", "PUT"]) {
      const refused = await send([], "/mcp/demo", verb)
      expect(statusOf(refused)).toBe(401)
      expect(refused.toLowerCase()).toContain("www-authenticate: bearer")
      const answer = await send([token], "/mcp/demo", verb)
      expect([statusOf(answer), answer.includes("allow: GET, POST, DELETE")]).toEqual([405, true])
    }
  })
  test("gets no session id that it could not send again", async () => {
    for (const [length, status] of [
      [2_000, 200],
      [5_000, 200],
    ] as const) {
      sessionId = "s".repeat(length)
      const response = await post(stage, initialize)
      expect(response.status).toBe(status)
      if (length === 5_000) expect(await response.text()).toContain("session id is too long: it has 5000 characters")
      const headers = { "mcp-session-id": response.headers.get("mcp-session-id") ?? "" }
      if (length === 2_000) expect((await post(stage, message("ping"), { headers })).status).toBe(200)
    }
  })
})

describe("how a request is sent", () => {
  test.each([
    ["another coding than chunks", ["Transfer-Encoding: gzip, chunked"], 501, "TransferCodingUnknown"],
    ["an expectation that nobody knows", ["Expect: miracles"], 417, "ExpectationFailed"],
  ])("with %s is refused before its body is read", async (_name, lines, status, code) => {
    const head = [
      "POST /mcp/demo HTTP/1.1",
      "Host: localhost",
      "Connection: close",
      token,
      type,
      both,
      ...lines,
      "",
      "",
    ]
    const answer = await raw(stage.port, head.join("\r\n"))
    expect(statusOf(answer)).toBe(status)
    expect(answer).toContain(code)
    expect(server.seen).toEqual([])
  })
  test("chunks are read", async () => {
    const chunked = `${ping.length.toString(16)}\r\n${ping}\r\n0\r\n\r\n`
    const head = ["POST /mcp/demo HTTP/1.1", "Host: localhost", "Connection: close", token, type, both]
    const answer = await raw(stage.port, [...head, "Transfer-Encoding: Chunked", "", chunked].join("\r\n"))
    expect(statusOf(answer)).toBe(200)
  })
  test("a version of the modern era over a request that names none is refused: the server would take it for another", async () => {
    const answer = await send([token, type, both, "MCP-Protocol-Version: 2026-07-28"])
    expect(statusOf(answer)).toBe(400)
    expect(answer).toContain("InvalidParams")
    expect(server.seen).toEqual([])
  })
})

test("no answer may be taken for another type than it says, not even an error", async () => {
  const told = /^x-content-type-options: nosniff\r$/im
  expect(await send([token, type, both])).toMatch(told)
  expect(await send([type, both])).toMatch(told)
  expect(await send([token, type, both], "/mcp/none")).toMatch(told)
})
