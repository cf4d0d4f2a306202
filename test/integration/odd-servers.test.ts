import type { ServerResponse } from "node:http"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { fakeClock } from "../support/fake-clock.ts"
import { isServedByPods } from "../support/serving.ts"
import {
  type FakeServer,
  initialize,
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
  test("what is no request is over although its answer never ends, and its instance is no longer in use", async () => {
    await stage.close()
    const clock = fakeClock()
    stage = await startStage({ clock })
    stage.addTarget(target, target === "narrow" ? { tools: { deny: ["hidden*"] } } : {})
    const { sockets } = await serve((response) =>
      response.writeHead(200, { "content-type": "text/event-stream" }).write(": on and on\n\n"),
    )
    expect((await post(stage, notice, { target })).status).toBe(202)
    expect(stage.placement.calls).toBe(1)
    await clock.advance(2_000)
    await expect.poll(() => [stage.placement.calls, sockets.size]).toEqual([0, 0])
    expect(stage.lines.at(-1)?.fields).toMatchObject({ status: 202, ending: "complete" })
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

describe("a server that redirects its endpoint", () => {
  /** Answers at `/mcp/` and redirects from everywhere else. */
  const redirecting = (location: (host: string) => string, status = 307) =>
    serve((response, { headers, url }) => {
      if (url === "/mcp/") return response.writeHead(200, { "content-type": "application/json" }).end(result)
      return response.writeHead(status, { location: location(headers.host ?? "") }).end("moved")
    })
  const paths = () => server?.seen.map(({ url }) => url)
  const byClientsName: [string, () => string, number] = [
    "the client's name for it",
    () => `http://${new URL(stage.url).host}/mcp/`,
    307,
  ]
  test.each<[string, (host: string) => string, number]>([
    ["its own name", (host) => `http://${host}/mcp/`, 307],
    ["its own name, and https, since the client came by it", (host) => `https://${host}/mcp/`, 308],
    // how clients name the gateway does not leave the cluster
    ...(isServedByPods() ? [byClientsName] : []),
    ["a path", () => "/mcp/", 308],
    ["a path from here", () => "mcp/", 307],
  ])("with %s is followed once, and asked there from then on", async (_name, location, status) => {
    await redirecting(location, status)
    for (let turn = 0; turn < 3; turn++) {
      const response = await post(stage, message("ping"), { target: "open" })
      expect([response.status, await response.text()]).toEqual([200, result])
    }
    expect(paths()).toEqual(["/mcp", "/mcp/", "/mcp/", "/mcp/"])
    expect(server?.seen.map(({ body }) => body)).toEqual(Array(4).fill(JSON.stringify(message("ping"))))
  })
  // who calls is not told to somebody else's server
  test.each(isServedByPods() ? ["/of/", "/mcp/?of="] : [])(
    "to a path of each caller's own is asked for it anew, nobody is led to another's: %s",
    async (place) => {
      stage.addTarget("common", { isolationBoundary: "shared", identityHeaders: true })
      await serve((response, { url, headers }) => {
        const own = `${place}${headers["x-reflow-subject"]}`
        if (url === "/mcp") return response.writeHead(307, { location: own }).end()
        return response.writeHead(200, { "content-type": "application/json" }).end(result)
      })
      for (const subject of ["alice", "bob", "alice"])
        expect((await post(stage, message("ping"), { target: "common", subject })).status).toBe(200)
      expect(paths()).toEqual(["alice", "bob", "alice"].flatMap((own) => ["/mcp", `${place}${own}`]))
    },
  )
  test("with a body that never ends is followed all the same", async () => {
    await stage.close()
    const clock = fakeClock()
    stage = await startStage({ clock })
    await serve((response, { url }) => {
      if (url === "/mcp/") return response.writeHead(200, { "content-type": "application/json" }).end(result)
      return response.writeHead(307, { location: "/mcp/" }).write("moved")
    })
    const answer = post(stage, message("ping"))
    await expect.poll(paths).toEqual(["/mcp"])
    await expect.poll(() => clock.advance(2_000).then(paths)).toEqual(["/mcp", "/mcp/"])
    expect(await (await answer).text()).toBe(result)
  })
  test("to a path that looks like another host, and then to nowhere, is told as that", async () => {
    await serve((response, { url }) =>
      url === "//" && server?.seen.length === 2
        ? response.writeHead(200, { "content-type": "application/json" }).end(result)
        : response
            .writeHead(307, { location: url === "//" ? "http://elsewhere/" : `http://${server?.url.host}//` })
            .end(),
    )
    stage.placement.now = lifeAt(new URL("/", server?.url))
    expect(await (await post(stage, message("ping"), { target: "open" })).text()).toBe(result)
    const { error } = (await (await post(stage, message("ping"), { target: "open" })).json()) as {
      error: { data: object }
    }
    expect(error.data).toMatchObject({ code: "UpstreamInvalid", upstream_status: 307 })
    expect(paths()).toEqual(["/", "//", "//"])
  })
  test("is asked for again after a restart of the server", async () => {
    const { url } = await redirecting(() => "/mcp/")
    await post(stage, message("ping"), { target: "open" })
    stage.placement.now = lifeAt(url, "pod-2.0")
    expect((await post(stage, message("ping"), { target: "open" })).status).toBe(200)
    expect(paths()).toEqual(["/mcp", "/mcp/", "/mcp", "/mcp/"])
  })
  test.each<[string, string, number]>([
    ["another host", "http://169.254.169.254/latest", 307],
    ["another port", "http://127.0.0.1:1/mcp/", 308],
    ["another way of asking", "/mcp/", 302],
    ["another scheme", "ftp://127.0.0.1/mcp/", 307],
    ["itself", "/mcp", 307],
    ["a second redirect", "/elsewhere", 307],
    ["no place", "http://[", 308],
  ])("to %s is an error that names the place and the path", async (_name, location, status) => {
    await serve((response) => response.writeHead(status, { location }).end())
    const response = await post(stage, message("ping"), { target: "open" })
    const { id, error } = (await response.json()) as { id: number; error: { message: string; data: object } }
    expect(id).toBe(1)
    // what somebody else's server was sent may be in what it says
    if (isServedByPods()) expect(error.message).toContain(`redirects to '${location}'`)
    else expect(error.message).not.toContain(location)
    expect(error.message).toContain(isServedByPods() ? "set the target's path" : "set remote.url")
    expect(error.data).toMatchObject({ code: "UpstreamInvalid", upstream_status: status })
  })
})

describe("a server that redirects to a login", () => {
  test.each([
    ["/login?token=S3CRET", "/login"],
    ["/login#token=S3CRET", "/login"],
    ["https://user:S3CRET@login.example/a@b?x=y", "https://login.example/a@b"],
    ["//S3CRET@login.example", "//login.example"],
  ])("to %s has what is secret in it told to nobody, and to no log", async (location, told) => {
    await serve((response) => response.writeHead(302, { location }).end())
    const text = await (await post(stage, message("ping"), { target: "open" })).text()
    expect(text).toContain(isServedByPods() ? `redirects to '${told}'` : "redirects (302)")
    await expect.poll(() => stage.lines.some(({ fields }) => fields?.code === "UpstreamInvalid")).toBe(true)
    expect(text + JSON.stringify(stage.lines)).not.toContain("S3CRET")
  })
})

// somebody else's server is called by the name in its URL
const describePods = isServedByPods() ? describe : () => {}
describePods("a server that checks Host", () => {
  test("gets the address that is asked, or what the target says, also when its session is opened again", async () => {
    const { url } = await serve((response, { body }) => {
      const { id, method } = JSON.parse(body)
      const answer = { jsonrpc: "2.0", id, result: { protocolVersion: "2025-11-25", capabilities: {} } }
      response.writeHead(id === undefined ? 202 : 200, {
        "content-type": "application/json",
        ...(method === "initialize" ? { "mcp-session-id": "s" } : {}),
      })
      response.end(id === undefined ? "" : JSON.stringify(answer))
    })
    stage.addTarget("picky", { hostHeader: "localhost:8080", statefulness: "stateless" })
    await post(stage, message("ping"), { target: "open" })
    const opened = await post(stage, initialize, { target: "picky" })
    stage.placement.now = lifeAt(url, "pod-2.0")
    const headers = { "mcp-session-id": opened.headers.get("mcp-session-id") ?? "" }
    expect((await post(stage, message("ping"), { target: "picky", headers })).status).toBe(200)
    const seen = server?.seen.map(({ headers: { host }, body }) => [JSON.parse(body).method, host])
    expect(seen).toEqual([
      ["ping", url.host],
      ["initialize", "localhost:8080"],
      ["initialize", "localhost:8080"],
      ["notifications/initialized", "localhost:8080"],
      ["ping", "localhost:8080"],
    ])
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

describe("a server that breaks off", () => {
  const heads: Readonly<Record<string, string>> = {
    "two lengths": "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nokk",
    "a length and chunks":
      "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "another protocol": "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "no status": "HTTP/1.1 099 X\r\ncontent-length: 0\r\n\r\n",
    "a status that is too large": "HTTP/1.1 999 X\r\ncontent-length: 0\r\n\r\n",
    "no HTTP": "SSH-2.0-OpenSSH_9.2\r\n",
  }
  const codeOf = async (method: string) => {
    const response = await post(stage, message(method, { name: "pay" }), { target: "open" })
    const { error } = (await response.json()) as { error: { data: { code: string; retryable: boolean } } }
    return [error.data.code, error.data.retryable]
  }
  test.each(Object.keys(heads))("with %s is told as one whose answer is no HTTP", async (name) => {
    await serve((response) => response.socket?.end(heads[name] ?? ""))
    expect(await codeOf("tools/call")).toEqual(["UpstreamInvalid", false])
  })
  test("before it answers a call may have made it, so nobody is told to ask again; a list may be asked for", async () => {
    await serve((response) => response.socket?.destroy())
    expect(await codeOf("tools/call")).toEqual(["UpstreamInterrupted", false])
    expect(await codeOf("tools/list")).toEqual(["UpstreamUnreachable", true])
    expect(server?.seen.filter(({ body }) => body.includes("tools/call"))).toHaveLength(1)
  })
  test("and tells a length for a status without a body does not disturb what follows", async () => {
    await serve((response, { body }) =>
      body.includes('"method":"ping"')
        ? response.writeHead(200, { "content-type": "application/json" }).end(result)
        : response.socket?.write("HTTP/1.1 204 No Content\r\ncontent-length: 50\r\n\r\n"),
    )
    const none = await post(stage, message("tools/list"), { target: "open" })
    if (isServedByPods()) expect([none.status, none.headers.get("content-length")]).toEqual([204, null])
    // somebody else's 204 answers no request
    else expect(await none.json()).toMatchObject({ error: { data: { code: "UpstreamInvalid" } } })
    expect(await (await post(stage, message("ping"), { target: "open" })).text()).toBe(result)
  })
  test("behind a tool policy in the middle of a JSON body is told so, since nothing went out yet", async () => {
    await serve((response) => {
      response.writeHead(200, { "content-type": "application/json" }).write('{"jsonrpc":"2.0",')
      setTimeout(() => response.destroy(), 50)
    })
    for (const [method, code] of [
      ["tools/call", "UpstreamInterrupted"],
      ["tools/list", "UpstreamUnreachable"],
    ] as const) {
      const response = await post(stage, message(method, { name: "pay" }), { target: "narrow" })
      expect(await response.json()).toMatchObject({ id: 1, error: { data: { code, phase: "body" } } })
    }
  })
  test.each(targets)(
    "a stream after its answer ends it in order, and says nothing more of the call (%s)",
    async (target) => {
      const progress = 'data: {"jsonrpc":"2.0","method":"notifications/progress","params":{}}\n\n'
      for (const after of ["", ": ping\n\n", progress, ": pi"]) {
        await serve((response) => {
          response
            .writeHead(200, { "content-type": "text/event-stream" })
            .write(`${progress}event: message\ndata: ${result}\n\n`)
          setTimeout(() => response.write(after), 20)
          setTimeout(() => response.destroy(), 50)
        })
        const text = await (await post(stage, message("tools/call", { name: "pay" }), { target })).text()
        expect(text).toContain(result)
        expect(text).not.toContain("error")
        await server?.close()
      }
    },
  )
  test("a stream of a request of its own, or of another's answer, has not answered", async () => {
    await serve((response) => {
      response.writeHead(200, { "content-type": "text/event-stream" })
      response.write('data: {"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{"result":1}}\n\n')
      response.write('event: note\ndata: {"jsonrpc":"2.0","id":1,"result":{}}\n\n')
      response.write('data: {"jsonrpc":"2.0","id":2,"result":{}}\n\n')
      setTimeout(() => response.destroy(), 20)
    })
    const text = await (await post(stage, message("tools/call", { name: "pay" }), { target: "open" })).text()
    expect(text).toContain("UpstreamInterrupted")
  })
  test.each(targets)("a stream in order before it has answered is told so (%s)", async (target) => {
    for (const sent of [
      "",
      ": ping\n\n",
      'data: {"jsonrpc":"2.0","method":"notifications/progress"}\n\n',
      `data: ${result}`,
    ]) {
      await serve((response) => response.writeHead(200, { "content-type": "text/event-stream" }).end(sent))
      const text = await (await post(stage, message("tools/call", { name: "pay" }), { target })).text()
      const events = text.split("\n\n").filter((event) => /^(?:event: message\n)?data: /.test(event))
      expect(JSON.parse(events.at(-1)?.split("data: ")[1] ?? "")).toMatchObject({
        id: 1,
        error: { data: { code: "UpstreamInterrupted" } },
      })
      await server?.close()
    }
  })
  test.each([
    ["with an id, from which its client goes on", "id: 1\ndata:\n\n"],
    ["with an answer that is long", `data: {"jsonrpc":"2.0","id":1,"result":{"text":"${"x".repeat(200_000)}"}}\n\n`],
    ["with an answer whose id is a text", 'data: {"jsonrpc":"2.0","id":"1","result":{}}\n\n'],
    ["with an error without an id", 'data: {"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"no"}}\n\n'],
  ])("a stream in order %s is passed as it is", async (_name, sent) => {
    await serve((response) => response.writeHead(200, { "content-type": "text/event-stream" }).end(sent))
    const text = await (await post(stage, message("tools/call", { name: "pay" }), { target: "open" })).text()
    expect(text).toBe(sent)
  })
  test("to become another protocol nobody asked for is told as one whose answer is no HTTP", async () => {
    await serve((response) =>
      response.socket?.write("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
    )
    expect(await codeOf("tools/call")).toEqual(["UpstreamInvalid", false])
  })
})

describe("a server that says a header twice", () => {
  const answerWith = (headers: Record<string, string | string[]>) =>
    serve((response) => response.writeHead(200, { "content-type": "application/json", ...headers }).end(result))
  test.each(targets)("is understood where it says one thing (%s)", async (target) => {
    await answerWith({ "content-encoding": ["identity", "identity"], "mcp-session-id": ["s", "s"] })
    const opened = await post(stage, initialize, { target })
    expect([opened.status, await opened.text()]).toEqual([200, result])
    const headers = { "mcp-session-id": opened.headers.get("mcp-session-id") ?? "" }
    await post(stage, message("ping"), { target, headers })
    expect(server?.seen.at(-1)?.headers["mcp-session-id"]).toBe("s")
  })
  test("keeps its codings", async () => {
    await answerWith({ "content-encoding": ["a", "b"] })
    // no client here knows these codings
    const response = await post(stage, message("ping"), { target: "open" })
    expect(response.headers.get("content-encoding")).toBe("a, b")
    await response.body?.cancel().catch(() => {})
  })
  test.each([
    ["mcp-session-id", ["a", "b"]],
    ["content-type", ["application/json", "text/event-stream"]],
    ["location", ["/a", "/b"]],
  ])("is told so where it says two things: %s", async (name, values) => {
    await answerWith({ [name]: values })
    const response = await post(stage, initialize, { target: "open" })
    expect(await response.json()).toMatchObject({
      error: { message: expect.stringContaining(name), data: { code: "UpstreamInvalid" } },
    })
  })
})

describe("a server that keeps its callers waiting", () => {
  test("with 1xx answers gets no more time for them", async () => {
    await stage.close()
    stage = await startStage({ requestTimeoutMs: 300 })
    let beat: NodeJS.Timeout | undefined
    await serve((response) => {
      beat = setInterval(() => response.writeProcessing(), 50)
      response.on("close", () => clearInterval(beat))
    })
    const response = await post(stage, message("tools/call", { name: "slow" }))
    expect(await response.json()).toMatchObject({ id: 1, error: { data: { code: "UpstreamTimeout" } } })
  })
  test("with the body of a redirect is asked where it redirects to nevertheless", async () => {
    await serve((response, { url }) => {
      if (url === "/mcp/") return response.writeHead(200, { "content-type": "application/json" }).end(result)
      return response.writeHead(307, { location: "/mcp/", "content-length": 1_000 }).write("x")
    })
    expect(await (await post(stage, message("ping"), { target: "open" })).text()).toBe(result)
  })
  test("with a body that nobody wants keeps no call open", async () => {
    await serve((response) => response.writeHead(202, { "content-length": 1_000 }).write("x"))
    expect((await post(stage, notice, { target: "open" })).status).toBe(202)
    await expect.poll(() => stage.placement.calls, { timeout: 3_000 }).toBe(0)
  })
})
