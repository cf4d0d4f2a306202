import { once } from "node:events"
import type { Server, ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { createMcpExpressApp } from "@modelcontextprotocol/sdk/server/express.js"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { isServedByPods } from "../support/serving.ts"
import {
  type FakeServer,
  gate,
  lifeAt,
  message,
  modernCall,
  post,
  type Stage,
  startServer,
  startStage,
} from "./gateway-stage.ts"

let stage: Stage
let server: FakeServer | undefined

beforeEach(async () => {
  stage = await startStage()
  stage.addTarget("demo", { tools: { deny: ["hidden*"] } })
})
afterEach(async () => {
  await stage.close()
  await server?.close()
  server = undefined
})

const serve = async (handler: (response: ServerResponse) => unknown): Promise<FakeServer> => {
  server = await startServer((_, response) => handler(response))
  stage.placement.now = lifeAt(server.url)
  return server
}

const shown = '{ "name":"shown", "max":12345678901234567890, "x":1, "x":2 }'
const list = (tools: string, scope = "private") =>
  `{"jsonrpc":"2.0", "id":1,"result":{"tools":[${tools}],"cacheScope":"${scope}","big":9007199254740993}}`
const whole = list(`${shown}, {"name":"hidden"}`, "public")
const cut = list(shown)
const untyped: [string, undefined, string, string] = ["a body without a type", undefined, whole, cut]

describe("a list of tools", () => {
  test.each<[string, string | undefined, string, string]>([
    ["a JSON body of known length", "application/json", whole, cut],
    ["a JSON body that comes message by message", "application/json", `${whole}\n${whole}\n`, `${cut}\n${cut}\n`],
    ["a batch", "application/json; charset=utf-8", `[${whole},{}]`, `[${cut},{}]`],
    // somebody else's server must say what it sends
    ...(isServedByPods() ? [untyped] : []),
    ["an event stream", "text/event-stream", `: x\n\nid: 1\ndata: ${whole}\n\n`, `id: 1\ndata: ${cut}\n\n`],
    ["an event stream in another case", "Text/Event-Stream", `data: ${whole}\r\n\r\n`, `data: ${cut}\n\n`],
  ])(
    "loses what is hidden, and nothing else, in %s; its length is no longer told",
    async (_name, type, body, expected) => {
      await serve((response) => {
        response.writeHead(200, { "content-length": Buffer.byteLength(body), ...(type && { "content-type": type }) })
        response.end(body)
      })
      const response = await post(stage, message("tools/list"))
      expect(response.headers.get("content-length")).toBeNull()
      expect(await response.text()).toBe(expected)
    },
  )

  test("loses what is hidden when it comes in pieces of one byte", async () => {
    await serve(async (response) => {
      response.writeHead(200, { "content-type": "text/event-stream" })
      for (const byte of Buffer.from(`data: ${whole}\n\n`)) {
        response.write(Buffer.of(byte))
        await new Promise(setImmediate)
      }
      response.end()
    })
    expect(await (await post(stage, message("tools/list"))).text()).toBe(`data: ${cut}\n\n`)
  })

  test.each(["GET", "POST"] as const)("loses what is hidden on a stream that a %s opens or resumes", async (verb) => {
    const { seen } = await serve((response) => {
      response.writeHead(200, { "content-type": "text/event-stream" })
      response.end(`id: 2\ndata: ${whole}\n\n`)
    })
    const response = await post(stage, message("ping"), { verb, headers: { "last-event-id": "1" } })
    expect(await response.text()).toBe(`id: 2\ndata: ${cut}\n\n`)
    expect(seen[0]?.headers["last-event-id"]).toBe("1")
  })

  test.each([400, 404, 500])("loses what is hidden in an answer of status %i too", async (status) => {
    await serve((response) => response.writeHead(status, { "content-type": "application/json" }).end(whole))
    const text = await (await post(stage, message("tools/list"))).text()
    if (isServedByPods()) expect(text).toBe(cut)
    else expect(text).toContain("UpstreamInvalid")
    expect(text).not.toContain("hidden")
  })
})

describe("an answer that cannot be read", () => {
  test.each([
    ["no JSON", "application/json", "<html>"],
    ["JSON with a byte order mark", "application/json", `\ufeff${whole}`],
    ["a half message", "application/json", whole.slice(0, -1)],
    ["no JSON in an event", "text/event-stream", `data: x${whole}\n\n`],
  ])("ends the request: %s", async (_name, type, body) => {
    await serve((response) => response.writeHead(200, { "content-type": type }).end(body))
    const answer = await (await post(stage, message("tools/list"))).text()
    expect(answer).toContain("UpstreamInvalid")
    expect(answer).not.toContain("hidden")
  })

  test("ends a stream that has begun with an error of the request's id", async () => {
    const progress = 'data: {"jsonrpc":"2.0","method":"notifications/message","params":{}}\n\n'
    const begun = gate()
    await serve(async (response) => {
      response.writeHead(200, { "content-type": "text/event-stream" })
      response.write(progress)
      await begun.promise
      response.write(`data: {"x":\n\ndata: ${whole}\n\n`)
    })
    const response = await post(stage, message("tools/list"))
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
    expect((await reader?.read())?.value).toBe(progress)
    begun.resolve()
    const last = (await reader?.read())?.value ?? ""
    expect(JSON.parse(last.split("data: ")[1] ?? "")).toMatchObject({
      id: 1,
      error: { data: { code: "UpstreamInvalid" } },
    })
    expect((await reader?.read())?.done).toBe(true)
    expect(stage.lines.some((line) => line.message.includes("tool policy"))).toBe(true)
  })

  test("ends the request where it is compressed", async () => {
    await serve((response) => response.writeHead(200, { "content-encoding": "gzip" }).end(whole))
    const response = await post(stage, message("tools/list"))
    expect(response.status).toBe(200)
    expect(await response.text()).toContain("UpstreamInvalid")
  })
})

describe("an answer of known length", () => {
  const answer = (member: string) => `{"jsonrpc":"2.0","id":1,"result":{${member}}}`
  const long = `"content":[{"type":"text","text":"${"x".repeat(100_000)}"}]`
  const asJson = (response: ServerResponse, body: string): ServerResponse =>
    response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) })

  test("that names no tools keeps its length", async () => {
    const body = answer('"content":[{"type":"text","text":"hello"}]')
    await serve((response) => asJson(response, body).end(body))
    const response = await post(stage, message("tools/list"))
    expect(response.headers.get("content-length")).toBe(String(body.length))
    expect(await response.text()).toBe(body)
  })

  test("goes on to the client while it names no tools, and loses hidden ones that come later", async () => {
    const body = answer(`${long},"tools":[{"name":"shown"},{"name":"hidden"}]`)
    const rest = gate()
    await serve(async (response) => {
      asJson(response, body).write(body.slice(0, 50_000))
      await rest.promise
      response.end(body.slice(50_000))
    })
    const reader = (await post(stage, message("tools/list"))).body?.getReader()
    const first = await reader?.read()
    expect(first?.value?.length).toBeGreaterThan(0)
    rest.resolve()
    let text = Buffer.from(first?.value ?? []).toString()
    for (let next = await reader?.read(); next?.value !== undefined; next = await reader?.read())
      text += Buffer.from(next.value).toString()
    expect(text === answer(`${long},"tools":[{"name":"shown"}]`)).toBe(true)
  })
})

test("messages that list no tools pass in both directions as they are, byte by byte", async () => {
  const answer = '{"id":1 ,"jsonrpc":"2.0","result":{"a":12345678901234567890,"a":1e400,"unknown":"\\u0041"}}\n'
  const { seen } = await serve((response) =>
    response.writeHead(200, { "content-type": "application/json" }).end(answer),
  )
  const asked =
    '{"id":98765432109876543210,"jsonrpc":"2.0", "method":"tools/call","unknown":[1.0],"params":{"name":"shown","arguments":{"n":1.50,"n":2}}}'
  expect(await (await post(stage, asked)).text()).toBe(answer)
  expect(seen[0]?.body).toBe(asked)
})

const versionKey = "io.modelcontextprotocol/protocolVersion"
const call = (params: string, more = "") => `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{${params}}${more}}`
const unknown = [200, -32602] as const
const ambiguous = [400, -32600] as const
const malformed = [400, -32700] as const

describe("a hidden tool is not called", () => {
  test.each([
    ["plainly", call('"name":"hidden"'), unknown],
    ["with escapes in its name", call('"name":"h\\u0069dden"'), unknown],
    ["with a name that others end at NUL", call('"name":"hidden\\u0000"'), unknown],
    ["with half a surrogate pair in its name", call('"name":"\\ud800hidden"'), unknown],
    ["in a batch", `[${call('"name":"shown"')},${call('"name":"hidden"')}]`, unknown],
    ["by the second of two names", call('"name":"shown","name":"hidden"'), ambiguous],
    ["by the first of two names", call('"name":"hidden","name":"shown"'), ambiguous],
    ["by the second of two params", call('"name":"shown"', ',"params":{"name":"hidden"}'), ambiguous],
    ["by a method that follows another", call('"name":"hidden"').replace("{", '{"method":"ping",'), ambiguous],
    ["by a name in another case", call('"name":"shown","Name":"hidden"'), ambiguous],
    ["by an escaped name", call('"name":"shown","\\u006eame":"hidden"'), ambiguous],
    ["by a name with NUL", call('"name":"shown","name\\u0000":"hidden"'), ambiguous],
    ["by a name cut off at NUL", call('"name":"shown","name\\u0000x":"hidden"'), ambiguous],
    ["by params with a long s", call('"name":"shown"', ',"param\u017f":{"name":"hidden"}'), ambiguous],
    ["by a dotless i", call('"name":"shown","ur\u0131":"hidden"'), ambiguous],
    ["by the Kelvin sign", call('"name":"shown","tas\u212aId":"hidden"'), ambiguous],
    ["by what a copy inherits", '{"jsonrpc":"2.0","id":7,"result":{},"__proto__":{"method":"tools/call"}}', ambiguous],
    ["after a byte order mark", `\ufeff${call('"name":"hidden"')}`, malformed],
    ["with a comma too many", call('"name":"shown",'), malformed],
    ["in a second message", `${call('"name":"shown"')}\n${call('"name":"hidden"')}`, malformed],
    ["with an array for params", '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":["hidden"]}', [400, -32602]],
    ["by a name that is no text", call('"name":["hidden"]'), [400, -32602]],
  ] as const)("%s", async (_name, body, [status, code]) => {
    const { seen } = await serve((response) => response.end("{}"))
    const response = await post(stage, body)
    expect(response.status).toBe(status)
    expect(await response.json()).toMatchObject({ error: { code } })
    expect(seen).toEqual([])
    expect(stage.placement.requests).toEqual([])
  })

  test.each([
    ["an overlong quote", [0xc0, 0xa2]],
    ["an encoded surrogate", [0xed, 0xa0, 0x80]],
    ["half a character", [0xe2, 0x82]],
    ["a byte that is none", [0xff]],
    ["a code point that is none", [0xf4, 0x90, 0x80, 0x80]],
  ])("in a body with %s", async (_name, bytes) => {
    const { seen } = await serve((response) => response.end("{}"))
    const [before = "", after = ""] = call('"name":"shown","arguments":{"a":"@"}').split("@")
    const response = await fetch(`${stage.url}/mcp/demo`, {
      method: "POST",
      headers: { authorization: "Bearer token-of-alice", "content-type": "application/json" },
      body: Buffer.concat([Buffer.from(before), Buffer.from(bytes), Buffer.from(after)]),
    })
    expect(await response.json()).toMatchObject({ error: { code: -32700 } })
    expect(seen).toEqual([])
  })

  const base64 = (text: string) => `=?base64?${Buffer.from(text).toString("base64")}?=`
  test.each([
    ["the same name", { "mcp-name": "hidden" }, -32602],
    ["the same name in base64", { "mcp-name": base64("hidden") }, -32602],
    ["an allowed name", { "mcp-name": "shown" }, -32020],
    ["an allowed name in base64", { "mcp-name": base64("shown") }, -32020],
    ["broken base64", { "mcp-name": "=?base64?!?=" }, -32020],
    ["another method", { "mcp-name": "hidden", "mcp-method": "ping" }, -32020],
    ["another version", { "mcp-name": "hidden", "mcp-protocol-version": "2025-11-25" }, -32020],
    ["no name", {}, -32020],
  ])("by a modern request whose headers have %s", async (_name, headers: Record<string, string>, code) => {
    const { seen } = await serve((response) => response.end("{}"))
    const modern = modernCall("hidden")
    const { "mcp-name": _, ...rest } = modern.headers
    const response = await post(stage, modern.body, { headers: { ...rest, ...headers } })
    expect(await response.json()).toMatchObject({ id: 1, error: { code } })
    expect(seen).toEqual([])
  })

  test.each([
    { "mcp-name": "shown" },
    { "mcp-name": base64("shown"), "mcp-method": "ping" },
    { "mcp-protocol-version": "2025-11-25", "mcp-method": "tools/call", "mcp-name": "shown" },
  ])("by a legacy request with the headers %j", async (headers) => {
    const { seen } = await serve((response) => response.end("{}"))
    const response = await post(stage, call('"name":"hidden"'), { headers: headers as Record<string, string> })
    expect(await response.json()).toMatchObject({
      id: 7,
      error: { code: -32602, message: expect.stringContaining("Unknown tool: hidden.") },
    })
    expect(seen).toEqual([])
  })

  test("by a version that is there twice, so that another era's rules would hold", async () => {
    const meta = `"_meta":{"${versionKey}":"2026-07-28","${versionKey}":"2025-11-25"}`
    const response = await post(stage, call(`"name":"shown",${meta}`))
    expect(await response.json()).toMatchObject({ id: 7, error: { code: -32600 } })
  })
})

test("a hidden tool is not called in UTF-7, which Express servers read if the client says so", async () => {
  const app = createMcpExpressApp()
  const called: unknown[] = []
  app.post("/mcp", (request: { body: { params: { name: unknown } } }, response: { json(value: unknown): void }) => {
    called.push(request.body.params.name)
    response.json({})
  })
  const express: Server = app.listen(0, "127.0.0.1")
  await once(express, "listening")
  const url = new URL(`http://127.0.0.1:${(express.address() as AddressInfo).port}/mcp`)
  stage.placement.now = lifeAt(url)
  const body = call(
    '"name":"shown","arguments":{"a":"+ACIAfQAs-+ACI-name+ACI-:+ACI-hidden+ACIALAAi-b+ACIAOgB7ACI-c+ACI-:+ACI-"}',
  )
  const headers = { "content-type": "application/json; charset=utf-7" }
  // the body is one call to the policy and another one to the server
  expect(JSON.parse(body).params.name).toBe("shown")
  await fetch(url, { method: "POST", headers, body })
  expect(called).toEqual(["hidden"])
  expect((await post(stage, body, { headers })).status).toBe(415)
  expect((await post(stage, body)).status).toBe(200)
  expect(called).toEqual(["hidden", "shown"])
  express.closeAllConnections()
  express.close()
})
