import type { ServerResponse } from "node:http"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { AppError } from "../../src/errors.ts"
import type { SessionKeys } from "../../src/gateway/session/session-keys.ts"
import { isServedByPods } from "../support/serving.ts"
import {
  answerJson,
  type FakeServer,
  fixedKeys,
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
let servers: FakeServer[] = []

beforeEach(async () => {
  stage = await startStage()
  stage.addTarget("calm", { statefulness: "stateless" })
})
afterEach(async () => {
  await stage.close()
  await Promise.all(servers.map((server) => server.close()))
  servers = []
})

/** A legacy server with sessions `<name>-1`, `<name>-2`, …; it answers `unknown` to ids that are not its own. */
const startLegacyServer = async (name: string, options: { unknown?: number; events?: boolean } = {}) => {
  const own = new Set<string>()
  const server = await startServer((seen, response) => {
    const { method } = seen.body === "" ? { method: seen.method } : JSON.parse(seen.body)
    if (method === "initialize") {
      const id = `${name}-${own.size + 1}`
      own.add(id)
      const result = { protocolVersion: "2025-11-25", capabilities: {}, serverInfo: { name, version: "1" } }
      if (!options.events) return answerJson(response, seen, result, { "mcp-session-id": id })
      response.writeHead(200, { "content-type": "text/event-stream", "mcp-session-id": id })
      const answer = { jsonrpc: "2.0", id: JSON.parse(seen.body).id, result }
      return response.end(
        `id: 1\ndata:\n\nevent: ping\ndata: 12:00\n\nevent: message\ndata: ${JSON.stringify(answer)}\n\n`,
      )
    }
    const session = String(seen.headers["mcp-session-id"])
    if (!own.has(session)) return response.writeHead(options.unknown ?? 404).end("unknown session")
    if (method === "GET") return response.writeHead(200, { "content-type": "text/event-stream" }).end(": hello\n\n")
    if (method.startsWith("notifications/")) return response.writeHead(202).end()
    answerJson(response, seen, { server: name, session }, { "mcp-session-id": session })
  })
  servers.push(server)
  return server
}

const open = async (target: string, subject = "alice"): Promise<string> => {
  const response = await post(stage, initialize, { target, subject })
  expect(response.status).toBe(200)
  return response.headers.get("mcp-session-id") ?? ""
}

const use = (target: string, session: string, call: { subject?: string; verb?: "POST" | "GET" | "DELETE" } = {}) =>
  post(stage, message("tools/list"), { target, headers: { "mcp-session-id": session }, ...call })

const methodsOf = (seen: readonly Seen[]) =>
  seen.map(({ body, method }) => (body === "" ? method : JSON.parse(body).method))

describe("a session", () => {
  test("has an id that hides the server's, and the server gets its own id back", async () => {
    const server = await startLegacyServer("one")
    stage.placement.now = lifeAt(server.url)
    const session = await open("demo")
    expect(session).toMatch(/^[\w-]+$/)
    expect(Buffer.from(session, "base64url").toString("latin1")).not.toContain("one-1")
    const response = await use("demo", session)
    expect(await response.json()).toMatchObject({ result: { session: "one-1" } })
    // the client has its id already
    expect(response.headers.get("mcp-session-id")).toBeNull()
  })

  test.each([
    ["another user's", async () => use("demo", await open("demo"), { subject: "bob" })],
    ["another target's", async () => use("calm", await open("demo"))],
    ["an invented one", async () => use("demo", "one-1")],
    ["a changed one", async () => use("demo", `${(await open("demo")).slice(0, -3)}AAA`)],
  ])("that is %s is 404, and nothing is placed or sent for it", async (_name, attempt) => {
    const server = await startLegacyServer("one")
    stage.placement.now = lifeAt(server.url)
    const response = await attempt()
    expect(response.status).toBe(404)
    expect(await response.json()).toMatchObject({ id: 1, error: { data: { code: "SessionNotFound" } } })
    expect(stage.placement.requests.filter(({ subjectKey }) => subjectKey === "user:bob")).toEqual([])
    expect(methodsOf(server.seen).filter((method) => method !== "initialize")).toEqual([])
  })

  test("of the modern era does not exist: its header is ignored", async () => {
    const server = await startServer((seen, response) => answerJson(response, seen, {}, { "mcp-session-id": "x" }))
    servers.push(server)
    stage.placement.now = lifeAt(server.url)
    const meta = { "io.modelcontextprotocol/protocolVersion": "2026-07-28" }
    const response = await post(stage, message("tools/list", { _meta: meta }), {
      headers: { "mcp-session-id": "junk", "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list" },
    })
    expect(response.status).toBe(200)
    expect(response.headers.get("mcp-session-id")).toBeNull()
    expect(server.seen[0]?.headers["mcp-session-id"]).toBeUndefined()
  })
})

describe("a replica that does not know the key of a session", () => {
  const unknown = (lookUp: SessionKeys["lookUp"]): SessionKeys => ({ ...fixedKeys(), find: () => undefined, lookUp })

  /** A session that another replica has sealed, and this one's answer to its use. */
  const useSealedElsewhere = async (lookUp: SessionKeys["lookUp"]) => {
    const server = await startLegacyServer("one")
    stage.placement.now = lifeAt(server.url)
    const session = await open("demo")
    await stage.close()
    stage = await startStage({ sessionKeys: unknown(lookUp) })
    stage.placement.now = lifeAt(server.url)
    return use("demo", session)
  }

  test("serves it once it has looked the key up", async () => {
    const response = await useSealedElsewhere(async () => fixedKeys().current())
    expect(await response.json()).toMatchObject({ result: { session: "one-1" } })
  })

  test("says 404 if there is no such key", async () => {
    expect((await useSealedElsewhere(async () => undefined)).status).toBe(404)
  })

  test("does not say 404 if it cannot find that out", async () => {
    const unavailable = new AppError("ClusterUnavailable", { detail: "gone", retryAfterSeconds: 5 })
    const response = await useSealedElsewhere(() => Promise.reject(unavailable))
    expect([response.status, response.headers.get("retry-after")]).toEqual([200, "5"])
  })
})

describe("when the instance of a stateful target was replaced", () => {
  test("its sessions are 404 and the new server never sees them", async () => {
    const [first, second] = [await startLegacyServer("one"), await startLegacyServer("two")]
    stage.placement.now = lifeAt(first.url, "pod-1.0")
    const session = await open("demo")
    stage.placement.now = lifeAt(second.url, "pod-1.1")
    for (const verb of ["POST", "GET", "DELETE"] as const)
      expect((await use("demo", session, { verb })).status).toBe(404)
    expect(second.seen).toEqual([])
    // no life of a Pod comes back, so that one answer of the API server is enough; that of a remote server counts for
    // seconds, because its credentials can be set back
    expect(stage.placement.reads).toHaveLength(1)
    expect(stage.placement.requests.slice(1).map(({ mode }) => mode)).toEqual(["find", "find", "find"])
  })

  test("a replica whose cache is behind does not end a live session, but asks to come again", async () => {
    const server = await startLegacyServer("one")
    stage.placement.now = lifeAt(server.url, "pod-2.0")
    const session = await open("demo")
    stage.placement.now = lifeAt(server.url, "pod-1.0")
    stage.placement.actual = "pod-2.0"
    const response = await use("demo", session)
    expect(response.status).toBe(200)
    expect(response.headers.get("retry-after")).toBe("1")
  })

  test.each([404, 400])(
    "a server's %s to the session is told as 404 if its life has changed meanwhile",
    async (unknown) => {
      const [first, second] = [await startLegacyServer("one"), await startLegacyServer("two", { unknown })]
      stage.placement.now = lifeAt(first.url, "pod-1.0")
      const session = await open("demo")
      stage.placement.now = lifeAt(second.url, "pod-1.0")
      stage.placement.actual = "pod-1.1"
      const response = await use("demo", session)
      expect(response.status).toBe(404)
      expect(await response.json()).toMatchObject({ error: { data: { code: "SessionNotFound" } } })
    },
  )

  test("a server's 400 stands if its incarnation is still the same", async () => {
    const [first, second] = [await startLegacyServer("one"), await startLegacyServer("two", { unknown: 400 })]
    stage.placement.now = lifeAt(first.url)
    const session = await open("demo")
    stage.placement.now = lifeAt(second.url)
    const response = await use("demo", session)
    if (isServedByPods()) return expect([response.status, await response.text()]).toEqual([400, "unknown session"])
    // what somebody else's server says to no MCP client is not passed
    expect(await response.json()).toMatchObject({ id: 1, error: { data: { code: "UpstreamInvalid" } } })
  })
})

describe("when the instance of a stateless target was replaced", () => {
  test.each([false, true])(
    "the session goes on unnoticed, opened again once (answer as events: %s)",
    async (events) => {
      const [first, second] = [await startLegacyServer("one"), await startLegacyServer("two", { events })]
      stage.placement.now = lifeAt(first.url, "pod-1.0")
      const session = await open("calm")
      stage.placement.now = lifeAt(second.url, "pod-2.0", "uid-2")
      const answers = await Promise.all([1, 2, 3].map(() => use("calm", session)))
      for (const answer of answers) {
        expect(await answer.json()).toMatchObject({ id: 1, result: { server: "two", session: "two-1" } })
        expect(answer.headers.get("mcp-session-id")).toBeNull()
      }
      expect(methodsOf(second.seen)).toEqual([
        "initialize",
        "notifications/initialized",
        "tools/list",
        "tools/list",
        "tools/list",
      ])
      expect(JSON.parse(second.seen[0]?.body ?? "").params).toEqual(initialize.params)
      expect(second.seen[1]?.headers).toMatchObject({ "mcp-session-id": "two-1", "mcp-protocol-version": "2025-11-25" })
      expect((await use("calm", session, { verb: "GET" })).status).toBe(200)
    },
  )

  test("all its sessions go on after one question to the API server", async () => {
    const [first, second] = [await startLegacyServer("one"), await startLegacyServer("two")]
    stage.placement.now = lifeAt(first.url, "pod-1.0")
    const sessions = [await open("calm"), await open("calm"), await open("calm")]
    stage.placement.now = lifeAt(second.url, "pod-2.0", "uid-2")
    for (const session of sessions) expect((await use("calm", session)).status).toBe(200)
    for (const session of sessions) expect((await use("calm", session)).status).toBe(200)
    expect(stage.placement.reads).toEqual([expect.objectContaining({ instanceUID: "uid-1" })])
  })

  test("a replica whose cache is behind does not open a live session again, but asks to come again", async () => {
    const [first, second] = [await startLegacyServer("one"), await startLegacyServer("two")]
    stage.placement.now = lifeAt(second.url, "pod-2.0", "uid-2")
    const session = await open("calm")
    stage.placement.now = lifeAt(first.url, "pod-1.0")
    stage.placement.actual = "pod-2.0"
    expect((await use("calm", session)).status).toBe(200)
    expect(first.seen).toEqual([])
  })

  test("the session is looked for once more if its new server cannot be reached there", async () => {
    const [first, second] = [await startLegacyServer("one"), await startLegacyServer("two")]
    stage.placement.now = lifeAt(first.url, "pod-1.0")
    const session = await open("calm")
    stage.placement.now = lifeAt(new URL("http://127.0.0.1:1/mcp"), "pod-2.0", "uid-2")
    stage.placement.onUnreachable = () => {
      stage.placement.now = lifeAt(second.url, "pod-3.0", "uid-3")
    }
    expect(await (await use("calm", session)).json()).toMatchObject({ result: { session: "two-1" } })
    expect(stage.placement.unreachable).toHaveLength(1)
    await expect.poll(() => stage.placement.calls).toBe(0)
  })

  test("the session goes on even if only the server's 404 told of it", async () => {
    const [first, second] = [await startLegacyServer("one"), await startLegacyServer("two")]
    stage.placement.now = lifeAt(first.url, "pod-1.0")
    const session = await open("calm")
    const stale = lifeAt(second.url, "pod-1.0")
    stage.placement.now = stale
    stage.placement.actual = "pod-2.0"
    let placed = 0
    stage.placement.hold = async () => {
      if (++placed === 2) stage.placement.now = lifeAt(second.url, "pod-2.0", "uid-2")
    }
    expect(await (await use("calm", session)).json()).toMatchObject({ result: { session: "two-1" } })
  })

  test("a session that the server ended after it was opened again is opened once more", async () => {
    const [first, second] = [await startLegacyServer("one"), await startLegacyServer("two")]
    stage.placement.now = lifeAt(first.url, "pod-1.0")
    const session = await open("calm")
    stage.placement.now = lifeAt(second.url, "pod-2.0", "uid-2")
    await (await use("calm", session)).text()
    const third = await startLegacyServer("three")
    stage.placement.now = lifeAt(third.url, "pod-2.0", "uid-2")
    expect(await (await use("calm", session)).json()).toMatchObject({ result: { session: "three-1" } })
  })

  test.each<[string, object]>([
    ["names its software without a version", { protocolVersion: "2025-11-25", serverInfo: { name: "x" } }],
    ["has no information about itself", { protocolVersion: "2025-11-25", serverInfo: null }],
    ["says its version as a number", { protocolVersion: 3 }],
  ])("the session goes on if its new server %s: no more is read than the session needs", async (_, result) => {
    const first = await startLegacyServer("one")
    const second = await startServer((seen, response) => {
      if (seen.body.includes('"initialize"')) return answerJson(response, seen, result, { "mcp-session-id": "two" })
      if (seen.body.includes("notifications/")) return response.writeHead(202).end()
      answerJson(response, seen, { session: seen.headers["mcp-session-id"] })
    })
    servers.push(second)
    stage.placement.now = lifeAt(first.url, "pod-1.0")
    const session = await open("calm")
    stage.placement.now = lifeAt(second.url, "pod-2.0", "uid-2")
    expect(await (await use("calm", session)).json()).toMatchObject({ result: { session: "two" } })
  })

  test("the error of a new server that redirects to itself without end says so", async () => {
    const [first, second] = [
      await startLegacyServer("one"),
      await startServer((_, response) => response.writeHead(302, { location: "/x" }).end()),
    ]
    servers.push(second)
    stage.placement.now = lifeAt(first.url, "pod-1.0")
    const session = await open("calm")
    stage.placement.now = lifeAt(second.url, "pod-2.0", "uid-2")
    const { error } = Object(await (await use("calm", session)).json())
    expect(error.data).toMatchObject({ code: "UpstreamInvalid", upstream_status: 302 })
  })

  const canary = "a secret of bob"
  test.each<[string, (response: ServerResponse) => unknown]>([
    ["HTTP status 500", (response) => response.writeHead(500).end(canary)],
    [
      "HTTP status 401",
      (response) => response.writeHead(401, { "www-authenticate": `Bearer realm="${canary}"` }).end(),
    ],
    ["no JSON", (response) => response.writeHead(200, { "content-type": "text/plain" }).end(canary)],
    [
      "an error",
      (response) => {
        response.writeHead(200, { "content-type": "application/json" })
        response.end(JSON.stringify({ jsonrpc: "2.0", id: 1, error: { code: -32000, message: canary, data: canary } }))
      },
    ],
  ])(
    "the server's text is not repeated if its answer to initialize is %s: it may be about another user",
    async (_, refuse) => {
      const [first, second] = [await startLegacyServer("one"), await startServer((_, response) => refuse(response))]
      servers.push(second)
      stage.placement.now = lifeAt(first.url, "pod-1.0")
      const session = await open("calm")
      stage.placement.now = lifeAt(second.url, "pod-2.0", "uid-2")
      const text = await (await use("calm", session)).text()
      expect(text).toMatch(/The session could not be opened again|UpstreamLoginRejected/)
      expect(text).not.toContain(canary)
    },
  )

  test("GET and DELETE make no instance: they are 404 while none lives", async () => {
    const server = await startLegacyServer("one")
    stage.placement.now = lifeAt(server.url)
    const session = await open("calm")
    stage.placement.now = undefined
    for (const verb of ["GET", "DELETE"] as const) {
      expect((await use("calm", session, { verb })).status).toBe(404)
      expect(stage.placement.requests.at(-1)?.mode).toBe("find")
    }
    await use("calm", session)
    expect(stage.placement.requests.at(-1)?.mode).toBe("create")
  })

  test("a server that refuses to open it again is told as such", async () => {
    const first = await startLegacyServer("one")
    const second = await startServer((_, response) => response.writeHead(500).end("{}"))
    servers.push(second)
    stage.placement.now = lifeAt(first.url, "pod-1.0")
    const session = await open("calm")
    stage.placement.now = lifeAt(second.url, "pod-2.0")
    const response = await use("calm", session)
    expect(response.status).toBe(200)
    expect(await response.json()).toMatchObject({ error: { data: { code: "UpstreamInvalid" } } })
  })
})
