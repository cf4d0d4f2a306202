/** What a gateway does from SIGTERM to its end: the role's own steps, in a time that the test turns. */
import { once } from "node:events"
import type { ServerResponse } from "node:http"
import { connect } from "node:net"
import { afterEach, beforeEach, expect, test } from "vitest"
import { startHealth } from "../../src/roles/listen/health-listener.ts"
import { type HttpListener, startHttpListener } from "../../src/roles/listen/http-listener.ts"
import { endServing } from "../../src/roles/listen/public-listener.ts"
import { type RunningRole, runRole } from "../../src/roles/role.ts"
import { type FakeClock, fakeClock } from "../support/fake-clock.ts"
import { configOf } from "../support/fronts.ts"
import { quietTelemetry } from "../support/quiet-telemetry.ts"
import {
  answerJson,
  type FakeServer,
  lifeAt,
  localOrigin,
  message,
  modernRequest,
  post as postTo,
  type Stage,
  startServer,
  startStage,
} from "./gateway-stage.ts"

const drainMs = 60_000
const events = { "content-type": "text/event-stream" }

let stage: Stage
let server: FakeServer
let clock: FakeClock
let role: RunningRole
let listener: HttpListener
let health: string
/** What the server holds open, by the name of the tool that was called. */
let open: Map<string, ServerResponse>
/** Resolves when the server has got so many requests. */
let arrived: (count: number) => Promise<void>

beforeEach(async () => {
  open = new Map()
  server = await startServer((seen, response) => {
    const { method, params } = seen.body === "" ? { method: "GET", params: {} } : JSON.parse(seen.body)
    const name = method === "tools/call" ? params.name : method
    if (name === "ping") return answerJson(response, seen, {})
    if (name !== "silent") response.writeHead(200, events)
    if (name === "numbered") response.write("id: 1\ndata:\n\n")
    else if (name !== "silent") response.write(": hello\n\n")
    open.set(name, response)
  })
  arrived = async (count) => expect.poll(() => open.size, { timeout: 5_000 }).toBe(count)
  stage = await startStage()
  stage.placement.now = lifeAt(server.url)
  clock = fakeClock()
  const telemetry = quietTelemetry()
  const config = configOf({ "metrics.listen": "127.0.0.1:0" })
  role = runRole({ config, telemetry }, async (base) => {
    await startHealth(base, { isReady: () => !base.signal.aborted })
    listener = await startHttpListener("127.0.0.1:0", (request, response) =>
      stage.gateway.handle(request, response, localOrigin),
    )
    await base.started.add("listener", listener.close)
    const { log } = base.telemetry
    await base.started.add("requests", () => endServing({ clock, log, gateway: stage.gateway, listener, drainMs }))
  })
  await role.ready
  health = String(telemetry.lines.find(({ message }) => message === "metrics")?.fields?.url).replace(
    "metrics",
    "readyz",
  )
})
afterEach(async () => {
  const closed = role.close()
  await clock.advance(drainMs + 5_000)
  await closed
  await stage.close()
  await server.close()
})

const post = (body: unknown, more: Parameters<typeof postTo>[2] = {}) => postTo({ ...stage, ...listener }, body, more)
const call = (name: string, id: string) => post(message("tools/call", { name }, id))
const listen = () => {
  const { body, headers } = modernRequest("subscriptions/listen", { notifications: {} })
  return post({ ...body, id: "sub" }, { headers })
}
const isReady = async () => (await fetch(health)).status === 200
/** The messages of an event stream that has ended. */
const messagesOf = async (response: Response): Promise<unknown[]> =>
  [...(await response.text()).matchAll(/^data: (.+)$/gm)].map(([, data = ""]) => JSON.parse(data))

/** Whether somebody who does not know yet is let in. */
const accepts = (): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(listener.port, "127.0.0.1")
    socket.on("connect", () => resolve(true)).on("error", () => resolve(false))
    socket.on("connect", () => socket.destroy())
  })

test("it is not ready at once, and serves for five seconds more, until endpoints know", async () => {
  expect(await isReady()).toBe(true)
  const stream = await post(undefined, { verb: "GET" })
  const closed = role.close()
  await clock.advance(4_999)
  expect(await isReady()).toBe(false)
  expect((await post(message("ping"))).status).toBe(200)
  expect(stage.lines.some(({ fields }) => fields.ending === "stopped")).toBe(false)
  await clock.advance(1)
  expect(await accepts()).toBe(false)
  expect(await stream.text()).toBe(": hello\n\n")
  await closed
})

test("its streams without a call end the way that the protocol has for it, and it ends with its last call", async () => {
  const streams = [await post(undefined, { verb: "GET" }), await listen()]
  const waiting = call("silent", "late")
  await arrived(3)
  let ended = false
  const closed = role.close().then(() => {
    ended = true
  })
  await clock.advance(5_000)
  const [get, subscription] = await Promise.all(streams.map(messagesOf))
  expect(get).toEqual([])
  expect(subscription).toEqual([
    {
      jsonrpc: "2.0",
      id: "sub",
      result: { resultType: "complete", _meta: { "io.modelcontextprotocol/subscriptionId": "sub" } },
    },
  ])
  await clock.advance(drainMs - 1)
  expect(ended).toBe(false)
  answerJson(open.get("silent") as ServerResponse, server.seen.at(-1) as never, { done: true })
  expect(await (await waiting).json()).toMatchObject({ id: "late", result: { done: true } })
  await closed
})

test("calls that outlast drain_timeout are told so, but one that can be resumed elsewhere is left open", async () => {
  const silent = call("silent", "a")
  const streaming = await call("streaming", "b")
  const numbered = await call("numbered", "c")
  await arrived(3)
  const gone = Promise.all([...open.values()].map((response) => once(response, "close")))
  const closed = role.close()
  await clock.advance(5_000)
  await clock.advance(drainMs)
  const stopped = { data: { code: "ShuttingDown", retryable: true } }
  const response = await silent
  expect(response.status).toBe(200)
  expect(await response.json()).toMatchObject({ id: "a", error: stopped })
  expect(await messagesOf(streaming)).toMatchObject([{ jsonrpc: "2.0", id: "b", error: stopped }])
  expect(await numbered.text()).toBe("id: 1\ndata:\n\n")
  await gone
  await closed
})
