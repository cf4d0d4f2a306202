import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { json } from "node:stream/consumers"
import { expect, onTestFinished, test } from "vitest"
import { handshake, type Send } from "../../../src/mcp/client.ts"

type Asked = { readonly verb: string; readonly method: string; readonly session: string | undefined }
// biome-ignore lint/suspicious/noExplicitAny: the test's own servers read what they are sent
type Reply = (message: any, response: ServerResponse) => void

/** A server that answers each POST by `reply`; resolves with where it is and what it was asked. */
const serve = async (reply: Reply) => {
  const asked: Asked[] = []
  const server = createServer(async (request: IncomingMessage, response) => {
    const { method: verb = "", headers } = request
    const session = headers["mcp-session-id"]?.toString()
    const message = verb === "POST" ? Object(await json(request)) : {}
    asked.push({ verb, method: message.method ?? "", session })
    if (verb !== "POST") response.end()
    else if (message.id === undefined) response.writeHead(202).end()
    else reply(message, response)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  onTestFinished(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return { url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`), asked }
}

/** Asks a server directly. */
const at =
  (url: URL): Send =>
  ({ verb, headers, body, signal }) =>
    fetch(url, { method: verb, redirect: "manual", headers, signal, ...(body && { body: new Uint8Array(body) }) })

const patience = () => AbortSignal.timeout(10_000)
const codeOf = (promise: Promise<unknown>) => promise.catch((error: unknown) => Object(error).code)

test("a legacy server is opened, asked for all pages of its tools, and its session is ended", async () => {
  const { url, asked } = await serve(({ id, method, params }, response) => {
    const say = (result: object, headers = {}) => {
      response.writeHead(200, { "content-type": "text/event-stream", ...headers })
      const text = `: hello\r\n\r\ndata: {"jsonrpc":"2.0","method":"notifications/message"}\n\ndata: ${JSON.stringify({ jsonrpc: "2.0", id, result })}\n\n`
      // cut in the middle of an event, and left open as a slow server would
      response.write(text.slice(0, 70), () => response.write(text.slice(70)))
    }
    if (method === "initialize")
      say({ protocolVersion: "2025-06-18", serverInfo: { name: "s", version: "1" } }, { "mcp-session-id": "abc" })
    else if (method === "tools/list")
      say(params.cursor === "2" ? { tools: [{ name: "b" }] } : { tools: [{ name: "a" }], nextCursor: "2" })
    else
      response.writeHead(400, { "content-type": "application/json" }).end(`{"jsonrpc":"2.0","error":{"code":-32000}}`)
  })
  expect(await handshake(at(url), patience())).toEqual({
    era: "legacy",
    protocolVersion: "2025-06-18",
    server: { name: "s", version: "1" },
    tools: ["a", "b"],
  })
  const session = "abc"
  expect(asked).toEqual([
    { verb: "POST", method: "server/discover", session: undefined },
    { verb: "POST", method: "initialize", session: undefined },
    { verb: "POST", method: "notifications/initialized", session },
    { verb: "POST", method: "tools/list", session },
    { verb: "POST", method: "tools/list", session },
    { verb: "DELETE", method: "", session },
  ])
})

/** A legacy server with one session and no tools, whose answers to initialize have this status and result. */
const legacy = (status: number, result: object): Reply => {
  const headers = { "content-type": "application/json", "mcp-session-id": "abc" }
  return ({ id, method }, response) => {
    if (method === "server/discover") return void response.writeHead(400).end()
    const answer = method === "initialize" ? { id: String(id), result, error: null } : { id, result: { tools: [] } }
    response.writeHead(status, headers).end(JSON.stringify({ jsonrpc: "2.0", ...answer }))
  }
}

test("a server may create its session with 201, answer with the id as text, and with an error that is null", async () => {
  const { url } = await serve(legacy(201, { protocolVersion: "2025-06-18" }))
  expect(await handshake(at(url), patience())).toEqual({ era: "legacy", protocolVersion: "2025-06-18", tools: [] })
})

test("a session that was opened is ended if the server names no version, and if it breaks at the notification", async () => {
  const unnamed = await serve(legacy(200, { protocolVersion: 3 }))
  const error = await handshake(at(unnamed.url), patience()).catch((each: unknown) => each)
  expect(error).toMatchObject({ code: "UpstreamInvalid", data: { status: 200 } })
  expect(unnamed.asked.map(({ verb, method }) => method || verb)).toEqual(["server/discover", "initialize", "DELETE"])
  const broken = await serve(legacy(200, { protocolVersion: "2025-06-18" }))
  const send: Send = (request) =>
    request.body?.includes("notifications/") ? Promise.reject(new Error("broken off")) : at(broken.url)(request)
  expect(await codeOf(handshake(send, patience()))).toBe("UpstreamUnreachable")
  expect(broken.asked.map(({ verb, method }) => method || verb)).toEqual(["server/discover", "initialize", "DELETE"])
})

test("a server without tools has none", async () => {
  const { url } = await serve(({ id, method }, response) => {
    const answer =
      method === "server/discover"
        ? { result: { supportedVersions: ["2026-07-28"] } }
        : { error: { code: -32601, message: "no such method" } }
    response
      .writeHead(200, { "content-type": "application/json" })
      .end(JSON.stringify({ jsonrpc: "2.0", id, ...answer }))
  })
  expect(await handshake(at(url), patience())).toEqual({ era: "modern", protocolVersion: "2026-07-28", tools: [] })
})

test("a server that wants a login, talks nonsense, is silent or is not there is each told apart", async () => {
  const login = await serve((_, response) => response.writeHead(401).end())
  expect(await codeOf(handshake(at(login.url), patience()))).toBe("UpstreamUnauthorized")
  const nonsense = await serve((_, response) => response.writeHead(200).end("canary"))
  const error = await handshake(at(nonsense.url), patience()).catch((each: unknown) => each)
  expect(Object(error).code).toBe("UpstreamInvalid")
  expect(String(Object(error).message)).not.toContain("canary")
  expect(Object(error).data).toEqual({ status: 200, said: "canary" })
  const picky = await serve((_, response) => response.writeHead(421).end("Invalid Host header"))
  await expect(handshake(at(picky.url), patience())).rejects.toMatchObject({
    message: expect.stringMatching(/421.*host_header/),
    data: { status: 421, said: "Invalid Host header" },
  })
  const endless = await serve((_, response) => response.writeHead(200).end("x".repeat(5 * 2 ** 20)))
  expect(await codeOf(handshake(at(endless.url), patience()))).toBe("UpstreamInvalid")
  const elsewhere = await serve((_, response) => response.writeHead(307, { location: "http://127.0.0.1:1/" }).end())
  expect(await codeOf(handshake(at(elsewhere.url), patience()))).toBe("UpstreamInvalid")
  const silent = await serve(() => {})
  const stop = new AbortController()
  const waiting = codeOf(handshake(at(silent.url), stop.signal))
  await expect.poll(() => silent.asked.length).toBe(1)
  stop.abort()
  expect(await waiting).toBe("UpstreamTimeout")
  expect(await codeOf(handshake(at(new URL("http://127.0.0.1:1/mcp")), patience()))).toBe("UpstreamUnreachable")
})
