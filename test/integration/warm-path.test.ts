import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest"
import { httpServerOptions } from "../../src/door/front-door.ts"
import type { Incoming } from "../../src/gateway/incoming.ts"
import type { Pipeline, Step } from "../../src/gateway/pipeline.ts"
import type { ClusterPort } from "../../src/ports/cluster.ts"
import type { TelemetryPort } from "../../src/ports/telemetry.ts"
import { createTelemetry } from "../../src/telemetry/telemetry.ts"
import { startDataPath } from "../support/data-path.ts"
import { fakeClock } from "../support/fake-clock.ts"
import { type FakeServer, initialize, message, modernCall, startServer } from "./gateway-stage.ts"

const minute = 60_000
const requests = 25

/** How each step of the way answered, in order: with a value, or with a promise that has to be waited for. */
const stepAnswers = vi.hoisted((): string[] => [])

// the real pipeline with the real steps; only what each of them returns is noted
vi.mock("../../src/gateway/pipeline.ts", async (load) => {
  const real = await load<typeof import("../../src/gateway/pipeline.ts")>()
  const noting = <B extends Incoming>(way: Pipeline<B>): Pipeline<B> => ({
    run: way.run,
    step: <C extends B>(next: Step<B, C>) =>
      noting(
        way.step<C>((input, body) => {
          const output = next(input, body)
          stepAnswers.push(output instanceof Promise ? "promise" : "value")
          return output
        }),
      ),
  })
  return { ...real, pipeline: () => noting(real.pipeline()) }
})

/** identify, admit, read (the request's own body), permit, key, place. */
const warmSteps = ["value", "value", "promise", "value", "value", "value"]

/** The cluster, with a note of each call. */
const noting = (cluster: ClusterPort, calls: string[]): ClusterPort =>
  new Proxy(cluster, {
    get: (inner, name: keyof ClusterPort) => {
      const member = inner[name] as (...args: unknown[]) => unknown
      return (...args: unknown[]) => {
        calls.push(name)
        return member.apply(inner, args)
      }
    },
  })

/** Real log and metrics; `isLogging` is true while a line is being written. */
const watchedTelemetry = (lines: string[]) => {
  const telemetry = createTelemetry({
    level: "info",
    format: "json",
    write: (line) => void lines.push(line),
    processMetrics: false,
  })
  const state = { isLogging: false }
  const info: TelemetryPort["log"]["info"] = (text, fields) => {
    state.isLogging = true
    telemetry.log.info(text, fields)
    state.isLogging = false
  }
  return { state, telemetry: { ...telemetry, log: { ...telemetry.log, info } } }
}

/** The data path behind real HTTP, with real log and metrics. */
const startWorld = async () => {
  const clock = fakeClock()
  const calls: string[] = []
  const lines: string[] = []
  const { state, telemetry } = watchedTelemetry(lines)
  const way = await startDataPath({
    clock,
    telemetry,
    around: (cluster) => noting(cluster, calls),
    settle: () => clock.advance(0),
  })
  const front = createServer(httpServerOptions, way.handler)
  await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve))
  const url = `http://127.0.0.1:${(front.address() as AddressInfo).port}${way.path}`
  return { clock, calls, lines, state, way, front, url }
}
type World = Awaited<ReturnType<typeof startWorld>>

const answer = JSON.stringify({ jsonrpc: "2.0", id: 1, result: { content: [{ type: "text", text: "hello" }] } })

let world: World
let server: FakeServer
beforeEach(async () => {
  server = await startServer((_, response) => {
    response.writeHead(200, { "content-type": "application/json", "mcp-session-id": "the-server-s-own" })
    response.end(answer)
  })
  world = await startWorld()
})

const closeServer = (front: Server): Promise<unknown> => {
  front.closeAllConnections()
  return new Promise((resolve) => front.close(resolve))
}

afterEach(async () => {
  vi.restoreAllMocks()
  await world.way.close()
  await closeServer(world.front)
  await server.close()
})

type Sent = { readonly token: string; readonly body: string; readonly headers?: Readonly<Record<string, string>> }

const send = ({ token, body, headers }: Sent): Promise<Response> =>
  fetch(world.url, {
    method: "POST",
    headers: {
      authorization: `Bearer ${token}`,
      accept: "application/json, text/event-stream",
      "content-type": "application/json",
      ...headers,
    },
    body,
  })

/** Has the one instance made by a first request and brought up; resolves with the session that the request began. */
const bringUp = async (token: string): Promise<string> => {
  const first = send({ token, body: JSON.stringify(initialize) })
  await expect.poll(world.way.instances).toHaveLength(1)
  const [name = ""] = await world.way.instances()
  await world.way.report(name, server.url)
  const response = await first
  await response.text()
  return response.headers.get("mcp-session-id") ?? ""
}

/** Calls of JSON.stringify while requests are served, by the nearest place in our source; those for log lines apart. */
const watchStringify = () => {
  const calls: string[] = []
  const logged: string[] = []
  const real = JSON.stringify
  vi.spyOn(JSON, "stringify").mockImplementation((...args: unknown[]) => {
    const place = new Error("here").stack?.match(/src\/[\w/-]+\.ts/)?.[0]
    if (world.state.isLogging) logged.push(place ?? "")
    else if (place !== undefined) calls.push(place)
    return Reflect.apply(real, JSON, args)
  })
  return { calls, logged }
}

const modern = modernCall("echo")
const legacyBody = JSON.stringify(message("tools/call", { name: "echo", arguments: {} }))

const sendMany = async (sent: Sent): Promise<void> => {
  for (let count = 0; count < requests; count++) {
    const response = await send(sent)
    expect(await response.text()).toBe(answer)
  }
}

describe.each([
  ["a static token", () => world.way.tokens.fixed],
  ["a cached token of an issuer", () => world.way.tokens.signed],
])("a warm request with %s", (_name, tokenOf) => {
  test.each(["legacy session", "modern"])(
    "(%s) waits for its body and its server only: no call to the API server, nothing is serialised anew",
    async (era) => {
      const session = await bringUp(tokenOf())
      expect(session).not.toBe("")
      const headers = era === "modern" ? modern.headers : { "mcp-session-id": session }
      const sent = { token: tokenOf(), body: era === "modern" ? JSON.stringify(modern.body) : legacyBody, headers }
      await (await send(sent)).text()
      world.calls.splice(0)
      world.lines.splice(0)
      stepAnswers.splice(0)
      const stringified = watchStringify()
      await sendMany(sent)
      expect(world.calls).toEqual([])
      expect(stringified.calls).toEqual([])
      expect(stepAnswers).toEqual(Array.from({ length: requests }, () => warmSteps).flat())
      await expect.poll(() => world.lines.length).toBe(requests)
      expect(world.lines.filter((line) => line.includes('"status":200'))).toHaveLength(requests)
    },
  )
})

describe("the counters of this file see", () => {
  test("the one write that records use when that is due, which no request waits for", async () => {
    const session = await bringUp(world.way.tokens.fixed)
    world.calls.splice(0)
    stepAnswers.splice(0)
    // readiness counts as use, and came up to 75 s before it was seen; a quarter of the idle TTL is 7.5 minutes
    await world.clock.advance(6 * minute)
    await sendMany({ token: world.way.tokens.fixed, body: legacyBody, headers: { "mcp-session-id": session } })
    expect(world.calls).toEqual([])
    stepAnswers.splice(0)
    await world.clock.advance(minute)
    await sendMany({ token: world.way.tokens.fixed, body: legacyBody, headers: { "mcp-session-id": session } })
    expect(world.calls).toEqual(["patchStatus"])
    expect(stepAnswers).toEqual(Array.from({ length: requests }, () => warmSteps).flat())
  })

  test("a request that waits until its use is recorded", async () => {
    await bringUp(world.way.tokens.fixed)
    world.calls.splice(0)
    stepAnswers.splice(0)
    await world.clock.advance(14 * minute)
    await (await send({ token: world.way.tokens.fixed, body: legacyBody })).text()
    expect(world.calls).toEqual(["patchStatus"])
    expect(stepAnswers).toEqual([...warmSteps.slice(0, -1), "promise"])
  })

  test("the sealing of a new session, and the first check of a token", async () => {
    await bringUp(world.way.tokens.signed)
    const stringified = watchStringify()
    const body = '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}'
    await (await send({ token: world.way.tokens.signed, body })).text()
    expect(stringified.calls).toContain("src/gateway/session/session.ts")
    world.clock.skew(6 * minute)
    stepAnswers.splice(0)
    await (await send({ token: world.way.tokens.signed, body })).text()
    expect(stepAnswers[0]).toBe("promise")
  })
})
