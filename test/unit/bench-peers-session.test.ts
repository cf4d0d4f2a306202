import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { json } from "node:stream/consumers"
import { expect, onTestFinished, test } from "vitest"
import { echoIn, findEcho, openSession, resultIn } from "../../bench/peers/session.ts"

test("a result is found in JSON, and in an event stream between other events", () => {
  const answer = '{"jsonrpc":"2.0","id":2,"result":{"a":1}}'
  const other = '{"jsonrpc":"2.0","method":"notifications/message"}'
  expect(resultIn(answer, 2)).toEqual({ a: 1 })
  expect(resultIn(`id: 1\ndata: \n\nevent: message\ndata: ${other}\n\ndata: ${answer}\n\n`, 2)).toEqual({ a: 1 })
})

test.each([
  ["of another request", '{"jsonrpc":"2.0","id":3,"result":{}}'],
  ["an error", '{"jsonrpc":"2.0","id":2,"error":{"code":-32603,"message":"no"}}'],
  ["no JSON", "<html>"],
])("an answer is no result: %s", (_name, text) => {
  expect(() => resultIn(text, 2)).toThrow("it has no result")
})

test.each([
  ["as the server names it", "echo"],
  ["with a prefix", "bench_echo"],
  ["with a prefix and a hyphen", "bench-echo"],
])("the tool echo is found %s", (_name, name) => {
  expect(findEcho({ tools: [{ name: "no_echo_here" }, null, { name: "reecho" }, { name }] })).toBe(name)
})

test("a list without the tool echo is refused", () => {
  expect(() => findEcho({ tools: [{ name: "reecho" }] })).toThrow("no echo")
  expect(() => findEcho({})).toThrow("no echo")
})

const resultOf = (content: unknown) => JSON.stringify({ jsonrpc: "2.0", id: 2, result: { content } })

test("the echo is found as the answer writes it", () => {
  expect(echoIn(resultOf([{ type: "text", text: "abc" }]), 2, "abc")).toBe('"text":"abc"')
  const loose = '{"jsonrpc": "2.0", "id": 2, "result": {"content": [{"text": "abc", "type": "text"}]}}'
  expect(echoIn(loose, 2, "abc")).toBe('"text": "abc"')
})

test.each([
  ["another text", [{ type: "text", text: "cached" }]],
  [
    "more than the echo",
    [
      { type: "text", text: "abc" },
      { type: "text", text: "more" },
    ],
  ],
  ["nothing", []],
])("an answer is not the echo: %s", (_name, content) => {
  expect(() => echoIn(resultOf(content), 2, "abc")).toThrow("it is not the echo")
})

type Message = {
  readonly id?: number
  readonly method: string
  readonly params: { readonly arguments: { message: string } }
}

/** A server of MCP whose tool answers as told. */
const serve = async (echo: (message: string) => string) => {
  const seen: [string, string | undefined][] = []
  const server = createServer(async (request, response) => {
    const { id, method, params } = (await json(request)) as Message
    seen.push([method, request.headers["mcp-session-id"]?.toString()])
    if (id === undefined) return void response.writeHead(202).end()
    const results: Readonly<Record<string, () => object>> = {
      initialize: () => ({ protocolVersion: "2025-11-25" }),
      "tools/list": () => ({ tools: [{ name: "x.echo" }] }),
      "tools/call": () => ({ content: [{ type: "text", text: echo(params.arguments.message) }] }),
    }
    response.writeHead(200, { "content-type": "application/json", "mcp-session-id": "one" })
    response.end(JSON.stringify({ jsonrpc: "2.0", id, result: results[method]?.() }))
  }).listen(0, "127.0.0.1")
  onTestFinished(() => void server.close())
  await new Promise((resolve) => server.once("listening", resolve))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`, seen }
}

const signal = AbortSignal.timeout(10_000)

test("a session is opened as the protocol wants it, and the load repeats its call", async () => {
  const { url, seen } = await serve((message) => message)
  const call = await openSession({ url, headers: { authorization: "Bearer t" }, signal })
  expect(seen).toEqual([
    ["initialize", undefined],
    ["notifications/initialized", "one"],
    ["tools/list", "one"],
    ["tools/call", "one"],
  ])
  expect(call.headers).toMatchObject({ authorization: "Bearer t", "mcp-session-id": "one" })
  const sent = call.bodies.map((body) => JSON.parse(body))
  expect(sent[0].params).toEqual({ name: "x.echo", arguments: { message: "hello" } })
  expect(new Set(sent.map(({ id }) => id)).size).toBe(64)
  expect(call.contains).toBe('"text":"hello"')
})

test("a peer that answers itself is found out", async () => {
  const { url } = await serve(() => "hello")
  await expect(openSession({ url, headers: {}, signal })).rejects.toThrow("tools/call: it is not the echo")
})
