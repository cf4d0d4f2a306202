import { describe, expect, test } from "vitest"
import type { MCPTargetSpec } from "../../../src/api/kinds/mcp-target.ts"
import { exchange } from "../../../src/gateway/exchange.ts"
import type { Keyed } from "../../../src/gateway/pipeline.ts"
import { findServer } from "../../../src/gateway/session/find-server.ts"
import { createReopener } from "../../../src/gateway/session/reopen.ts"
import type { OpenSession } from "../../../src/gateway/session/session.ts"
import type { Upstream } from "../../../src/gateway/wire/upstream.ts"
import type { UpstreamAnswer } from "../../../src/gateway/wire/upstream-answer.ts"
import type { Placement, PlacementPort } from "../../../src/placement/port.ts"
import { identity, target } from "../../support/build/who.ts"
import { fakeClock } from "../../support/fake-clock.ts"

const placement: Placement = {
  ...{ instance: "github-user-alice", instanceUID: "instance-uid", incarnation: "pod.0" },
  url: new URL("http://10.0.0.1:8080/mcp"),
}

const session: OpenSession = {
  ...{ sealed: "sealed", upstreamId: "s0", instanceUID: "instance-uid", incarnation: "pod.0", issuedAt: 0 },
  initialize: { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "client", version: "1" } },
}

const answering = (status: number, id?: string): UpstreamAnswer => ({
  status,
  headers: { "content-type": "application/json", ...(id === undefined ? {} : { "mcp-session-id": id }) },
  consume: (sink) => {
    sink.data(Buffer.from(JSON.stringify({ jsonrpc: "2.0", id: 1, ...(status === 200 ? { result: {} } : {}) })))
    sink.end()
  },
  resume: () => {},
  abort: () => {},
})

/** The value of a header in a flat list. */
const valueIn = (list: readonly string[], name: string): string | undefined =>
  list.find((_, at) => at % 2 === 1 && list[at - 1] === name)

/** A gateway before a server that runs on: it knows the sessions of `alive`, and opens s1, s2 and so on. */
const setUp = (spec: Partial<MCPTargetSpec>) => {
  const clock = fakeClock()
  const alive = new Set<string>()
  const calls: (string | undefined)[] = []
  let opened = 0
  let hasProcess = true
  const upstream: Upstream = {
    send: async ({ headers, body }) => {
      const { method } = JSON.parse(String(body))
      if (method === "initialize") {
        if (!hasProcess) return answering(503)
        alive.add(`s${++opened}`)
        return answering(200, `s${opened}`)
      }
      if (method === "notifications/initialized") return answering(202)
      const id = valueIn(headers, "mcp-session-id")
      calls.push(id)
      return answering(alive.has(id ?? "") ? 200 : 404)
    },
    close: async () => {},
  }
  const port: PlacementPort = {
    place: () => placement,
    beginCall: () => () => {},
    touchStream: () => {},
    renew: async () => false,
    currentIncarnation: async () => placement.incarnation,
    stillRuns: async () => true,
    reportUnreachable: () => {},
    close: async () => {},
  }
  const reopener = createReopener({ upstream, clock })
  const find = findServer({ placement: port, reopener, clock })
  // what these steps read of a request; only the policy makes whole ones
  const request = {
    ...{ verb: "POST", headers: {}, openStream: false, messages: [], mode: "find", session },
    origin: { address: "1.2.3.4", host: "mcp.example.com", protocol: "https" },
    identity: identity(),
    target: target(spec),
    body: Buffer.from(JSON.stringify({ jsonrpc: "2.0", id: 7, method: "tools/call" })),
    signal: new AbortController().signal,
  } as unknown as Keyed
  const deps = { upstream, placement: port, reopener, findServer: find, clock, requestTimeoutMs: 60_000 }
  const call = async () => (await exchange(deps, await find(request))).answer.status
  const end = (id: string) => alive.delete(id)
  const runOut = () => {
    hasProcess = false
  }
  return { call, calls, end, runOut, opens: () => opened }
}

const stdio = { command: ["server"], stdio: {} }

describe("a session whose process has ended, while its server runs on,", () => {
  test("is opened again if the target is stateless, and its next calls go there at once", async () => {
    const { call, calls, opens } = setUp({ statefulness: "stateless", ...stdio })
    expect(await call()).toBe(200)
    expect(await call()).toBe(200)
    expect(calls).toEqual(["s0", "s1", "s1"])
    expect(opens()).toBe(1)
  })

  test("is opened again each time that happens", async () => {
    const { call, calls, end } = setUp({ statefulness: "stateless", ...stdio })
    await call()
    end("s1")
    expect(await call()).toBe(200)
    expect(calls).toEqual(["s0", "s1", "s1", "s2"])
  })

  test("is opened once for calls that learn it at the same moment", async () => {
    const { call, opens } = setUp({ statefulness: "stateless", ...stdio })
    expect(await Promise.all([call(), call(), call()])).toEqual([200, 200, 200])
    expect(opens()).toBe(1)
  })

  test("waits for another process, if there is none: the client is told when to try again", async () => {
    const { call, runOut } = setUp({ statefulness: "stateless", ...stdio })
    runOut()
    await expect(call()).rejects.toMatchObject({ code: "ProcessesExhausted", retryAfterSeconds: 10 })
  })

  test("is over for its client if the target is stateful, or speaks HTTP and means its 404", async () => {
    for (const spec of [{ statefulness: "stateful" as const, ...stdio }, { statefulness: "stateless" as const }]) {
      const { call, opens } = setUp(spec)
      expect(await call()).toBe(404)
      expect(opens()).toBe(0)
    }
  })
})
