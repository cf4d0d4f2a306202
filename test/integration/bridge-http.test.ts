import { Agent, request } from "node:http"
import { connect } from "node:net"
import { expect, onTestFinished, test } from "vitest"
import { bridgeOf, open, scripted, textOf } from "../support/bridge.ts"
import { legacyCall } from "../support/legacy.ts"
import { initialize, post } from "../support/reflow.ts"

const ping = { jsonrpc: "2.0", id: 1, method: "ping" }

/** Sends bytes on a connection of its own; resolves with all that comes back until the bridge closes it. */
const raw = (url: string, text: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), "127.0.0.1", () => socket.write(text))
    let answer = ""
    socket.setEncoding("utf8").on("data", (piece: string) => {
      answer += piece
    })
    socket.once("close", () => resolve(answer)).once("error", reject)
    onTestFinished(() => void socket.destroy())
  })

test.for([
  ["/ü", "/ü"],
  ["/a b", "/a%20b"],
  ["/a/../b", "/b"],
  ["//x/./y", "//x/y"],
  ["/%7Ea", "/%7Ea"],
] as const)("the path %s is served where clients look for it", async ([path, asked]) => {
  const bridge = await bridgeOf(scripted(), { path })
  const { host } = new URL(bridge.url)
  expect((await post(`http://${host}${asked}`, undefined, initialize())).status).toBe(200)
  expect((await post(`http://${host}/mcp`, undefined, initialize())).status).toBe(404)
})

test.for([
  ["a page's origin", 403, { headers: { origin: "http://127.0.0.1" } }],
  ["another path", 404, { path: "/mcp/" }],
  ["a query", 404, { path: "/mcp?a=b" }],
  ["a body that is not declared as JSON", 415, { headers: { "content-type": "text/plain" } }],
  ["a compressed body", 415, { headers: { "content-encoding": "gzip" } }],
  ["PUT", 405, { method: "PUT" }],
  ["HEAD", 405, { method: "HEAD", body: null }],
  ["GET without a session", 400, { method: "GET", body: null }],
  ["DELETE of an unknown session", 404, { method: "DELETE", body: null, headers: { "mcp-session-id": "x" } }],
  ["a message of an unknown session", 404, { headers: { "mcp-session-id": "x" } }],
  ["a message before initialize", 400, {}],
  ["a batch with initialize", 400, { body: JSON.stringify([initialize(), ping]) }],
  ["a body that is no JSON", 400, { body: "{" }],
  ["an empty body", 400, { body: "" }],
  ["an empty batch", 400, { body: "[]" }],
  ["a repeated key", 400, { body: '{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}' }],
  [
    "a repeated progress token",
    400,
    { body: '{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"progressToken":1,"progressToken":2}}}' },
  ],
] as const)("%s is refused with %i, and the connection serves on", async ([, status, change]) => {
  const { url } = await bridgeOf(scripted())
  const {
    path = "/mcp",
    method = "POST",
    body = JSON.stringify(ping),
    headers = {},
  } = { headers: {}, ...change } as {
    readonly path?: string
    readonly method?: string
    readonly body?: string | null
    readonly headers?: Readonly<Record<string, string>>
  }
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  onTestFinished(() => agent.destroy())
  const ask = (
    sent: { readonly path: string; readonly method: string; readonly headers: object },
    text: string | null,
  ) =>
    new Promise<{ readonly status: number | undefined; readonly port: number | undefined }>((resolve, reject) => {
      const asked = request(new URL(sent.path, url), { agent, ...sent, headers: { ...sent.headers } }, (response) => {
        const port = response.socket.localPort
        response.resume().once("end", () => resolve({ status: response.statusCode, port }))
      })
      asked.once("error", reject).end(text ?? undefined)
    })
  const json = { "content-type": "application/json" }
  const refused = await ask({ path, method, headers: { ...json, ...headers } }, body)
  expect(refused.status).toBe(status)
  const next = await ask({ path: "/mcp", method: "POST", headers: json }, JSON.stringify(initialize()))
  expect(next).toEqual({ status: 200, port: refused.port })
})

test("a body beyond 16 MiB is refused, declared or not", async () => {
  const { url } = await bridgeOf(scripted())
  const head = "POST /mcp HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
  expect(await raw(url, `${head}content-length: ${16 * 2 ** 20 + 1}\r\n\r\n`)).toMatch(/^HTTP\/1.1 413 /)
  const piece = `100000\r\n${" ".repeat(2 ** 20)}\r\n`
  expect(await raw(url, `${head}transfer-encoding: chunked\r\n\r\n${piece.repeat(17)}`)).toMatch(/^HTTP\/1.1 413 /)
})

test("a head beyond 64 KiB is refused, and one that is no HTTP too", async () => {
  const { url } = await bridgeOf(scripted())
  expect(await raw(url, `GET /mcp HTTP/1.1\r\nx: ${"x".repeat(70_000)}\r\n\r\n`)).toMatch(/^HTTP\/1.1 431 /)
  expect(await raw(url, "what?\r\n\r\n")).toMatch(/^HTTP\/1.1 400 /)
})

test("a client that goes away in the middle of its body changes nothing, and gives its bytes back", async () => {
  const bridge = await bridgeOf(scripted())
  const session = await open(bridge)
  const head = `POST /mcp HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nmcp-session-id: ${session.id}\r\n`
  for (let at = 0; at < 10; at++) {
    const socket = connect(bridge.port, "127.0.0.1")
    await new Promise<void>((resolve) =>
      socket.write(`${head}content-length: 12000000\r\n\r\n${" ".repeat(8_000_000)}`, () => resolve()),
    )
    socket.destroy()
  }
  // with the bytes of the others this one would find no room
  const words = "x".repeat(12_000_000)
  expect(await textOf(session, "echo", { words })).toBe(words)
  expect(bridge.count()).toMatchObject({ processes: 1, sessions: 1 })
})

/** A request as a client writes it that needs no library. */
const written = (session: string, message: unknown): string => {
  const body = JSON.stringify(message)
  return `POST /mcp HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nmcp-session-id: ${session}\r\ncontent-length: ${body.length}\r\n\r\n${body}`
}

test("a request before the answer to the one before it breaks the connection off, and the server does not hear it", async () => {
  const bridge = await bridgeOf(scripted())
  const session = await open(bridge)
  const counts = Array.from({ length: 100 }, (_, id) => written(session.id, legacyCall("count", {}, id)))
  // without an end in sight the first one would keep all other answers in memory
  expect(await raw(bridge.url, written(session.id, legacyCall("never")) + counts.join(""))).toBe("")
  expect(await textOf(session, "count")).toBe("1")
})

test("a request that follows the last byte of an answer at once is served, however long the answers are", async () => {
  const bridge = await bridgeOf(scripted())
  const session = await open(bridge)
  const socket = connect(bridge.port, "127.0.0.1")
  onTestFinished(() => void socket.destroy())
  const sizes = Array.from({ length: 600 }, (_, id) => (id % 7 === 0 ? 500_000 : id * 50))
  const ask = (id: number) => socket.write(written(session.id, legacyCall("big", { bytes: sizes[id] }, id)))
  let [answered, head, missing] = [0, "", 0]
  await new Promise<void>((resolve, reject) => {
    socket.once("close", () => reject(new Error(`broken off after ${answered} answers`)))
    socket.on("data", (piece: Buffer) => {
      if (missing === 0) head += piece.toString("latin1")
      const length = /content-length: (\d+)\r\n(?:.+\r\n)*\r\n/i.exec(head)
      if (missing === 0 && length === null) return
      missing =
        length === null ? missing - piece.length : length.index + length[0].length + Number(length[1]) - head.length
      head = ""
      if (missing > 0) return
      if (++answered === sizes.length) resolve()
      else ask(answered)
    })
    ask(0)
  })
})

test("an unfinished body keeps nobody else waiting", async () => {
  const bridge = await bridgeOf(scripted())
  const socket = connect(bridge.port, "127.0.0.1")
  onTestFinished(() => void socket.destroy())
  await new Promise<void>((resolve) =>
    socket.write("POST /mcp HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{", () =>
      resolve(),
    ),
  )
  expect(await textOf(await open(bridge), "echo", { words: "fine" })).toBe("fine")
})

test("answers to requests of the server, and notifications, are accepted without an answer", async () => {
  const session = await open(await bridgeOf(scripted()))
  for (const message of [
    { jsonrpc: "2.0", id: "unknown", result: {} },
    { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: "unknown" } },
    [{ jsonrpc: "2.0", method: "notifications/x" }],
  ]) {
    const response = await session.post(message)
    expect([response.status, await response.text()]).toEqual([202, ""])
  }
})

test("a port that is in use is refused, and no process is left", async () => {
  const { port } = await bridgeOf(scripted())
  const log: string[] = []
  const write = (text: string) => void log.push(text)
  await expect(bridgeOf(scripted(), { port, write })).rejects.toMatchObject({ code: "PortInUse" })
  expect(log.at(-1)).toContain("c1: ended")
  expect((await post(`http://127.0.0.1:${port}/mcp`, undefined, initialize())).status).toBe(200)
})
