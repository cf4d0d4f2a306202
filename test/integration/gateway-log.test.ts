/** What the gateway's log says of requests, and what it never says. */
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { AppError } from "../../src/errors.ts"
import { subjectDigest } from "../../src/identity/subject-key.ts"
import {
  answerJson,
  type Call,
  type FakeServer,
  gate,
  identityOf,
  initialize,
  lifeAt,
  message,
  modernCall,
  post,
  raw,
  type Stage,
  startServer,
  startStage,
} from "./gateway-stage.ts"

let stage: Stage
let server: FakeServer
beforeEach(async () => {
  stage = await startStage()
  server = await startServer((seen, response) => answerJson(response, seen, { canary: "canary-answer" }))
  stage.placement.now = lifeAt(server.url)
})
afterEach(async () => {
  await stage.close()
  await server.close()
})

/** The fields of the lines so far, and of no others: one for each request. */
const lines = () => stage.lines.map(({ fields }) => fields)

/** Sends it; resolves with the fields of the only line that came of it. */
const lineOf = async (body: unknown, call: Call = {}) => {
  stage.lines.length = 0
  const response = await post(stage, body, call)
  await response.text()
  await expect.poll(lines).toHaveLength(1)
  expect(lines()[0]?.request_id).toBe(response.headers.get("x-request-id"))
  return lines()[0] ?? {}
}

const call = (tool: unknown, id = 1) => message("tools/call", { name: tool, arguments: { canary: "canary-value" } }, id)

describe("the line of a request", () => {
  test("tells who, target, instance, method, tool, decision, status and times, and nothing else", async () => {
    const line = await lineOf(call("echo"))
    expect(stage.lines[0]).toMatchObject({ level: "info", message: "mcp request" })
    expect(line).toEqual({
      request_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      verb: "POST",
      target: "demo",
      subject: subjectDigest(identityOf("alice")),
      instance: "demo-user-aaaaaaaaaaaaaaa",
      method: "tools/call",
      tool: "echo",
      decision: "allowed",
      status: 200,
      ending: "complete",
      answer_ms: expect.any(Number),
      total_ms: expect.any(Number),
    })
  })

  test("tells of the modern era the same, and callers apart by their digests", async () => {
    const { body, headers } = modernCall("echo")
    expect(await lineOf(body, { headers, subject: "bob" })).toMatchObject({
      subject: subjectDigest(identityOf("bob")),
      method: "tools/call",
      tool: "echo",
      decision: "allowed",
    })
    expect(subjectDigest(identityOf("bob"))).not.toBe(subjectDigest(identityOf("alice")))
  })

  test("tells how long each step of a cold start took", async () => {
    stage.placement.now = { ...lifeAt(server.url), timings: { queue: 0.1, ready: 0.9 }, waitedMs: 1_100 }
    expect(await lineOf(initialize)).toMatchObject({ start_seconds: { queue: 0.1, ready: 0.9 }, wait_ms: 1_100 })
  })

  test("has what caused a refusal, beside what the caller was told", async () => {
    const cause = new AppError("ApiForbidden", { detail: 'create secrets: admission webhook "w" denied the request' })
    stage.placement.hold = () => Promise.reject(new AppError("InstanceFailed", { detail: "Refused.", cause }))
    const line = await lineOf(initialize)
    expect(line).toMatchObject({ code: "InstanceFailed", why: "Refused.", cause: cause.message })
  })

  test("says that a client left before its answer", async () => {
    const held = gate()
    const leave = new AbortController()
    stage.placement.hold = async () => {
      held.resolve()
      await new Promise((_, reject) => leave.signal.addEventListener("abort", () => reject(leave.signal.reason)))
    }
    const left = post(stage, call("echo"), { signal: leave.signal }).catch(() => "left")
    await held.promise
    leave.abort()
    expect(await left).toBe("left")
    await expect.poll(lines).toHaveLength(1)
    expect(lines()[0]).toMatchObject({ status: 499, decision: "allowed", tool: "echo" })
    expect(lines()[0]?.code).toBeUndefined()
  })

  test("names the tools of a batch", async () => {
    const headers = { "mcp-protocol-version": "2025-03-26" }
    await server.close()
    server = await startServer((_, response) => response.writeHead(202).end())
    stage.placement.now = lifeAt(server.url)
    const batch = [message("ping"), call("echo", 2), call("add", 3), call("echo", 4)]
    expect(await lineOf(batch, { headers })).toMatchObject({ method: "ping", batch: 4, tools: ["echo", "add"] })
    const many = Array.from({ length: 60 }, (_, index) => call(`tool-${index}`, index))
    expect(((await lineOf(many, { headers })).tools as string[]).length).toBe(20)
  })
})

describe("the decision", () => {
  test.each([
    ["an unknown caller", { subject: "" }, call("echo"), { code: "Unauthenticated" }],
    ["a target that is not the caller's", { target: "secret" }, call("echo"), { code: "TargetNotFound" }],
    ["a tool that the policy hides", { target: "few" }, call("drop"), { code: "UnknownTool", tool: "drop" }],
    ["a task of a shared target", { target: "few" }, message("tasks/get"), { code: "Forbidden", method: "tasks/get" }],
    [
      "a batch with one tool that the policy hides",
      { target: "few", headers: { "mcp-protocol-version": "2025-03-26" } },
      [call("keep"), call("drop")],
      { code: "UnknownTool", tools: ["keep", "drop"] },
    ],
  ] as const)("on %s is denied, with what was asked for", async (_, how, body, expected) => {
    stage.addTarget("secret")
    stage.addTarget("few", { tools: { allow: ["keep"] }, isolationBoundary: "shared" })
    expect(await lineOf(body, how)).toMatchObject({ ...expected, decision: "denied" })
    expect(server.seen).toEqual([])
  })

  test("is none on what cannot be read", async () => {
    expect(await lineOf("nonsense")).toMatchObject({ status: 400, code: "MalformedJson", decision: "none" })
    expect(lines()[0]?.method).toBeUndefined()
  })

  test("stays allowed when the server refuses or fails", async () => {
    await server.close()
    server = await startServer((_, response) => response.writeHead(403).end())
    stage.placement.now = lifeAt(server.url)
    expect(await lineOf(call("echo"))).toMatchObject({ status: 403, decision: "allowed" })
    stage.placement.now = undefined
    expect(await lineOf(call("echo"))).toMatchObject({ code: "SessionNotFound", decision: "allowed" })
  })
})

describe("what is rejected at the door has its request id in the log too", () => {
  const head = "authorization: Bearer token-of-alice\r\nconnection: close\r\n"
  test.each([
    ["another host", "GET /mcp/demo?canary-query HTTP/1.1\r\nhost: evil.example\r\n", "HostNotAllowed", "denied"],
    ["a path that is not in its normal form", "GET /mcp//demo HTTP/1.1\r\nhost: localhost\r\n", "BadPath", "none"],
    ["no MCP endpoint", "GET /other?canary-query HTTP/1.1\r\nhost: localhost\r\n", "RouteNotFound", "none"],
    ["another verb", "PUT /mcp/demo?canary-query HTTP/1.1\r\nhost: localhost\r\n", "MethodNotAllowed", "none"],
  ])("%s", async (_, request, code, decision) => {
    const answer = await raw(stage.port, `${request}${head}\r\n`)
    const id = /x-request-id: (\S+)/i.exec(answer)?.[1]
    expect(id).toBeDefined()
    expect(stage.lines).toHaveLength(1)
    const [verb = "", target = ""] = request.split(" ")
    expect(stage.lines[0]).toMatchObject({
      message: "request refused",
      fields: { request_id: id, verb, path: target.split("?")[0], code, decision, why: expect.stringMatching(/\.$/) },
    })
    expect(JSON.stringify(stage.lines)).not.toMatch(/canary|token-of/)
  })

  test("a token that is refused, with the reason", async () => {
    const answer = await post(stage, initialize, { headers: { authorization: "Bearer canary" } })
    expect(lines().at(-1)).toMatchObject({
      request_id: answer.headers.get("x-request-id"),
      code: "Unauthenticated",
      why: "The token is not known.",
    })
    expect(JSON.stringify(stage.lines)).not.toContain("canary")
  })

  test("a replica that stops", async () => {
    await stage.gateway.close()
    const answer = await post(stage, initialize)
    expect(lines().at(-1)).toMatchObject({
      request_id: answer.headers.get("x-request-id"),
      code: "ShuttingDown",
      decision: "none",
    })
  })
})

test("no line has bodies, arguments, answers, tokens, subjects, session ids or queries", async () => {
  const opened = await post(stage, initialize)
  const session = opened.headers.get("mcp-session-id") ?? "canary-session"
  const headers = { "mcp-session-id": session, "last-event-id": "canary-event", cookie: "canary-cookie" }
  for (const body of [call("echo"), call({ canary: "canary-tool" }), `{"canary-broken`, [call("echo")], initialize])
    await (await post(stage, body, { headers })).text()
  await (await post(stage, undefined, { verb: "GET", headers, target: "demo?canary-query" })).text()
  await (await post(stage, undefined, { verb: "GET", headers: { "mcp-session-id": "canary-session" } })).text()
  const text = JSON.stringify(stage.lines)
  expect(stage.lines.length).toBeGreaterThan(7)
  expect(text).not.toMatch(/canary|token-of|alice/)
  expect(text).not.toContain(session)
})
