/** Several gateways and a server that somebody else runs: losses, gateways that hear nothing, and a cluster that is away. */
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client"
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest"
import { type Fronts, type Replica, startFronts } from "../../support/fronts.ts"
import { legacyCall, openSession, sessionAs } from "../../support/legacy.ts"
import { connectV1 } from "../../support/mcp-peers.ts"
import { answerOf, callTool } from "../../support/modern.ts"
import { eventually } from "../../support/processes.ts"
import { repositoryFile } from "../../support/reflow.ts"
import {
  type AccountServer,
  type RemoteServer,
  remoteSpec,
  startAccountServer,
  startRemoteServer,
  withToken,
} from "../../support/remote-peers.ts"
import { said } from "../../support/remote-stage.ts"
import { gate } from "../gateway-stage.ts"

let fronts: Fronts
let everything: RemoteServer
let dual: RemoteServer
let server: AccountServer
let alice: string
/** Where clients are led, as by a Service in front of the gateways. */
let route: Replica

const replica = (index: number): Replica => fronts.replicas[index] as Replica

beforeAll(async () => {
  ;[fronts, everything, dual, server] = await Promise.all([
    startFronts(2),
    startRemoteServer(["mcp-server-everything", "streamableHttp"]),
    startRemoteServer(["node", repositoryFile("test/fixtures/servers/dual.mjs")]),
    startAccountServer({ accounts: { one: "one", two: "two" } }),
  ])
  alice = await fronts.token("alice")
  await fronts.addSpec("everything", remoteSpec(everything.url))
  await fronts.addSpec("dual", remoteSpec(dual.url))
  for (const name of ["own", "warm", "moved"]) await fronts.addSpec(name, withToken(server.url))
  await fronts.addSpec("calm", withToken(server.url, { statefulness: "stateless" }))
})
afterAll(async () => {
  await fronts?.close()
  await Promise.all([everything, dual, server].map((each) => each?.close()))
})
beforeEach(() => {
  route = replica(0)
  streams.length = 0
})

const address = (target: string) => `http://gateways.example/mcp/${target}`
/** Which gateways have opened a stream for the server's own messages. */
const streams: Replica[] = []
const routed = async (url: string | URL, init?: RequestInit): Promise<Response> => {
  const by = route
  const response = await fetch(new URL(new URL(url).pathname, by.url), init)
  if ((init?.method ?? "GET") === "GET" && response.status === 200) streams.push(by)
  return response
}
const hasStream = (there: Replica): Promise<void> =>
  eventually(() => streams.includes(there), 10_000, "a stream is open")

const login = async (target: string, key: string, token: string, by = replica(0)): Promise<void> => {
  const response = await fetch(`${by.url}/api/targets/${target}/env/me`, {
    method: "PUT",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ TOKEN: key }),
  })
  expect(response.status, await response.text()).toBe(200)
}
const at = (target: string, by: Replica) => `${by.url}/mcp/${target}`

test("a session outlives the loss of the gateway that opened it, with a sample in flight at another", async () => {
  const opener = await fronts.add()
  const [asked, answer] = [gate(), gate()]
  const beforeSample = () => {
    asked.resolve()
    return answer.promise
  }
  route = opener
  const peer = await connectV1(address("everything"), alice, { fetch: routed, beforeSample })
  await hasStream(opener)
  route = replica(0)
  const call = peer.call("trigger-sampling-request", { prompt: "x", maxTokens: 9 })
  await asked.promise
  route = replica(1)
  await opener.lose()
  answer.resolve()
  expect((await call).text).toContain("sampled!")
  await hasStream(replica(1))
  await peer.setLevel("debug")
  await peer.call("toggle-simulated-logging")
  expect((await peer.notice("notifications/message")).params).toHaveProperty("level")
  await peer.close()
})

test("a subscription hears from a gateway that stops that it ended in order", async () => {
  const leaving = await fronts.add()
  onTestFinished(leaving.lose)
  route = leaving
  const versionNegotiation = { mode: { pin: "2026-07-28" } } as const
  const client = new Client({ name: "listener", version: "1" }, { versionNegotiation })
  const requestInit = { headers: { authorization: `Bearer ${alice}` } }
  await client.connect(new StreamableHTTPClientTransport(new URL(address("dual")), { requestInit, fetch: routed }))
  const subscription = await client.listen({ resourceSubscriptions: ["test://counter"] })
  await leaving.gateway.drain(new AbortController().signal)
  expect(await subscription.closed).toBe("graceful")
  route = replica(0)
  expect(await client.callTool({ name: "pid", arguments: {} })).toMatchObject({ content: [{ type: "text" }] })
  await client.close()
})

const secretReads = ({ faults }: Replica) =>
  faults.calls.filter(({ verb, kind }) => verb === "get" && kind === "Secret")

describe("a gateway that does not hear of a changed token", () => {
  test.each(["moved", "calm"])("reads it before it says that a session of another is over (%s)", async (target) => {
    const late = await fronts.add()
    onTestFinished(late.lose)
    await login(target, "one", alice)
    await eventually(async () => (await said(at(target, late), alice)) === "one", 2_000, "it knows the first token")
    late.stall()
    await login(target, "two", alice)
    await eventually(async () => (await said(at(target, replica(0)), alice)) === "two", 2_000, "others know the next")
    const session = await openSession(at(target, replica(0)), alice)
    const there = sessionAs(at(target, late), alice, session.id)
    const response = await there.post(legacyCall("whoami"))
    expect(response.status).toBe(200)
    expect((await answerOf(response)).result.content[0].text).toBe("two")
    // from now on it knows
    expect(await said(at(target, late), alice)).toBe("two")
  })

  test("hears of it from the server, which rejects the old one", async () => {
    const late = await fronts.add()
    onTestFinished(late.lose)
    const bob = await fronts.token("bob")
    await server.know({ one: "one", two: "two", "old-key": "bob" })
    await login("own", "old-key", bob)
    await eventually(async () => (await said(at("own", late), bob)) === "bob", 2_000, "it knows the first token")
    late.stall()
    await login("own", "new-key", bob)
    await server.know({ one: "one", two: "two", "new-key": "bob anew" })
    // values that are younger than a second are not read again because a server rejects them
    await eventually(async () => (await said(at("own", late), bob)) === "bob anew", 2_000, "it knows the next")
    const before = secretReads(late).length
    for (let turn = 0; turn < 5; turn++) expect(await said(at("own", late), bob)).toBe("bob anew")
    expect(secretReads(late)).toHaveLength(before)
  })
})

describe("what is known of a user's credentials", () => {
  const callsOf = () => fronts.replicas.flatMap(({ faults }) => faults.calls)
  const notLeases = () => callsOf().filter(({ kind }) => kind !== "Lease")

  test("is not read for each call: warm ones ask the cluster nothing, those without a value neither", async () => {
    const carol = await fronts.token("carol")
    await login("warm", "one", alice)
    await eventually(async () => (await said(at("warm", replica(0)), alice)) === "one", 2_000, "alice is logged in")
    expect(await said(at("warm", replica(0)), carol)).toMatch(/^CredentialMissing: /)
    const before = notLeases().length
    for (let turn = 0; turn < 20; turn++) {
      expect(await said(at("warm", replica(0)), alice)).toBe("one")
      expect(await said(at("warm", replica(0)), carol)).toMatch(/^CredentialMissing: /)
    }
    expect(notLeases().slice(before)).toEqual([])
  })

  test("is read once for many calls that come at the same time", async () => {
    const dave = await fronts.token("dave")
    await login("warm", "one", dave, replica(1))
    const reads = () => replica(0).faults.calls.filter(({ verb, kind }) => verb === "get" && kind === "Secret").length
    const before = reads()
    const fifty = await Promise.all(Array.from({ length: 50 }, () => said(at("warm", replica(0)), dave)))
    expect(new Set(fifty)).toEqual(new Set(["one"]))
    // one for each scope that may have values
    expect(reads() - before).toBeLessThanOrEqual(4)
  })

  test("is not read for each request of a client that goes on with an ended session", async () => {
    const frank = await fronts.token("frank")
    await login("moved", "one", frank)
    const gateway = replica(0)
    await eventually(async () => (await said(at("moved", gateway), frank)) === "one", 2_000, "frank is known")
    const { id } = await openSession(at("moved", gateway), frank)
    await login("moved", "two", frank)
    await eventually(async () => (await said(at("moved", gateway), frank)) === "two", 2_000, "frank has another token")
    const there = sessionAs(at("moved", gateway), frank, id)
    expect((await there.post(legacyCall("whoami"))).status).toBe(404)
    const before = secretReads(gateway).length
    for (let turn = 0; turn < 10; turn++) expect((await there.post(legacyCall("whoami"))).status).toBe(404)
    // the verdict is repeated for seconds, and this may take longer on a busy machine
    expect(secretReads(gateway).length - before).toBeLessThan(10)
  })

  test("serves its user while the cluster is away; who is not known yet is told to come again", async () => {
    const gateway = await fronts.add()
    onTestFinished(gateway.lose)
    await login("warm", "one", alice)
    await eventually(async () => (await said(at("warm", gateway), alice)) === "one", 2_000, "alice is known")
    const lift = gateway.faults.fail({ kind: "Secret", times: Number.POSITIVE_INFINITY })
    expect(await said(at("warm", gateway), alice)).toBe("one")
    const erin = await fronts.token("erin")
    const response = await callTool(at("warm", gateway), erin, "whoami")
    expect(response.status).toBe(200)
    expect((await answerOf(response)).error.data).toMatchObject({ code: "ClusterUnavailable", retryable: true })
    lift()
    await eventually(
      async () => (await said(at("warm", gateway), erin)).startsWith("CredentialMissing"),
      5_000,
      "it is back",
    )
  })
})
