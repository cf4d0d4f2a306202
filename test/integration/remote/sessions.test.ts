/** Sessions at a server that somebody else runs, through three gateways: what ends them and what does not. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { mcpTargetKind } from "../../../src/api/kinds/mcp-target.ts"
import { allOf, eventsOf, type LegacySession, legacyCall, openSession, sessionAs } from "../../support/legacy.ts"
import { connectV1 } from "../../support/mcp-peers.ts"
import { answerOf } from "../../support/modern.ts"
import { eventually } from "../../support/processes.ts"
import { withToken } from "../../support/remote-peers.ts"
import { type RemoteStage, said, startRemoteStage } from "../../support/remote-stage.ts"

const remote = { caSecret: "test-ca" }
const accounts = { one: "one", two: "two", "key-of-bob": "bob" }
let stage: RemoteStage
let alice: string
let bob: string

beforeAll(async () => {
  const kinds = {
    stateful: {},
    stateless: { statefulness: "stateless" },
    changing: {},
    calm: { statefulness: "stateless" },
  }
  stage = await startRemoteStage({
    accounts,
    targets: (url) =>
      Object.fromEntries(Object.entries(kinds).map(([name, more]) => [name, withToken(url, { ...more, remote })])),
  })
  alice = await stage.gateways.token("alice")
  bob = await stage.gateways.token("bob")
  for (const target of Object.keys(kinds)) await stage.set(target, { TOKEN: "key-of-bob" }, { token: bob })
})
afterAll(() => stage?.close())

const replicas = [0, 1, 2] as const
const everyone = (target: string, token: string) =>
  Promise.all(replicas.map((each) => said(stage.at(target, each), token)))

/** Sets alice's token; resolves when every gateway uses it. */
const login = async (target: string, key: "one" | "two", replica = 0): Promise<void> => {
  await stage.set(target, { TOKEN: key }, { token: alice, replica })
  const isUsed = async () => (await everyone(target, alice)).every((each) => each === key)
  await eventually(isUsed, 1_000, `every gateway uses ${key}`)
}

/** The session at another gateway. */
const there = (target: string, session: LegacySession, replica: number, token = alice): LegacySession =>
  sessionAs(stage.at(target, replica), token, session.id)

const call = async (session: LegacySession): Promise<string> =>
  (await answerOf(await session.post(legacyCall("whoami")))).result.content[0].text

const expectGone = async (response: Response): Promise<void> => {
  expect(response.status).toBe(404)
  expect(await response.json()).toMatchObject({ error: { data: { code: "SessionNotFound" } } })
}

const expectGoneEverywhere = async (target: string, session: LegacySession): Promise<void> => {
  for (const replica of replicas) {
    await expectGone(await there(target, session, replica).post(legacyCall("whoami")))
    for (const verb of ["GET", "DELETE"] as const)
      expect((await there(target, session, replica).send(verb)).status, verb).toBe(404)
  }
}

const change = (target: string, spec: object) => {
  const { namespace } = stage.gateways.config.kubernetes
  return stage.gateways.cluster.mergePatch(mcpTargetKind, { namespace, name: target }, { spec })
}

beforeEach(() => stage.server.answer())

describe("an open stream of a session", () => {
  test.each(["stateful", "stateless"])("ends on every gateway when the token is changed (%s)", async (target) => {
    await login(target, "one")
    const session = await openSession(stage.at(target, 0), alice)
    const streams = await Promise.all(replicas.map((each) => there(target, session, each).send("GET")))
    expect(streams.map(({ status }) => status)).toEqual([200, 200, 200])
    const ends = streams.map((stream) => stream.text())
    await login(target, "two", 1)
    await Promise.all(ends)
    // bob's goes on: he has changed nothing
    const leave = new AbortController()
    const his = await openSession(stage.at(target, 0), bob)
    const stream = await there(target, his, 0, bob).send("GET", {}, leave.signal)
    let isOver = false
    stream.text().then(
      () => (isOver = true),
      () => {},
    )
    await login(target, "one", 1)
    expect(isOver).toBe(false)
    leave.abort()
  })
})

describe("a session", () => {
  test("that one gateway has opened goes on at every other, with its streams and its end", async () => {
    await login("stateful", "one")
    const session = await openSession(stage.at("stateful", 0), alice)
    for (const replica of replicas) expect(await call(there("stateful", session, replica))).toBe("one")
    const leave = new AbortController()
    const stream = await there("stateful", session, 1).send("GET", {}, leave.signal)
    expect([stream.status, stream.headers.get("content-type")]).toEqual([200, "text/event-stream"])
    leave.abort()
    expect((await there("stateful", session, 2).send("DELETE")).status).toBe(200)
    await expectGoneEverywhere("stateful", session)
  })

  test("has an id that hides the server's, and is nobody else's", async () => {
    await login("stateful", "one")
    const session = await openSession(stage.at("stateful", 0), alice)
    const upstream = (await stage.server.seen()).findLast(({ headers }) => headers["mcp-session-id"] !== undefined)
    expect(Buffer.from(session.id, "base64url").toString("latin1")).not.toContain(upstream?.headers["mcp-session-id"])
    await expectGone(await there("stateful", session, 1, bob).post(legacyCall("whoami")))
    await expectGone(await sessionAs(stage.at("changing"), alice, session.id).post(legacyCall("whoami")))
    await expectGone(
      await sessionAs(stage.at("stateful"), alice, upstream?.headers["mcp-session-id"] ?? "").post(
        legacyCall("whoami"),
      ),
    )
    expect(await call(session)).toBe("one")
  })

  test("lets its client come back for events that it missed, at another gateway", async () => {
    await login("stateful", "one")
    const session = await openSession(stage.at("stateful", 0), alice)
    const events = await allOf(eventsOf(await session.post(legacyCall("whoami"))))
    const leave = new AbortController()
    const last = { "last-event-id": events[0]?.id ?? "" }
    const resumed = await there("stateful", session, 2).send("GET", last, leave.signal)
    const { value } = await eventsOf(resumed).next()
    leave.abort()
    expect(value?.data).toBe(events.at(-1)?.data)
    // with his session, bob gets nothing of hers
    const his = await openSession(stage.at("stateful", 1), bob)
    const other = await his.send("GET", last)
    const text = other.text()
    expect((await his.send("DELETE")).status).toBe(200)
    expect(await text).not.toContain('"one"')
  })

  test("that its server has forgotten is 404 if the server keeps state", async () => {
    await login("stateful", "one")
    const session = await openSession(stage.at("stateful", 0), alice)
    await stage.server.endSessions()
    for (const replica of replicas)
      expect((await there("stateful", session, replica).post(legacyCall("pid"))).status).toBe(404)
    const next = await openSession(stage.at("stateful", 0), alice)
    expect(await call(next)).toBe("one")
  })

  test("that its server has forgotten goes on if the server keeps no state, opened again", async () => {
    await login("stateless", "one")
    const session = await openSession(stage.at("stateless", 0), alice)
    for (const replica of replicas) {
      await stage.server.endSessions()
      expect(await call(there("stateless", session, replica))).toBe("one")
    }
  })

  test("tells its server that a call was given up", async () => {
    await login("stateful", "one")
    const peer = await connectV1(stage.at("stateful"), alice)
    const leave = new AbortController()
    const given = peer.call("slow", { ms: 20_000 }, leave.signal)
    given.catch(() => {})
    const slow = async () => (await stage.server.seen()).findLast(({ tool }) => tool === "slow")
    await eventually(async () => (await slow()) !== undefined, 5_000, "the call is there")
    leave.abort()
    await eventually(async () => (await slow())?.cancelled === true, 1_000, "the server knows")
    await peer.close()
  })
})

describe("when its caller's token is changed, a session", () => {
  test("of a server with state is 404 at every gateway, and a new one has the new account", async () => {
    await login("changing", "one")
    const session = await openSession(stage.at("changing", 0), alice)
    const his = await openSession(stage.at("changing", 0), bob)
    expect(await call(session)).toBe("one")
    await stage.server.forgetSeen()
    await login("changing", "two", 1)
    await expectGoneEverywhere("changing", session)
    expect(await call(there("changing", his, 2, bob)), "another's goes on").toBe("bob")
    const next = await openSession(stage.at("changing", 2), alice)
    expect(await call(next)).toBe("two")
    // what the old account's session was is not shown to the new account
    const hers = (await stage.server.seen()).filter(({ account }) => account === "two")
    const upstream = new Set(hers.map(({ headers }) => headers["mcp-session-id"]).filter((id) => id !== undefined))
    expect(upstream.size).toBe(1)
  })

  test("of a server without state goes on at every gateway, opened again with the new account", async () => {
    await login("stateless", "one")
    const session = await openSession(stage.at("stateless", 0), alice)
    expect(await call(session)).toBe("one")
    await stage.server.forgetSeen()
    await login("stateless", "two", 2)
    for (const replica of replicas) expect(await call(there("stateless", session, replica))).toBe("two")
    const seen = await stage.server.seen()
    const opened = seen.filter(({ method, account }) => method === "initialize" && account === "two")
    // once at each gateway at most
    expect(opened.length).toBeGreaterThan(0)
    expect(opened.length).toBeLessThanOrEqual(3)
  })

  test("that was changed and changed back may go on, and never with the wrong account", async () => {
    await login("changing", "one")
    const session = await openSession(stage.at("changing", 0), alice)
    await login("changing", "two")
    await login("changing", "one")
    const response = await there("changing", session, 1).post(legacyCall("whoami"))
    if (response.status === 200) expect((await answerOf(response)).result.content[0].text).toBe("one")
    else await expectGone(response)
  })
})

describe("a session goes on", () => {
  let session: LegacySession
  beforeEach(async () => {
    await login("changing", "one")
    session = await openSession(stage.at("changing", 0), alice)
    expect(await call(session)).toBe("one")
  })

  test.each<[string, object, object]>([
    ["the tool policy", { tools: { deny: ["slow"] } }, { tools: null }],
    ["who may use the target", { access: { users: ["dev/alice", "dev/bob"] } }, { access: null }],
    ["a description", { credentials: [{ name: "TOKEN", required: true, description: "Another text." }] }, {}],
  ])("when %s is changed", async (_what, spec, undo) => {
    await change("changing", spec)
    const isKnown = async () => {
      const { body } = await stage.gateways.api("GET", "/targets/changing")
      return JSON.stringify(body).includes(JSON.stringify(Object.values(spec)[0]).slice(1, 20))
    }
    await eventually(isKnown, 5_000, "the gateways know")
    for (const replica of replicas) expect(await call(there("changing", session, replica))).toBe("one")
    await change("changing", undo)
  })

  test("but not for whom access was taken away", async () => {
    await change("changing", { access: { users: ["dev/bob"] } })
    const isRefused = async () => {
      const all = replicas.map((each) => there("changing", session, each).post(legacyCall("whoami")))
      return (await Promise.all(all)).every(({ status, headers }) => status >= 400 && headers.get("x") === null)
    }
    await eventually(isRefused, 5_000, "every gateway refuses")
    await change("changing", { access: null })
    const isBack = async () => (await everyone("changing", alice)).every((each) => each === "one")
    await eventually(isBack, 5_000, "every gateway lets her in again")
    for (const replica of replicas) expect(await call(there("changing", session, replica))).toBe("one")
  })
})

describe("restart-instances", () => {
  test("ends the sessions of a server with state at every gateway, and says that no instance was there", async () => {
    await login("changing", "one")
    const sessions = [
      await openSession(stage.at("changing", 0), alice),
      await openSession(stage.at("changing", 1), bob),
    ]
    const restarted = await stage.gateways.api("POST", "/targets/changing/restart-instances")
    expect(restarted).toMatchObject({ status: 200, body: { restarted: 0 } })
    const [hers, his] = sessions as [LegacySession, LegacySession]
    const isOver = async () => {
      const statuses = await Promise.all(
        replicas.flatMap((each) => [
          there("changing", hers, each).post(legacyCall("whoami")),
          there("changing", his, each, bob).post(legacyCall("whoami")),
        ]),
      )
      return statuses.every(({ status }) => status === 404)
    }
    await eventually(isOver, 1_000, "the sessions are over everywhere")
    expect(await call(await openSession(stage.at("changing", 2), alice))).toBe("one")
  })

  test("lets sessions of a server without state go on, opened again", async () => {
    await login("calm", "one")
    const session = await openSession(stage.at("calm", 0), alice)
    await stage.server.forgetSeen()
    await stage.gateways.api("POST", "/targets/calm/restart-instances")
    const isOpenedAgain = async () => {
      for (const replica of replicas) expect(await call(there("calm", session, replica))).toBe("one")
      const seen = await stage.server.seen()
      return seen.some(({ method, account }) => method === "initialize" && account === "one")
    }
    await eventually(isOpenedAgain, 1_000, "it was opened again")
  })
})
