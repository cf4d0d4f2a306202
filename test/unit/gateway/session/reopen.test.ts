import { describe, expect, test } from "vitest"
import type { Keyed } from "../../../../src/gateway/pipeline.ts"
import { createReopener } from "../../../../src/gateway/session/reopen.ts"
import type { OpenSession } from "../../../../src/gateway/session/session.ts"
import type { Upstream } from "../../../../src/gateway/wire/upstream.ts"
import type { UpstreamAnswer } from "../../../../src/gateway/wire/upstream-answer.ts"
import type { Placement } from "../../../../src/placement/port.ts"
import { identity, target } from "../../../support/build/who.ts"
import { fakeClock } from "../../../support/fake-clock.ts"

const session: OpenSession = {
  ...{ sealed: "sealed", upstreamId: "first", instanceUID: "instance-uid", incarnation: "pod.0", issuedAt: 0 },
  initialize: { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "client", version: "1" } },
}

const placementOn = (incarnation: string): Placement => ({
  ...{ instance: "github-user-alice", instanceUID: "instance-uid", incarnation },
  url: new URL("http://10.0.0.1:8080/mcp"),
})
const placement = placementOn("pod.1")

/** What reopening reads of a request; only the policy makes whole ones. */
const request = (stdio?: object, signal = new AbortController().signal): Keyed =>
  ({
    origin: { address: "1.2.3.4", host: "mcp.example.com", protocol: "https" },
    identity: identity(),
    target: target({ statefulness: "stateless", ...(stdio === undefined ? {} : { stdio }) }),
    signal,
  }) as unknown as Keyed

const answering = (status: number, message?: object, id?: string): UpstreamAnswer => ({
  status,
  headers: { "content-type": "application/json", ...(id === undefined ? {} : { "mcp-session-id": id }) },
  consume: (sink) => {
    if (message !== undefined) sink.data(Buffer.from(JSON.stringify({ jsonrpc: "2.0", id: 1, ...message })))
    sink.end()
  },
  resume: () => {},
  abort: () => {},
})

const opened = (id: string | undefined): UpstreamAnswer =>
  answering(200, { result: { protocolVersion: "2025-06-18" } }, id)

const refusing = (status: number): UpstreamAnswer =>
  answering(status, { error: { code: -32011, message: "the text of another user" } })

type Reply = UpstreamAnswer | Promise<UpstreamAnswer>

/** A server that answers each `initialize` with the next reply, and then never again, and each notice with `noted`. */
const setUpWith = (noted: number, ...replies: Reply[]) => {
  const clock = fakeClock()
  const methods: string[] = []
  const upstream: Upstream = {
    send: async ({ body, signal }) => {
      const { method } = JSON.parse(String(body))
      methods.push(method)
      if (method !== "initialize") return answering(noted)
      const never = new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)))
      return replies.shift() ?? never
    },
    close: async () => {},
  }
  const reopener = createReopener({ upstream, clock })
  const initializes = () => methods.filter((method) => method === "initialize").length
  const reopen = (input = request(), at = placement) => reopener.reopen(session, at, input)
  return { clock, reopener, initializes, reopen, methods }
}

const setUp = (...replies: Reply[]) => setUpWith(202, ...replies)

/** A reply that the test gives later. */
const later = () => Promise.withResolvers<UpstreamAnswer>()

describe("a session of a stateless target whose server was replaced", () => {
  test("is opened with the client's initialize, once for each incarnation", async () => {
    const { clock, initializes, methods, reopen, reopener } = setUp(opened("a"), opened("b"))
    expect(reopener.isOpen(session, placement)).toBe(false)
    expect(await Promise.all([reopen(), reopen()])).toEqual(["a", "a"])
    expect(await reopen()).toBe("a")
    expect(methods).toEqual(["initialize", "notifications/initialized"])
    expect(clock.pending).toBe(0)
    expect(await reopen(request(), placementOn("pod.2"))).toBe("b")
    expect(initializes()).toBe(2)
    expect(reopener.isOpen(session, placement)).toBe(false)
  })

  test("is over if its initialize is not known", async () => {
    const { reopener, methods } = setUp(opened("a"))
    const unknown = { ...session, initialize: undefined }
    await expect(reopener.reopen(unknown, placement, request())).rejects.toMatchObject({ code: "SessionNotFound" })
    expect(methods).toEqual([])
  })

  test("is opened for the next request, also if the client of this one is gone", async () => {
    const { initializes, reopen } = setUp(opened("a"))
    const client = new AbortController()
    const first = reopen(request(undefined, client.signal))
    client.abort("gone")
    await expect(first).rejects.toBe("gone")
    expect(await reopen()).toBe("a")
    expect(initializes()).toBe(1)
  })

  test("is given up after 30 seconds, and tried again by the next request", async () => {
    const { clock, reopen, reopener } = setUp()
    const first = reopen()
    const failed = expect(first).rejects.toMatchObject({ code: "UpstreamInvalid" })
    await clock.advance(29_999)
    expect(reopener.isOpen(session, placement)).toBe(true)
    await clock.advance(1)
    await failed
    expect(reopener.isOpen(session, placement)).toBe(false)
    expect(clock.pending).toBe(0)
  })
})

describe("a server that refuses the session", () => {
  test("with 503 has no process for it, if it speaks stdin and stdout: that passes", async () => {
    const { reopen } = setUp(refusing(503), opened("a"))
    const error = await reopen(request({})).catch((refused) => refused)
    expect(error).toMatchObject({ code: "ProcessesExhausted", retryAfterSeconds: 10 })
    expect(error.message).not.toContain("the text of another user")
    expect(await reopen(request({}))).toBe("a")
  })

  test.each([
    ["503", "HTTP", undefined],
    ["500", "stdin and stdout", {}],
  ])("with %s has broken the protocol, if it speaks %s", async (status, _, stdio) => {
    const { reopen } = setUp(refusing(Number(status)))
    const error = await reopen(request(stdio)).catch((refused) => refused)
    expect(error).toMatchObject({ code: "UpstreamInvalid" })
    expect(error.message).toContain(`the server answered ${status} to initialize`)
    expect(error.message).not.toContain("the text of another user")
  })
})

describe("a server that opens a session,", () => {
  const openedAs = (status: number) => answering(status, { result: { protocolVersion: "2025-06-18" } }, "a")

  test.each([
    ["answers initialize with another status", setUpWith(202, openedAs(201)), "201 to initialize"],
    ["refuses the notice after it", setUpWith(500, openedAs(200)), "500 to notifications/initialized"],
  ])("but %s, has broken the protocol and is asked again", async (_, { reopen, reopener }, said) => {
    const error = await reopen().catch((refused) => refused)
    expect(error).toMatchObject({ code: "UpstreamInvalid", message: expect.stringContaining(said) })
    expect(reopener.isOpen(session, placement)).toBe(false)
  })
})

describe("a session that the server does not know any more", () => {
  test("is forgotten and opened anew", async () => {
    const { reopen, reopener } = setUp(opened("a"), opened("b"))
    await reopen()
    reopener.forget(session, "a")
    expect(reopener.isOpen(session, placement)).toBe(false)
    expect(await reopen()).toBe("b")
  })

  test("is forgotten too if the server gives no ids", async () => {
    const { reopen, reopener } = setUp(opened(undefined))
    expect(await reopen()).toBeUndefined()
    reopener.forget(session, undefined)
    expect(reopener.isOpen(session, placement)).toBe(false)
  })

  test("takes none with it that another call has opened meanwhile", async () => {
    const { initializes, reopen, reopener } = setUp(opened("a"), opened("b"))
    await reopen()
    reopener.forget(session, "a")
    await reopen()
    for (const older of ["a", "first", undefined]) reopener.forget(session, older)
    expect(reopener.isOpen(session, placement)).toBe(true)
    expect(await reopen()).toBe("b")
    expect(initializes()).toBe(2)
  })

  test("takes none with it that another call is about to open", async () => {
    const reply = later()
    const { initializes, reopen, reopener } = setUp(opened("a"), reply.promise)
    await reopen()
    reopener.forget(session, "a")
    const second = reopen()
    for (const older of ["a", undefined]) reopener.forget(session, older)
    expect(reopener.isOpen(session, placement)).toBe(true)
    reply.resolve(opened("b"))
    expect(await second).toBe("b")
    expect(await reopen()).toBe("b")
    expect(initializes()).toBe(2)
  })
})
