import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { AppError, type ErrorCode } from "../../src/errors.ts"
import {
  answerJson,
  type FakeServer,
  gate,
  initialize,
  lifeAt,
  message,
  modernCall,
  modernRequest,
  post,
  raw,
  type Stage,
  startServer,
  startStage,
} from "./gateway-stage.ts"

let stage: Stage
let server: FakeServer | undefined

const serve = async (handler: Parameters<typeof startServer>[0]): Promise<FakeServer> => {
  server = await startServer(handler)
  stage.placement.now = lifeAt(server.url)
  return server
}

beforeEach(async () => {
  stage = await startStage()
})
afterEach(async () => {
  await stage.close()
  await server?.close()
  server = undefined
})

describe("the way in", () => {
  test("identity is checked before anything about the target shows", async () => {
    for (const target of ["demo", "unknown", "secret-one"]) {
      const response = await post(stage, message("ping"), { target, headers: { authorization: "Bearer wrong" } })
      expect(response.status).toBe(401)
      expect(response.headers.get("www-authenticate")).toBe('Bearer error="invalid_token"')
      expect(await response.json()).toMatchObject({ code: "Unauthenticated" })
    }
    expect(stage.placement.requests).toEqual([])
  })

  test("an unknown target and one that the caller may not use get the same problem, not a JSON-RPC error", async () => {
    stage.addTarget("secret-one")
    const bodies = await Promise.all(
      ["unknown", "secret-one"].map(async (target) => {
        const response = await post(stage, message("ping"), { target })
        expect(response.status).toBe(404)
        expect(response.headers.get("content-type")).toBe("application/problem+json")
        const { request_id, ...problem } = (await response.json()) as Record<string, unknown>
        expect(request_id).toBe(response.headers.get("x-request-id"))
        return JSON.stringify(problem).replaceAll(target, "NAME")
      }),
    )
    expect(bodies[0]).toBe(bodies[1])
    expect(bodies[0]).toContain("TargetNotFound")
  })

  test.each([
    ["a path with dots", "GET /mcp/../api/x HTTP/1.1\r\nHost: localhost\r\n", "BadPath", 400],
    ["a path with an encoded slash", "GET /mcp%2Fdemo HTTP/1.1\r\nHost: localhost\r\n", "BadPath", 400],
    ["a second Host", "GET /mcp/demo HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n", "BadHost", 400],
    ["no Host", "GET /mcp/demo HTTP/1.1\r\n", "BadHost", 400],
    ["a foreign Host", "GET /mcp/demo HTTP/1.1\r\nHost: evil.example\r\n", "HostNotAllowed", 403],
    [
      "a foreign Origin",
      "GET /mcp/demo HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n",
      "OriginNotAllowed",
      403,
    ],
    [
      "another verb",
      "PUT /mcp/demo HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer token-of-alice\r\n",
      "MethodNotAllowed",
      405,
    ],
    ["another path", "GET /mcp/demo/more HTTP/1.1\r\nHost: localhost\r\n", "RouteNotFound", 404],
  ])("%s is refused at the door", async (_name, head, code, status) => {
    const answer = await raw(stage.port, `${head}Connection: close\r\n\r\n`)
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    expect(answer).toContain(code)
  })

  test("a browser of an allowed origin may ask first, without a token, and read the session header", async () => {
    const response = await fetch(`${stage.url}/mcp/demo`, {
      method: "OPTIONS",
      headers: {
        origin: "https://app.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, mcp-session-id, mcp-param-region, x-evil",
      },
    })
    expect(response.status).toBe(204)
    expect(response.headers.get("access-control-allow-origin")).toBe("https://app.example")
    expect(response.headers.get("access-control-allow-headers")).toBe("authorization, mcp-session-id, mcp-param-region")
    expect(response.headers.get("access-control-expose-headers")).toContain("Mcp-Session-Id")
  })
})

describe("the body", () => {
  test.each([
    ["malformed JSON", '{"jsonrpc":"2.0",', 400, -32700],
    ["a duplicate method", '{"jsonrpc":"2.0","id":7,"method":"ping","method":"tools/call"}', 400, -32600],
    ["a broken version claim", JSON.stringify(message("ping", { _meta: 3 }, 7)), 400, -32602],
  ])("%s is refused as a JSON-RPC error", async (_name, body, status, code) => {
    const response = await post(stage, body)
    expect(response.status).toBe(status)
    expect(await response.json()).toMatchObject({ jsonrpc: "2.0", error: { code } })
    expect(stage.placement.requests).toEqual([])
  })

  test("errors repeat the request's id exactly, however large the number", async () => {
    const response = await post(stage, '{"jsonrpc":"2.0","id":12345678901234567890,"method":"tools/call","params":{}}')
    expect(await response.text()).toContain('"id":12345678901234567890,')
  })

  test.each([
    ["another type", { "content-type": "text/plain" }, 415],
    ["a compressed body", { "content-encoding": "gzip" }, 415],
    ["an Accept that rules out both answers", { accept: "text/html" }, 406],
  ])("%s is refused", async (_name, headers, status) => {
    expect((await post(stage, message("ping"), { headers })).status).toBe(status)
  })

  test("a body that is too large is 413, with a declared length and without one", async () => {
    const filler = "x".repeat(5 * 2 ** 20)
    expect((await post(stage, message("ping", { filler }))).status).toBe(413)
    const chunked = await fetch(`${stage.url}/mcp/demo`, {
      method: "POST",
      headers: { authorization: "Bearer token-of-alice", "content-type": "application/json" },
      body: new Blob([filler]).stream(),
      duplex: "half",
    } as RequestInit)
    expect(chunked.status).toBe(413)
    expect(await chunked.text()).toContain("BodyTooLarge")
  })

  test("goes to the server byte by byte as it came", async () => {
    const { seen } = await serve((one, response) => answerJson(response, one, {}))
    const body =
      '{ "params" : {"a":1.0, "b":"\\u0041", "c":12345678901234567890},\n"method":"ping","id":1,"jsonrpc":"2.0"}'
    expect((await post(stage, body)).status).toBe(200)
    expect(seen[0]?.body).toBe(body)
  })
})

describe("headers", () => {
  test("the server gets the protocol's headers, and neither the token nor anything that pretends an identity", async () => {
    const { seen } = await serve((one, response) => answerJson(response, one, {}))
    const { body, headers } = modernCall("echo")
    await post(stage, body, {
      headers: {
        ...headers,
        "mcp-param-region": "eu",
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        cookie: "a=b",
        "x-forwarded-for": "6.6.6.6",
        "x-user": "root",
        "x-forwarded-user": "root",
        "proxy-authorization": "Basic x",
      },
    })
    const got = seen[0]?.headers ?? {}
    expect(got).toMatchObject({
      ...headers,
      "mcp-param-region": "eu",
      traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      accept: "application/json, text/event-stream",
      "accept-encoding": "identity",
      host: server?.url.host,
      "x-forwarded-for": "127.0.0.1",
    })
    for (const name of ["authorization", "cookie", "x-user", "x-forwarded-user", "proxy-authorization"]) {
      expect(got[name], name).toBeUndefined()
    }
  })

  test("a server whose target asks for it is told who is calling, whatever the client pretends", async () => {
    const { seen } = await serve((one, response) => answerJson(response, one, {}))
    stage.addTarget("demo", { identityHeaders: true })
    const spoofed = { "x-reflow-subject": "root", "x-reflow-groups": "admins", "x-reflow-roles": "admin" }
    const { body, headers } = modernCall("echo")
    await post(stage, body, { headers: { ...headers, ...spoofed } })
    const told = {
      "x-reflow-issuer": "static",
      "x-reflow-subject": "alice",
      "x-reflow-groups": "",
      "x-reflow-roles": "",
    }
    expect(seen[0]?.headers).toMatchObject(told)
    stage.addTarget("demo")
    await post(stage, body, { headers: { ...headers, ...spoofed } })
    expect(Object.keys(seen[1]?.headers ?? {}).filter((name) => name.startsWith("x-reflow"))).toEqual([])
  })

  test("the client gets neither cookies nor CORS headers nor challenges of the server", async () => {
    await serve((one, response) =>
      answerJson(
        response,
        one,
        {},
        {
          "set-cookie": "a=b",
          "access-control-allow-origin": "*",
          "www-authenticate": "Basic",
          "x-powered-by": "x",
        },
      ),
    )
    const { headers } = await post(stage, message("ping"))
    for (const name of ["set-cookie", "access-control-allow-origin", "www-authenticate", "x-powered-by"]) {
      expect(headers.get(name), name).toBeNull()
    }
    expect(headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/)
  })

  test("a server's 401 becomes a 502 of our own", async () => {
    await serve((_, response) => response.writeHead(401, { "www-authenticate": "Bearer" }).end("no"))
    const response = await post(stage, message("ping", {}, "a"))
    expect(response.status).toBe(200)
    expect(await response.json()).toMatchObject({ id: "a", error: { data: { code: "UpstreamUnauthorized" } } })
  })

  test("a modern request whose headers differ from its body is 400 with -32020", async () => {
    const { body, headers } = modernCall("echo")
    for (const wrong of [
      { "mcp-name": "other" },
      { "mcp-method": "tools/list" },
      { "mcp-protocol-version": "2025-11-25" },
    ]) {
      const response = await post(stage, body, { headers: { ...headers, ...wrong } })
      expect(response.status).toBe(400)
      expect(await response.json()).toMatchObject({ id: 1, error: { code: -32020 } })
    }
    expect((await post(stage, body)).status).toBe(400)
  })

  const mirrored = { "mcp-method": "tools/call", "mcp-name": "other", "mcp-param-region": "eu" }
  test.each([
    ["a request", "POST", message("ping")],
    ["a call", "POST", message("tools/call", { name: "echo" })],
    ["a batch", "POST", [message("ping")]],
    ["an answer", "POST", { jsonrpc: "2.0", id: 1, result: {} }],
    ["a GET", "GET", undefined],
    ["a DELETE", "DELETE", undefined],
  ] as const)("the server sees no header that repeats a message beside %s of the legacy era", async (_, verb, body) => {
    const { seen } = await serve((_one, response) => response.writeHead(202).end())
    await (await post(stage, body, { verb, headers: mirrored })).text()
    expect(seen).toHaveLength(1)
    expect(Object.keys(seen[0]?.headers ?? {}).filter((name) => name in mirrored)).toEqual([])
  })

  test("the server sees the headers that repeat a modern message, those of arguments only of a call", async () => {
    const { seen } = await serve((one, response) => answerJson(response, one, {}))
    const { body, headers } = modernRequest("tools/list")
    await post(stage, body, { headers: { ...headers, "mcp-param-region": "eu" } })
    expect(seen[0]?.headers).toMatchObject(headers)
    expect(seen[0]?.headers["mcp-param-region"]).toBeUndefined()
    const named = await post(stage, body, { headers: { ...headers, "mcp-name": "echo" } })
    expect(await named.json()).toMatchObject({ id: 1, error: { code: -32020 } })
    expect(seen).toHaveLength(1)
  })

  test("the server sees the method of a notification that names no version, and nothing else that repeats it", async () => {
    const { seen } = await serve((_, response) => response.writeHead(202).end())
    const body = { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 2 } }
    const headers = { ...mirrored, "mcp-protocol-version": "2026-07-28", "mcp-method": body.method }
    expect((await post(stage, body, { headers })).status).toBe(202)
    expect((await post(stage, body, { headers: mirrored })).status).toBe(202)
    const repeated = seen.map((one) => Object.entries(one.headers).filter(([name]) => name in mirrored))
    expect(repeated).toEqual([[["mcp-method", body.method]], []])
  })

  test("a cold answer tells how long each step of the start took", async () => {
    const { url } = await serve((one, response) => answerJson(response, one, {}))
    stage.placement.now = { ...lifeAt(url), timings: { queue: 0.012, ready: 1.5 } }
    const response = await post(stage, message("ping"))
    expect(response.headers.get("server-timing")).toBe("queue;dur=12, ready;dur=1500")
    stage.placement.now = { ...lifeAt(url), timings: { create: 0.1, pull: 0.5, queue: 0.012 }, waitedMs: 1_234 }
    const early = (await post(stage, message("ping"))).headers.get("server-timing")
    expect(early, "in the order of the steps").toBe("queue;dur=12, create;dur=100, pull;dur=500, wait;dur=1234")
  })

  test("a cold answer that came before any step was told says how long it waited; a warm one says nothing", async () => {
    const { url } = await serve((one, response) => answerJson(response, one, {}))
    stage.placement.now = { ...lifeAt(url), waitedMs: 80 }
    expect((await post(stage, message("ping"))).headers.get("server-timing")).toBe("wait;dur=80")
    stage.placement.now = lifeAt(url)
    expect((await post(stage, message("ping"))).headers.has("server-timing")).toBe(false)
  })
})

test.each([
  ["an answer to the server's request", true, { jsonrpc: "2.0", id: 1, result: {} }],
  ["a cancellation", true, { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 1 } }],
  ["a call", false, message("tools/call", { name: "echo" })],
  ["another notification", false, { jsonrpc: "2.0", method: "notifications/initialized" }],
])("%s belongs to an open call, so that a drain lets it through: %s", async (_name, continues, body) => {
  await serve((_, response) => response.writeHead(202).end())
  await (await post(stage, body)).text()
  expect(stage.placement.requests[0]?.continues).toBe(continues)
})

test("a task of a target that users share reaches its server only by the target's word", async () => {
  const { seen } = await serve((one, response) => answerJson(response, one, { tasks: [] }))
  const list = message("tasks/list")
  stage.addTarget("demo", { isolationBoundary: "shared" })
  expect(await (await post(stage, list)).json()).toMatchObject({ id: 1, error: { data: { code: "Forbidden" } } })
  expect(seen).toHaveLength(0)
  stage.addTarget("demo", { isolationBoundary: "shared", sharedTasks: true })
  expect(await (await post(stage, list)).json()).toMatchObject({ id: 1, result: { tasks: [] } })
  expect(seen).toHaveLength(1)
})

describe("the error of a permitted request", () => {
  const failWith = (code: ErrorCode, detail: string) => {
    stage.placement.place = async () => {
      throw new AppError(code, { detail })
    }
  }
  test("says in its message what is wrong, what to do, and its code", async () => {
    const said = async (code: ErrorCode, detail: string) => {
      failWith(code, detail)
      const { error } = (await (await post(stage, message("ping"))).json()) as { error: { message: string } }
      return error.message
    }
    expect(await said("TargetPaused", "It is paused.")).toBe(
      "It is paused. Ask an administrator to resume the target. (TargetPaused)",
    )
    expect(await said("TargetPaused", "It is paused")).toBe(
      "It is paused. Ask an administrator to resume the target. (TargetPaused)",
    )
  })
  test.each<[ErrorCode, number]>([
    ["InstanceFailed", 502],
    ["TargetPaused", 503],
    ["CapacityExceeded", 429],
  ])(
    "has its own status only for server/discover, which 200 would tell of an older server: %s",
    async (code, status) => {
      failWith(code, "It is so.")
      const { body, headers } = modernRequest("server/discover")
      const response = await post(stage, body, { headers })
      expect(response.status).toBe(status)
      expect(await response.json()).toMatchObject({ id: 1, error: { data: { code } } })
      expect((await post(stage, message("tools/list"))).status).toBe(200)
    },
  )
})

describe("who makes an instance", () => {
  test.each([
    ["a modern POST", () => ({ ...modernCall("echo"), verb: "POST" as const }), "create"],
    ["a sessionless legacy POST", () => ({ body: initialize, headers: {}, verb: "POST" as const }), "create"],
    ["a GET", () => ({ body: undefined, headers: {}, verb: "GET" as const }), "find"],
    ["a DELETE", () => ({ body: undefined, headers: {}, verb: "DELETE" as const }), "find"],
  ])("%s", async (_name, make, mode) => {
    const { body, headers, verb } = make()
    const response = await post(stage, body, { headers, verb })
    expect(stage.placement.requests[0]?.mode).toBe(mode)
    expect(response.status).toBe(404)
  })

  test("a client that leaves while its instance starts is heard at once, and nothing is sent", async () => {
    const { seen } = await serve((one, response) => answerJson(response, one, {}))
    const leave = new AbortController()
    const [waiting, left] = [gate(), gate()]
    stage.placement.hold = ({ signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener("abort", () => {
          left.resolve()
          reject(signal.reason)
        })
        waiting.resolve()
      })
    const call = post(stage, message("ping"), { signal: leave.signal })
    call.catch(() => {})
    await waiting.promise
    leave.abort()
    await left.promise
    await expect(call).rejects.toThrow()
    expect(seen).toEqual([])
  })
})
