/** Several gateways over one cluster: whichever a request meets, and whatever becomes of them, its session goes on. */
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client"
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { type Fronts, type Replica, startFronts } from "../support/fronts.ts"
import { connectV1, connectV2, type Peer } from "../support/mcp-peers.ts"
import { eventually, processesRunning } from "../support/processes.ts"
import { initialize, post, repositoryFile } from "../support/reflow.ts"
import { gate } from "./gateway-stage.ts"

const mark = `replicas-${process.pid}`
const dual = ["node", repositoryFile("test/fixtures/servers/dual.mjs"), mark]
/** Its server says 400 to a session that it does not know. */
const everything = ["mcp-server-everything", "streamableHttp", mark]

let fronts: Fronts
let alice: string
/** Where clients are led, as by a Service in front of the gateways. */
let route: Replica

beforeAll(async () => {
  fronts = await startFronts(2)
  alice = await fronts.token("alice")
  await Promise.all([
    fronts.addTarget("everything", everything),
    fronts.addTarget("calm", dual, { statefulness: "stateless" }),
    fronts.addTarget("grave", dual),
  ])
})
afterAll(() => fronts?.close())
beforeEach(() => {
  route = replica(0)
  answers.length = 0
})

const replica = (index: number): Replica => fronts.replicas[index] as Replica
/** What clients were answered, in order. */
const answers: { readonly path: string; readonly method: string; readonly status: number; readonly by: Replica }[] = []
/** A client's way: each request goes where the route leads now. */
const routed = async (url: string | URL, init?: RequestInit): Promise<Response> => {
  const by = route
  const path = new URL(url).pathname
  const response = await fetch(new URL(path, by.url), init)
  answers.push({ path, method: init?.method ?? "GET", status: response.status, by })
  return response
}
/** Resolves when a client has a stream for the server's own messages there. */
const hasStream = (there: Replica): Promise<void> => {
  const isOpen = () => answers.some(({ method, status, by }) => method === "GET" && status === 200 && by === there)
  return eventually(isOpen, 10_000, "the client has a stream")
}
const address = (target: string) => `http://gateways.example/mcp/${target}`

const only = async (target: string): Promise<MCPInstance> => {
  const [instance, ...more] = await fronts.instances(target)
  expect(more).toEqual([])
  return instance as MCPInstance
}

const deleteInstance = async (target: string): Promise<void> => {
  const { name = "", namespace = "" } = (await only(target)).metadata
  await fronts.cluster.delete(mcpInstanceKind, { name, namespace })
}

/** The server gets a new Pod, by a new instance. */
const replaceInstance = async (target: string): Promise<void> => {
  const { uid = "" } = (await only(target)).metadata
  await deleteInstance(target)
  const isGone = async () => (await fronts.instances(target)).every(({ metadata }) => metadata.uid !== uid)
  await eventually(isGone, 15_000, "the instance is gone")
}

/** The server's process dies, and its container is restarted in the same Pod. */
const restartContainer = async (target: string): Promise<void> => {
  const { status } = await only(target)
  const port = new URL(status?.podURL ?? "").port
  for (const { pid, environment } of processesRunning(mark)) if (environment.get("PORT") === port) process.kill(pid, 9)
  const isAnother = async () => (await only(target)).status?.incarnation !== status?.incarnation
  await eventually(isAnother, 15_000, "the container was restarted")
}

const clients: Readonly<Record<string, (target: string) => Promise<Peer>>> = {
  "an SDK 1.x client": (target) => connectV1(address(target), alice, { fetch: routed }),
  "an SDK 2.x client": (target) => connectV2("auto", address(target), alice, { fetch: routed }),
  "an SDK 2.x client with a session": (target) => connectV2("legacy", address(target), alice, { fetch: routed }),
}
const endings = { "its instance is replaced": replaceInstance, "its container restarts": restartContainer }
const cases = Object.entries(clients).flatMap(([client, connect]) =>
  Object.entries(endings).map(([ending, end]) => ({ client, connect, ending, end })),
)

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
  // what the server sends by itself comes on the stream that the client opens again elsewhere
  await hasStream(replica(1))
  await peer.setLevel("debug")
  await peer.call("toggle-simulated-logging")
  expect((await peer.notice("notifications/message")).params).toHaveProperty("level")
  await only("everything")
  await peer.close()
})

describe("a server without state", () => {
  test.each(cases)("$client does not notice that $ending: its next call succeeds", async ({ connect, end }) => {
    const peer = await connect("calm")
    const before = (await peer.call("pid")).text
    await end("calm")
    route = replica(1)
    const after = await peer.call("pid")
    expect(after).toMatchObject({ error: false })
    expect(after.text).not.toBe(before)
    route = replica(0)
    expect((await peer.call("pid")).text).toBe(after.text)
    await peer.close()
  })
})

describe("a server with state", () => {
  test.each(cases)("$client hears 404 when $ending, though the server says 400 to it", async ({ connect, end }) => {
    const peer = await connect("everything")
    await peer.call("echo", { message: "x" })
    await end("everything")
    route = replica(1)
    // the next session makes sure that a server is there which could be asked
    const next = await connect("everything")
    await expect(peer.call("echo", { message: "x" })).rejects.toMatchObject({
      message: expect.stringContaining("SessionNotFound"),
    })
    await next.close()
    await peer.close().catch(() => {})
  })
})

test.each(["calm", "grave"])(
  "a GET and a DELETE of a session of %s whose instance was collected make nothing",
  async (target) => {
    const headers = { authorization: `Bearer ${alice}`, accept: "application/json, text/event-stream" }
    const opened = await post(`${route.url}/mcp/${target}`, alice, initialize())
    await opened.text()
    const session = { ...headers, "mcp-session-id": opened.headers.get("mcp-session-id") ?? "" }
    await replaceInstance(target)
    const creates = () => fronts.replicas.flatMap(({ faults }) => faults.calls).filter(({ verb }) => verb === "create")
    const before = creates().length
    for (const { url } of fronts.replicas) {
      for (const method of ["GET", "DELETE"])
        expect((await fetch(`${url}/mcp/${target}`, { method, headers: session })).status).toBe(404)
    }
    expect(creates()).toHaveLength(before)
    expect(await fronts.instances(target)).toEqual([])
  },
)

describe("a gateway whose watch has stalled", () => {
  /** What a gateway still believes of a target's instance when it hears no more. */
  const beliefs = {
    "that there is none": async () => {},
    "in an instance before": replaceInstance,
    "in a life of the container before": restartContainer,
  }
  const stalls = (["stateless", "stateful"] as const).flatMap((statefulness) =>
    Object.entries(beliefs).map(([belief, renew]) => ({ statefulness, belief, renew })),
  )

  test.each(stalls)(
    "serves a session of a $statefulness target that another opened, if it believes $belief",
    async ({ statefulness, belief, renew }) => {
      const late = await fronts.add()
      onTestFinished(late.lose)
      const target = `${statefulness}-${Object.keys(beliefs).indexOf(belief)}`
      await fronts.addTarget(target, dual, { statefulness })
      const connect = () => connectV1(address(target), alice, { fetch: routed })
      if (renew !== beliefs["that there is none"]) {
        route = late
        await (await connect()).close()
      }
      late.stall()
      await renew(target)
      route = replica(0)
      const peer = await connect()
      const { text } = await peer.call("pid")
      route = late
      expect(await peer.call("pid")).toMatchObject({ text, error: false })
      expect(answers.filter(({ path, status }) => status === 404 && path === `/mcp/${target}`)).toEqual([])
      await peer.close()
      await deleteInstance(target)
    },
  )

  test("finds the server that took the place of the one it believes in, for a call without a session too", async () => {
    const late = await fronts.add()
    onTestFinished(late.lose)
    await fronts.addTarget("moved", dual)
    const call = async (by: Replica) => {
      route = by
      const peer = await connectV2("2026-07-28", address("moved"), alice, { fetch: routed })
      const { text } = await peer.call("pid")
      await peer.close()
      return text
    }
    const before = await call(late)
    late.stall()
    await replaceInstance("moved")
    const now = await call(replica(0))
    expect(await call(late)).toBe(now)
    expect(now).not.toBe(before)
    await deleteInstance("moved")
  })
})

test("a subscription hears from a gateway that stops that it ended in order, and an SDK 2.x client tells so", async () => {
  const leaving = await fronts.add()
  onTestFinished(leaving.lose)
  route = leaving
  const versionNegotiation = { mode: { pin: "2026-07-28" } } as const
  const client = new Client({ name: "listener", version: "1" }, { versionNegotiation })
  const requestInit = { headers: { authorization: `Bearer ${alice}` } }
  await client.connect(new StreamableHTTPClientTransport(new URL(address("calm")), { requestInit, fetch: routed }))
  const subscription = await client.listen({ resourceSubscriptions: ["test://counter"] })
  await leaving.gateway.drain(new AbortController().signal)
  expect(await subscription.closed).toBe("graceful")
  route = replica(0)
  expect(await client.callTool({ name: "pid", arguments: {} })).toMatchObject({ content: [{ type: "text" }] })
  await client.close()
})
