/**
 * A server that repeats the credential it was sent wherever a server can say something: in heads of answers, in pages, in
 * errors, in redirects. Then everything that was said and written meanwhile is searched for it.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { eventKind, secretKind } from "../../../src/api/kinds/kubernetes.ts"
import { mcpInstanceKind } from "../../../src/api/kinds/mcp-instance.ts"
import { mcpTargetKind } from "../../../src/api/kinds/mcp-target.ts"
import type { TelemetryPort } from "../../../src/ports/telemetry.ts"
import { createTelemetry } from "../../../src/telemetry/telemetry.ts"
import { findCanaries, makeCanary } from "../../support/canary.ts"
import { type LegacySession, legacyCall, openSession } from "../../support/legacy.ts"
import { answerOf, callTool } from "../../support/modern.ts"
import { eventually } from "../../support/processes.ts"
import { type FailRule, withToken } from "../../support/remote-peers.ts"
import { type RemoteStage, requests, said, startRemoteStage, withoutId } from "../../support/remote-stage.ts"

const canaries = {
  alice: makeCanary("alice's"),
  renewed: makeCanary("alice's next"),
  bob: makeCanary("bob's"),
  all: makeCanary("everybody's"),
}
const everyCanary = Object.values(canaries)
const remote = { caSecret: "test-ca" }

const logs: string[] = []
const telemetries: TelemetryPort[] = []
const talkative = (): TelemetryPort => {
  const write = (line: string) => void logs.push(line)
  const made = createTelemetry({ level: "debug", format: "json", write, processMetrics: false })
  telemetries.push(made)
  return made
}

let stage: RemoteStage
let alice: string
let bob: string
/** Everything that clients were told, with its heads. */
const told: string[] = []

/** An answer as a text, as far as it came. */
const textOf = async (response: Response): Promise<string> =>
  `${response.status} ${JSON.stringify([...response.headers])} ${await response.text().catch(String)}`

beforeAll(async () => {
  stage = await startRemoteStage({
    count: 2,
    accounts: Object.fromEntries(Object.entries(canaries).map(([name, { value }]) => [value, name])),
    targets: (url) => ({
      own: withToken(url, { remote }),
      calm: withToken(url, { remote, statefulness: "stateless", tools: { deny: ["hidden"] } }),
      common: withToken(url, { remote, isolationBoundary: "shared" }),
      distrusted: withToken(url),
      lost: withToken(url.replace(/:\d+/, ":1"), { remote }),
    }),
    telemetry: talkative,
  })
  alice = await stage.gateways.token("alice")
  bob = await stage.gateways.token("bob")
  for (const target of ["own", "calm", "distrusted", "lost"]) {
    await stage.set(target, { TOKEN: canaries.alice.value }, { token: alice })
    await stage.set(target, { TOKEN: canaries.bob.value }, { token: bob })
  }
  await stage.set("common", { TOKEN: canaries.all.value }, { scope: "default" })
  const isSet = async () => {
    const texts = ["own", "calm", "common"].flatMap((target) =>
      [0, 1].flatMap((each) => [alice, bob].map((token) => said(stage.at(target, each), token))),
    )
    return (await Promise.all(texts)).every((text) => ["alice", "bob", "all"].includes(text))
  }
  await eventually(isSet, 5_000, "the tokens are known")
})
afterAll(() => stage?.close())

const echo = "{authorization}"
const echoing = {
  "www-authenticate": `Bearer realm="${echo}", error_description="${echo}"`,
  "x-debug": echo,
  link: `<https://elsewhere.example/?${echo}>; rel=next`,
  "set-cookie": [`token=${echo}`, `again=${echo}`],
  "retry-after": echo,
  allow: echo,
  server: echo,
  "access-control-allow-origin": echo,
}
const page = { headers: { ...echoing, "content-type": "text/html" }, body: `<html>${echo}</html>` }

/** What may go wrong at a server that repeats what it was sent. */
const faults: Readonly<Record<string, readonly Partial<FailRule>[]>> = {
  "401": [{ status: 401, ...page }],
  "403": [{ status: 403, headers: { ...echoing, "content-type": "application/json" }, body: `{"error":"${echo}"}` }],
  "404": [{ status: 404, ...page }],
  "429": [{ status: 429, ...page }],
  "500": [{ status: 500, ...page }],
  "503": [{ status: 503, ...page }],
  "a page": [{ status: 200, ...page }],
  "a type": [{ status: 200, headers: { "content-type": echo }, body: "{}" }],
  "a type of a failure": [{ status: 500, headers: { "content-type": `text/${echo}` }, body: echo }],
  "a coding": [{ status: 200, headers: { "content-encoding": echo, "content-type": "application/json" }, body: "{}" }],
  "headers that differ": [{ status: 200, headers: { "content-type": ["application/json", echo] }, body: "{}" }],
  "a reason": [{ act: "raw", body: `HTTP/1.1 500 ${echo}\r\ncontent-length: 0\r\n\r\n` }],
  "no HTTP": [{ act: "raw", body: `${echo} HTTP\r\n\r\n` }],
  "a redirect": [{ status: 302, headers: { ...echoing, location: `https://elsewhere.example/${echo}?${echo}` } }],
  "a redirect to its own path": [
    { status: 307, times: 1, headers: { location: `/${encodeURIComponent("x")}?token=${echo}` } },
    { status: 307, headers: { location: `/y?token=${echo}` } },
  ],
  "a redirect to no place": [{ status: 308, headers: { location: `http://[${echo}` } }],
  "a session": [{ status: 200, headers: { "content-type": "text/html", "mcp-session-id": echo }, body: echo }],
  "a stream that is cut": [{ act: "cut", headers: { "content-type": "text/event-stream" }, body: `: ${echo}\n\n` }],
  "a text that ends early": [{ act: "cut", status: 500, headers: { "content-length": "1000" }, body: echo }],
}

/** Successes: what is in them is the caller's own, as a result is. */
const successes = ["a coding", "a stream that is cut"]

/** A server that says such a thing to alice, and to bob afterwards what is in order. */
describe.each(Object.entries(faults))("a server that repeats the credential in an answer with %s", (name, rules) => {
  test("is heard by nobody", async () => {
    await stage.server.answer(...rules.map((rule) => ({ act: "answer" as const, account: "alice", ...rule })))
    const texts: string[] = []
    for (const target of ["own", "calm"]) {
      for (const send of [...Object.values(requests), ...Object.values(withoutId)])
        texts.push(await textOf(await send(stage.at(target), alice)))
      expect(await said(stage.at(target), bob), "others are not concerned").toBe("bob")
    }
    if (successes.includes(name)) return
    expect(findCanaries(texts.join("\n"), everyCanary)).toEqual([])
    told.push(...texts)
  })
})

describe("a session whose server repeats the credential", () => {
  test("when it is opened again after a change tells nobody", async () => {
    await stage.server.answer()
    const sessions: LegacySession[] = [
      await openSession(stage.at("calm", 0), alice),
      await openSession(stage.at("own", 0), alice),
    ]
    for (const target of ["calm", "own"]) await stage.set(target, { TOKEN: canaries.renewed.value }, { token: alice })
    const rpc = { jsonrpc: "2.0", id: 1, error: { code: -32000, message: echo, data: echo } }
    for (const rule of [
      { status: 401, ...page },
      { status: 500, ...page },
      { headers: { "content-type": "application/json" }, body: JSON.stringify(rpc) },
      { headers: { "content-type": "application/json", "mcp-session-id": echo }, body: "{}" },
    ]) {
      await stage.server.answer({ act: "answer", method: "initialize", ...rule })
      for (const session of sessions) told.push(await textOf(await session.post(legacyCall("whoami"))))
    }
    await stage.server.answer()
    expect(findCanaries(told.join("\n"), [canaries.renewed])).toEqual([])
  })
})

test("what belongs to the caller may be said to the caller: in a result and in an error of JSON-RPC", async () => {
  await stage.server.answer()
  expect(await said(stage.at("common"), alice, "authorization")).toContain(canaries.all.value)
  expect(await said(stage.at("own"), bob, "authorization")).toContain(canaries.bob.value)
  const body = `{"jsonrpc":"2.0","id":{id},"error":{"code":-32602,"message":"wrong"}}`
  await stage.server.answer({ act: "answer", status: 400, headers: { "content-type": "application/json" }, body })
  expect((await answerOf(await callTool(stage.at("own"), bob, "whoami"))).error).toEqual({
    code: -32602,
    message: "wrong",
  })
})

test("a test of the target says what failed, and not what the server said", async () => {
  for (const rule of [
    { status: 401, ...page },
    { status: 500, ...page },
    { status: 200, ...page },
  ]) {
    await stage.server.answer({ act: "answer", ...rule })
    for (const target of ["own", "common", "distrusted", "lost"]) {
      const { status, body } = await stage.gateways.api("POST", `/targets/${target}/test`, {}, { token: alice })
      expect([status, body.ok], JSON.stringify(body)).toEqual([200, false])
      told.push(JSON.stringify(body))
    }
  }
  await stage.server.answer()
  const { body } = await stage.gateways.api("POST", "/targets/own/test", {}, { token: alice })
  expect(body.ok, JSON.stringify(body)).toBe(true)
  told.push(JSON.stringify(body))
})

describe("no value is in", () => {
  const nothing = (text: string): void => {
    expect(text.length).toBeGreaterThan(0)
    expect(findCanaries(text, everyCanary)).toEqual([])
  }

  test("what anybody was told", () => {
    expect(told.length).toBeGreaterThan(50)
    nothing(told.join("\n"))
  })

  test("a line of a log at its most talkative", () => {
    nothing(logs.join("\n"))
    expect(logs.join("")).toContain("UpstreamLoginRejected")
  })

  test("a metric", async () => {
    const metrics = await Promise.all(telemetries.map(({ metrics }) => metrics()))
    expect(metrics.join("\n")).toMatch(/reflow_remote_login_rejections_total\{.*target="own".*\} \d/)
    nothing(metrics.join("\n"))
  })

  test("an object of the cluster but Secrets", async () => {
    const { namespace } = stage.gateways.config.kubernetes
    const { cluster } = stage.gateways
    const targets = (await cluster.list(mcpTargetKind, { namespace })).items
    const instances = (await cluster.list(mcpInstanceKind, { namespace })).items
    const events = (await cluster.list(eventKind, { namespace })).items
    nothing(JSON.stringify([targets, events]))
    expect(targets).not.toEqual([])
    expect(instances).toEqual([])
    const secrets = JSON.stringify((await cluster.list(secretKind, { namespace })).items)
    expect(findCanaries(secrets, everyCanary).toSorted()).toEqual(["alice's", "alice's next", "bob's", "everybody's"])
  })

  test("an answer of the REST API", async () => {
    const answers: unknown[] = []
    for (const token of [alice, bob, undefined])
      for (const path of [
        "/targets",
        "/targets/own",
        "/targets/own/env/me",
        "/targets/common/env/default",
        "/instances",
      ])
        answers.push(await stage.gateways.api("GET", path, undefined, token === undefined ? {} : { token }))
    nothing(JSON.stringify(answers))
  })
})
