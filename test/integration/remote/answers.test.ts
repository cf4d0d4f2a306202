/** What clients are told when a server that somebody else runs refuses, fails, or answers what is no answer. */
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { secretKind } from "../../../src/api/kinds/kubernetes.ts"
import { scopeSecretName } from "../../../src/api/names.ts"
import { legacyCall, openSession } from "../../support/legacy.ts"
import { answerOf, callTool } from "../../support/modern.ts"
import { eventually } from "../../support/processes.ts"
import { initialize, post } from "../../support/reflow.ts"
import { type FailRule, freePort, remoteSpec, withToken } from "../../support/remote-peers.ts"
import { type RemoteStage, requests, said, startRemoteStage, withoutId } from "../../support/remote-stage.ts"

const remote = { caSecret: "test-ca" }
let stage: RemoteStage
let alice: string

beforeAll(async () => {
  const port = await freePort()
  stage = await startRemoteStage({
    accounts: { "key-of-alice": "alice", "key-of-bob": "bob" },
    targets: (url) => ({
      own: withToken(url, { remote }),
      quick: withToken(url, { remote, requestTimeout: "10s" }),
      common: withToken(url, { remote, isolationBoundary: "shared" }),
      bare: remoteSpec(url, { remote: { url, ...remote } }),
      nowhere: remoteSpec(`http://127.0.0.1:${port}/mcp`),
      nameless: remoteSpec("https://no-such-host.invalid/mcp"),
      paused: withToken(url, { remote, paused: true }),
    }),
  })
  alice = await stage.gateways.token("alice")
  for (const target of ["own", "quick"]) await stage.set(target, { TOKEN: "key-of-alice" }, { token: alice })
  await stage.set("common", { TOKEN: "key-of-alice" }, { scope: "default" })
  const isSet = async () => {
    const targets = ["own", "quick", "common"].flatMap((target) => [0, 1, 2].map((each) => stage.at(target, each)))
    return (await Promise.all(targets.map((url) => said(url, alice)))).every((each) => each === "alice")
  }
  await eventually(isSet, 5_000, "the token is known everywhere")
})
afterAll(() => stage?.close())
beforeEach(() => stage.server.answer())

const answering = (rule: Partial<FailRule>): Promise<void> => stage.server.answer({ act: "answer", ...rule })
const html = { headers: { "content-type": "text/html" }, body: "<html><body>Oops</body></html>" }
const json = { "content-type": "application/json" }

/** The status of a response, its error, and which headers a client must not see of a server. */
const look = async (response: Response) => ({
  status: response.status,
  challenge: response.headers.get("www-authenticate"),
  cookie: response.headers.get("set-cookie"),
  retryAfter: response.headers.get("retry-after"),
  answer: await answerOf(response),
})

describe.each(Object.entries(requests))("%s", (_name, ask) => {
  const asked = async (target = "own") => {
    const seen = await look(await ask(stage.at(target), alice))
    expect(seen).toMatchObject({ status: 200, challenge: null, cookie: null, answer: { id: 1 } })
    return { ...seen, error: seen.answer.error }
  }

  test.each([
    [401, "me", "own"],
    [403, "me", "own"],
    [401, "default", "common"],
    [403, "default", "common"],
  ])(
    "that the server answers with %i says whose credential is wrong and where to change it (%s)",
    async (status, scope, target) => {
      await answering({
        status,
        headers: { ...json, "www-authenticate": 'Bearer realm="x", resource_metadata="https://evil.example"' },
        body: '{"error":"invalid_token"}',
      })
      const { error } = await asked(target)
      expect(error.data).toMatchObject({
        code: "UpstreamLoginRejected",
        upstream_status: status,
        url: `${stage.gateways.balancer.url}/api/targets/${target}/env/${scope}`,
      })
      expect(error.data.names).toEqual(["TOKEN"])
      expect(error.message).toContain("TOKEN")
      expect(error.message).toContain(`/api/targets/${target}/env/${scope}`)
      expect(JSON.stringify(error)).not.toMatch(/evil\.example|key-of-alice|invalid_token/)
    },
  )

  test("that the server answers with 401 where the target has no credentials says that it has none", async () => {
    const { error } = await asked("bare")
    expect(error.data.code).toBe("UpstreamLoginRejected")
  })

  test.each([
    ["7", "7"],
    ["0", "1"],
  ])("that is too much for the server passes its Retry-After on: %s", async (told, passed) => {
    await answering({ status: 429, headers: { "retry-after": told, "content-type": "text/plain" }, body: "slow down" })
    const { error, retryAfter } = await asked()
    expect([error.data.code, retryAfter]).toEqual(["UpstreamBusy", passed])
    expect(error.data.retryable).toBe(true)
  })

  test("that is too much for the server until a date passes on how long that is", async () => {
    const until = new Date(Date.now() + 30_000).toUTCString()
    await answering({ status: 429, headers: { "retry-after": until } })
    const { error, retryAfter } = await asked()
    expect(error.data.code).toBe("UpstreamBusy")
    expect(retryAfter).toMatch(/^\d+$/)
    expect(Number(retryAfter)).toBeGreaterThan(20)
    expect(Number(retryAfter)).toBeLessThan(35)
  })

  test.each(["soon", "-3", "1e9", "7, 9", "{authorization}"])(
    "that is too much for the server is told so also if its Retry-After is %j",
    async (told) => {
      await answering({ status: 429, headers: { "retry-after": told } })
      const { error, retryAfter } = await asked()
      expect(error.data.code).toBe("UpstreamBusy")
      expect(retryAfter ?? "1").toMatch(/^\d{1,6}$/)
    },
  )

  test.each<[string, Partial<FailRule>]>([
    ["a page of status 500", { status: 500, ...html }],
    ["a page of status 502", { status: 502, ...html }],
    ["a page of status 200", { status: 200, ...html }],
    ["nothing, of status 500", { status: 500 }],
    ["a text of status 404", { status: 404, headers: { "content-type": "text/plain" }, body: "no such page" }],
    ["a redirect to a login", { status: 302, headers: { location: "https://login.example/?token={authorization}" } }],
    ["bytes that are no HTTP", { act: "raw", body: "SSH-2.0-OpenSSH_9.2\r\n" }],
  ])("that the server answers with %s is an answer that cannot be read", async (_what, rule) => {
    await answering(rule)
    const { error } = await asked()
    expect(error.data.code).toBe("UpstreamInvalid")
    expect(JSON.stringify(error)).not.toMatch(/Oops|key-of-alice/)
  })

  test.each([400, 404, 500])(
    "that the server answers with an error of JSON-RPC and status %i passes",
    async (status) => {
      const body = '{"jsonrpc":"2.0","id":{id},"error":{"code":-32602,"message":"no such thing","data":{"own":1}}}'
      await answering({ status, headers: { ...json, "set-cookie": "a=b", "www-authenticate": "Bearer" }, body })
      const response = await ask(stage.at("own"), alice)
      expect([response.headers.get("set-cookie"), response.headers.get("www-authenticate")]).toEqual([null, null])
      expect(await response.json()).toEqual({
        jsonrpc: "2.0",
        id: 1,
        error: { code: -32602, message: "no such thing", data: { own: 1 } },
      })
    },
  )

  test("whose connection the server resets is told what may have happened", async () => {
    await answering({ act: "reset" })
    const { error } = await asked()
    expect(["UpstreamInterrupted", "UpstreamUnreachable"]).toContain(error.data.code)
  })

  test.each(["nowhere", "nameless"])("that nobody takes is told so (%s)", async (target) => {
    const { error } = await asked(target)
    expect(error.data.code).toBe("UpstreamUnreachable")
  })

  test("at a target that is paused is refused, and not sent", async () => {
    await stage.server.forgetSeen()
    const { error } = await asked("paused")
    expect(error.data.code).toBe("TargetPaused")
    expect(await stage.server.seen()).toEqual([])
  })
})

test("requests of both eras that the server never answers end at the target's time limit", async () => {
  await answering({ act: "hang" })
  const answers = Object.values(requests).map(async (ask) => look(await ask(stage.at("quick"), alice)))
  for (const answer of await Promise.all(answers))
    expect(answer).toMatchObject({ status: 200, answer: { id: 1, error: { data: { code: "UpstreamTimeout" } } } })
})

describe("a stream that the server breaks off", () => {
  const events = { "content-type": "text/event-stream" }
  const progress = 'data: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}\n\n'

  test.each([
    ["between two events", progress],
    ["in the middle of an event", `${progress}data: {"jsonrpc":"2.0",`],
  ])("%s ends with an error of the call's id", async (_where, body) => {
    await stage.server.answer({ act: "cut", method: "tools/call", headers: events, body })
    const text = await (await callTool(stage.at("own"), alice, "whoami")).text()
    // what was begun is no message
    const messages = text.split("\n\n").filter((event) => event.includes("data: ") && !/^event: cut$/m.test(event))
    const { id, error } = JSON.parse(messages.at(-1)?.split("data: ")[1] ?? "")
    expect([id, error.data.code]).toEqual([1, "UpstreamInterrupted"])
  })

  test("as JSON is cut, not ended as if it were whole", async () => {
    await stage.server.answer({ act: "cut", method: "tools/call", headers: json, body: '{"jsonrpc":"2.0",' })
    const response = await callTool(stage.at("own"), alice, "whoami")
    await expect(response.text().then(JSON.parse)).rejects.toThrow()
  })
})

describe.each(Object.entries(withoutId))("%s", (_name, send) => {
  test.each<[string, Partial<FailRule>]>([
    ["401", { status: 401, headers: { "www-authenticate": "Bearer" } }],
    ["403", { status: 403 }],
    ["500", { status: 500, ...html }],
    ["a reset", { act: "reset" }],
  ])("that the server answers with %s is 502, never 401", async (_what, rule) => {
    await answering(rule)
    const response = await send(stage.at("own"), alice)
    expect([response.status, response.headers.get("www-authenticate")]).toEqual([502, null])
    await response.text()
  })

  test("that is too much for the server is 503, with its Retry-After", async () => {
    await answering({ status: 429, headers: { "retry-after": "7" } })
    const response = await send(stage.at("own"), alice)
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "7"])
    await response.text()
  })
})

describe("what goes up and what comes down", () => {
  const sent = async (headers: Readonly<Record<string, string>>) => {
    await stage.server.forgetSeen()
    const response = await post(stage.at("own"), alice, initialize(), headers)
    await response.text()
    const [one] = await stage.server.seen()
    return { response, headers: one?.headers ?? {} }
  }

  test("the caller's token, cookies and addresses do not leave the cluster, nor does who calls", async () => {
    const { headers } = await sent({
      ...{
        cookie: "own=1",
        forwarded: "for=192.0.2.1",
        "x-forwarded-for": "192.0.2.1",
        "x-forwarded-host": "localhost",
      },
      ...{ "x-forwarded-proto": "http", "x-real-ip": "192.0.2.1", "x-reflow-subject": "root", "x-reflow-groups": "a" },
      ...{ origin: stage.gateways.balancer.url, "proxy-authorization": "Basic x" },
    })
    expect(headers.authorization).toBe("Bearer key-of-alice")
    expect(headers.host).toBe(new URL(stage.server.url).host)
    const names = Object.keys(headers)
    expect(
      names.filter((name) => /^(cookie|forwarded|x-forwarded-.*|x-real-ip|x-reflow-.*|proxy-.*)$/.test(name)),
    ).toEqual([])
    expect(JSON.stringify(headers)).not.toContain(alice)
    expect(JSON.stringify(headers)).not.toContain("192.0.2.1")
  })

  test("cookies and challenges of the server do not reach the client", async () => {
    const { response } = await sent({})
    expect(response.status).toBe(200)
    expect(response.headers.get("set-cookie")).toBeNull()
    expect(response.headers.get("www-authenticate")).toBeNull()
  })
})

describe("a redirect", () => {
  test("to another path of the same server is followed once, with the credential", async () => {
    await stage.server.answer({ act: "answer", times: 1, status: 307, headers: { location: "/mcp/" } })
    expect(await said(stage.at("own", 0), alice)).toBe("alice")
  })

  test.each([
    ["another server", "https://elsewhere.example/mcp"],
    ["another port", "https://127.0.0.1:1/mcp"],
    ["plain HTTP", "http://127.0.0.1/mcp"],
  ])("to %s is not followed", async (_where, location) => {
    await stage.server.answer({ act: "answer", status: 308, headers: { location } })
    expect(await said(stage.at("own", 1), alice)).toMatch(/^UpstreamInvalid: /)
  })
})

describe("a token that was changed by kubectl, of which no gateway was told", () => {
  const secretOf = (subject: string) => ({
    namespace: stage.gateways.config.kubernetes.namespace,
    name: scopeSecretName("own", "user", { issuer: "dev", name: subject }),
  })
  /** Changes the value when the one before is older than a second: younger ones are not read again for a refusal. */
  const edit = async (subject: string, value: string) => {
    await sleep(1_050)
    await stage.gateways.cluster.mergePatch(secretKind, secretOf(subject), { data: { TOKEN: btoa(value) } })
  }

  test("is found when the server rejects the old one: the call is sent once more, and succeeds", async () => {
    const carol = await stage.gateways.token("carol")
    await stage.server.know({ "key-of-alice": "alice", "old-key": "carol" })
    await stage.set("own", { TOKEN: "old-key" }, { token: carol })
    const url = stage.at("own", 2)
    await eventually(async () => (await said(url, carol)) === "carol", 1_000, "carol has an account")
    await edit("carol", "new-key")
    expect(await said(url, carol)).toBe("carol")
    await stage.server.know({ "key-of-alice": "alice", "new-key": "carol" })
    await stage.server.forgetSeen()
    expect(await said(url, carol)).toBe("carol")
    const seen = (await stage.server.seen()).map(({ headers, status }) => [headers.authorization, status])
    expect(seen).toEqual([
      ["Bearer old-key", 401],
      ["Bearer new-key", 200],
    ])
  })

  test("that is wrong too is not tried a third time, and the answer says that it is rejected", async () => {
    const dave = await stage.gateways.token("dave")
    await stage.server.know({ "key-of-alice": "alice", "old-key": "dave" })
    await stage.set("own", { TOKEN: "old-key" }, { token: dave })
    const url = stage.at("own", 0)
    await eventually(async () => (await said(url, dave)) === "dave", 1_000, "dave has an account")
    await edit("dave", "wrong-key")
    await stage.server.know({ "key-of-alice": "alice" })
    await stage.server.forgetSeen()
    expect(await said(url, dave)).toMatch(/^UpstreamLoginRejected: /)
    expect((await stage.server.seen()).map(({ headers }) => headers.authorization)).toEqual([
      "Bearer old-key",
      "Bearer wrong-key",
    ])
    await stage.server.forgetSeen()
    // nothing has changed since: one attempt
    expect(await said(url, dave)).toMatch(/^UpstreamLoginRejected: /)
    expect(await stage.server.seen()).toHaveLength(1)
  })

  test("counts in a session too, which the server goes on with", async () => {
    const erin = await stage.gateways.token("erin")
    await stage.server.know({ "key-of-alice": "alice", "old-key": "erin" })
    await stage.set("own", { TOKEN: "old-key" }, { token: erin })
    const url = stage.at("own", 1)
    await eventually(async () => (await said(url, erin)) === "erin", 1_000, "erin has an account")
    const session = await openSession(url, erin)
    await edit("erin", "new-key")
    await stage.server.know({ "key-of-alice": "alice", "new-key": "erin" })
    // the credential is another one, so its session is over
    const response = await session.post(legacyCall("whoami"))
    expect(response.status).toBe(404)
    expect((await answerOf(response)).error.data.code).toBe("SessionNotFound")
    await openSession(url, erin)
  })
})
