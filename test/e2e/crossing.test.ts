import { createHash } from "node:crypto"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { allOf, eventsOf, type LegacySession, legacyCall, openSession, sessionAs } from "../support/legacy.ts"
import { callTool, toolText } from "../support/modern.ts"
import { initialize, post, type Reflow, repositoryFile, startReflow } from "../support/reflow.ts"
import { isServedByPods, startServing } from "../support/serving.ts"

/** Two users with live sessions of real servers try whatever names something of the other's. */
const dual = ["node", repositoryFile("test/fixtures/servers/dual.mjs")]
const everything = ["mcp-server-everything", "streamableHttp"]
const shared = { isolationBoundary: "shared" }

const staticTokens = { mcp: "static-token-for-mcp", api: "static-token-for-api" }
const staticToken = (use: "mcp" | "api") => {
  const sha256 = createHash("sha256").update(staticTokens[use]).digest("hex")
  return `{name: ${use}, sha256: ${sha256}, subject: alice, for: [${use}], roles: [admin]}`
}

const serving = startServing()
let reflow: Reflow
let alice: string
let bob: string

beforeAll(async () => {
  const targets = await Promise.all([
    serving.target("private", dual),
    serving.target("other", dual),
    serving.target("common", dual, shared),
    serving.target("own-stream", everything),
    serving.target("one-stream", everything, shared),
  ])
  reflow = await startReflow({
    targets: targets.join(""),
    set: { "auth.tokens": `[${staticToken("mcp")}, ${staticToken("api")}]` },
  })
  const tokens = await Promise.all([reflow.token("alice"), reflow.token("bob")])
  alice = tokens[0]
  bob = tokens[1]
})
afterAll(async () => {
  await reflow?.stop()
  await serving.close()
})

const at = (name: string) => `${reflow.url}/mcp/${name}`
const textIn = async (response: Response, id: number | string = 1): Promise<string> => {
  const answers = (await allOf(eventsOf(response))).flatMap(({ data }) => (data === "" ? [] : [JSON.parse(data)]))
  return answers.find((answer) => answer.id === id)?.result.content[0].text
}

const expectGone = async (response: Response): Promise<void> => {
  expect(response.status).toBe(404)
  expect(await response.json()).toMatchObject({ error: { data: { code: "SessionNotFound" } } })
}

describe.each(["private", "common"])("while both have a session at the target %s", (name) => {
  let hers: LegacySession
  let his: LegacySession
  /** Her session in his hands. */
  let stolen: LegacySession

  beforeEach(async () => {
    const sessions = await Promise.all([openSession(at(name), alice), openSession(at(name), bob)])
    hers = sessions[0]
    his = sessions[1]
    stolen = sessionAs(at(name), bob, hers.id)
  })
  afterEach(async () => {
    for (const session of [hers, his])
      expect(await textIn(await session.post(legacyCall("echo", { message: "still here" })))).toBe("Echo: still here")
    for (const session of [hers, his]) expect((await session.send("DELETE")).status).toBe(200)
    await expectGone(await stolen.post(legacyCall("pid")))
  })

  test("a POST with the other's session is 404", async () => {
    for (const message of [legacyCall("pid"), { jsonrpc: "2.0", id: 1, method: "tools/list" }])
      await expectGone(await stolen.post(message))
  })

  test("an initialize with the other's session opens one of one's own", async () => {
    const response = await stolen.post(initialize())
    expect(response.status).toBe(200)
    const own = response.headers.get("mcp-session-id")
    expect(own).not.toBeNull()
    expect([hers.id, his.id]).not.toContain(own)
  })

  test("a GET with the other's session is 404", async () => {
    await expectGone(await stolen.send("GET"))
  })

  test("a DELETE with the other's session is 404, and ends nothing", async () => {
    await expectGone(await stolen.send("DELETE"))
  })

  test("a cancellation of the other's call is 404 in the other's session and without effect in one's own", async () => {
    // the head is there as soon as the server runs the call
    const call = await hers.post(legacyCall("slow", { seconds: 1 }, 77))
    const cancel = { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 77, reason: "because" } }
    await expectGone(await stolen.post(cancel))
    expect((await his.post(cancel)).status).toBe(202)
    expect((await post(at(name), bob, cancel)).status).toBeGreaterThanOrEqual(400)
    expect(await textIn(call, 77)).toBe("slept 1 seconds")
  })

  test("a session cannot be used at another target, by nobody", async () => {
    for (const token of [alice, bob])
      for (const verb of ["GET", "DELETE"] as const)
        await expectGone(await sessionAs(at("other"), token, hers.id).send(verb))
    await expectGone(await sessionAs(at("other"), alice, hers.id).post(legacyCall("pid")))
    await expectGone(await sessionAs(at("other"), bob, hers.id).post(legacyCall("pid")))
  })

  test("a namesake with another kind of token is another user", async () => {
    const namesake = sessionAs(at(name), staticTokens.mcp, hers.id)
    await expectGone(await namesake.post(legacyCall("pid")))
    await expectGone(await namesake.send("GET"))
    await expectGone(await namesake.send("DELETE"))
  })

  test("a session without a token, or with one that is not valid, is 401", async () => {
    for (const token of ["", "x", `${alice}x`, alice.slice(0, -8)]) {
      const nobody = sessionAs(at(name), token, hers.id)
      for (const attempt of [nobody.post(legacyCall("pid")), nobody.send("GET"), nobody.send("DELETE")])
        expect((await attempt).status).toBe(401)
    }
  })
})

describe.each(["own-stream", "one-stream"])("resuming a stream of the target %s", (name) => {
  test("with the other's event id is 404 in the other's session, and shows nothing in one's own", async () => {
    const [hers, his] = await Promise.all([openSession(at(name), alice), openSession(at(name), bob)])
    const events = await allOf(eventsOf(await hers.post(legacyCall("echo", { message: "canary" }))))
    const last = { "last-event-id": events[0]?.id ?? "" }
    expect(events.at(-1)?.data).toContain("canary")

    await expectGone(await sessionAs(at(name), bob, hers.id).send("GET", last))
    const resumed = await his.send("GET", last)
    const shown = resumed.text()
    // the end of his session ends his stream
    expect((await his.send("DELETE")).status).toBe(200)
    expect(await shown).not.toContain("canary")

    const leave = new AbortController()
    const [replayed] = [await eventsOf(await hers.send("GET", last, leave.signal)).next()]
    leave.abort()
    expect(replayed.value?.data).toContain("Echo: canary")
    expect(await textIn(await hers.post(legacyCall("echo", { message: "x" })))).toBe("Echo: x")
  })
})

test("a question that the server asks one user is answered by that user only", async () => {
  const [hers, his] = await Promise.all(
    [alice, bob].map((token) => openSession(at("one-stream"), token, { sampling: {} })),
  )
  const call = await hers?.post(legacyCall("trigger-sampling-request", { prompt: "x", maxTokens: 9 }, 5))
  const events = eventsOf(call ?? Response.error())
  let question: { id?: unknown; method?: string } = {}
  while (question.method !== "sampling/createMessage") {
    const { value } = await events.next()
    question = JSON.parse(value?.data || "{}")
  }
  const answer = (text: string) => ({
    jsonrpc: "2.0",
    id: question.id,
    result: { model: "m", role: "assistant", content: { type: "text", text } },
  })
  await expectGone(await sessionAs(at("one-stream"), bob, hers?.id ?? "").post(answer("forged")))
  expect((await his?.post(answer("forged")))?.status).toBe(202)
  expect((await hers?.post(answer("genuine")))?.status).toBe(202)
  const rest = await allOf(events)
  expect(rest.at(-1)?.data).toContain("genuine")
  expect(JSON.stringify(rest)).not.toContain("forged")
})

// somebody else's server has no instances
const testInstances = isServedByPods() ? test : () => {}
testInstances("another's instance is not there by its name: neither seen, nor its log read, nor ended", async () => {
  const pids = await Promise.all([alice, bob].map((token) => toolText(at("private"), token, "pid")))
  const listOf = async (token: string, path = "/api/instances"): Promise<string[]> => {
    const { status, body } = await reflow.api("GET", path, undefined, token)
    expect(status).toBe(200)
    return body.items.map((each: { name: string }) => each.name)
  }
  const [hers, his] = [await listOf(alice), await listOf(bob)]
  expect(hers.length).toBeGreaterThan(0)
  expect(his.filter((each) => hers.includes(each))).toEqual([])
  expect((await listOf(bob, "/api/targets/private/instances")).filter((each) => hers.includes(each))).toEqual([])
  for (const name of hers)
    for (const [method, path] of [
      ["GET", `/api/instances/${name}`],
      ["GET", `/api/instances/${name}/logs`],
      ["DELETE", `/api/instances/${name}`],
    ] as const)
      expect((await reflow.api(method, path, undefined, bob)).status, `${method} ${path}`).toBe(404)
  expect(await Promise.all([alice, bob].map((token) => toolText(at("private"), token, "pid")))).toEqual(pids)
})

test("a token that is remembered never stands for another: mixtures of two are 401, and each stays its owner's", async () => {
  const whoIs = async (token: string) => (await reflow.api("GET", "/api/whoami", undefined, token)).body.identity
  expect([(await whoIs(alice)).subject, (await whoIs(bob)).subject]).toEqual(["alice", "bob"])
  const [hers, his] = [alice.split("."), bob.split(".")]
  const mixtures = [
    [hers[0], his[1], hers[2]],
    [hers[0], hers[1], his[2]],
    [his[0], his[1], hers[2]],
    [hers[0], his[1], ""],
  ]
  for (const parts of mixtures) expect((await callTool(at("private"), parts.join("."), "pid")).status).toBe(401)
  for (const token of [`${alice}${bob}`, `${alice},${bob}`, `${alice} ${bob}`, alice.toLowerCase()])
    expect((await callTool(at("private"), token, "pid")).status).toBe(401)
  expect([(await whoIs(alice)).subject, (await whoIs(bob)).subject]).toEqual(["alice", "bob"])
})

test("a static token opens what it is for and nothing else, even an administrator's", async () => {
  for (const path of ["/api/whoami", "/api/targets", "/api/instances"]) {
    expect((await reflow.api("GET", path, undefined, staticTokens.mcp)).status).toBe(401)
    expect((await reflow.api("GET", path, undefined, staticTokens.api)).status).toBe(200)
  }
  expect((await callTool(at("private"), staticTokens.api, "pid")).status).toBe(401)
  expect((await callTool(at("private"), staticTokens.mcp, "pid")).status).toBe(200)
})
