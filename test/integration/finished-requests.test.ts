/** What is left of requests that have ended, in the memory that only a full garbage collection visits. */
import { connect } from "node:net"
import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { afterAll, beforeAll, expect, test } from "vitest"
import { systemClock } from "../../src/adapters/system/clock.ts"
import { type HttpListener, startHttpListener } from "../../src/roles/listen/http-listener.ts"
import { type DataPath, startDataPath } from "../support/data-path.ts"
import { quietTelemetry } from "../support/quiet-telemetry.ts"

const answer = JSON.stringify({ jsonrpc: "2.0", id: 1, result: { content: [{ type: "text", text: "hello" }] } })
const call = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "echo", arguments: {} } })
const connections = 32

let server: HttpListener
let gateway: HttpListener
let path: DataPath

const collect = (): ((options?: { readonly type: "minor" }) => void) => {
  setFlagsFromString("--expose-gc")
  return runInNewContext("gc")
}

beforeAll(async () => {
  server = await startHttpListener("127.0.0.1:0", (request, response) => {
    request.resume().on("end", () => {
      response.writeHead(200, { "content-type": "application/json", "content-length": answer.length })
      response.end(answer)
    })
  })
  const spec = { tools: { allow: ["echo"] } }
  path = await startDataPath({ clock: systemClock, telemetry: quietTelemetry(), spec })
  gateway = await startHttpListener("127.0.0.1:0", path.handler)
})
afterAll(async () => {
  await gateway.close()
  await path.close()
  await server.close()
})

/** Answers between two small collections: each request in progress is answered long before the second one. */
const answersBetween = 160

let answers = 0
let collectNow = (): void => {}
const onAnswer = (): void => {
  if (++answers % answersBetween === 0) collectNow()
}

/** Sends calls over one connection, each as soon as the one before it is answered. */
const send = (count: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const request = [
      `POST ${path.path} HTTP/1.1`,
      "host: localhost:8080",
      "content-type: application/json",
      `authorization: Bearer ${path.tokens.signed}`,
      `content-length: ${call.length}`,
      "",
      call,
    ].join("\r\n")
    const socket = connect(gateway.port, "127.0.0.1", () => socket.write(request))
    let left = count
    let received = ""
    socket.setEncoding("latin1")
    socket.on("error", reject)
    socket.on("data", (text: string) => {
      received += text
      if (!received.endsWith(answer)) return
      if (!received.startsWith("HTTP/1.1 200")) return reject(new Error(received))
      received = ""
      onAnswer()
      if (--left > 0) socket.write(request)
      else socket.end(resolve)
    })
  })

const sendAll = async (each: number): Promise<void> => {
  await Promise.all(Array.from({ length: connections }, () => send(each)))
}

const oldBytes = (): number =>
  getHeapSpaceStatistics()
    .filter(({ space_name: name }) => /^(?:old|trusted|large_object)_space$/.test(name))
    .reduce((sum, { space_used_size: used }) => sum + used, 0)

/** Most bytes that a finished request may leave, among them what the runtime itself keeps for its next call. */
const most = 2_500

test("a request that has ended is gone with the next small garbage collection", { timeout: 30_000 }, async () => {
  const gc = collect()
  const opening = send(1)
  for (;;) {
    const [name] = await path.instances()
    if (name !== undefined) await path.report(name, new URL("/mcp", server.url))
    if (name !== undefined) break
    await systemClock.sleep(20)
  }
  await opening
  await sendAll(60)
  gc()
  const before = oldBytes()
  // small collections while requests are in progress: what they find alive is kept, and must not keep later ones
  collectNow = () => gc({ type: "minor" })
  await sendAll(100)
  gc({ type: "minor" })
  gc({ type: "minor" })
  expect((oldBytes() - before) / (100 * connections)).toBeLessThan(most)
})
