/** Those who wait for a server that starts: how many, with how much, and what becomes of those who leave. */
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { request as httpRequest } from "node:http"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { afterAll, beforeAll, expect, test } from "vitest"
import { podKind } from "../../src/api/kinds/pod.ts"
import { type Fronts, type Replica, startFronts } from "../support/fronts.ts"
import { answerOf, callTool, envelope } from "../support/modern.ts"
import { eventually } from "../support/processes.ts"
import { repositoryFile } from "../support/reflow.ts"

const folder = mkdtempSync(join(tmpdir(), "reflow-waiting-"))
/** A server that starts once its file is there. */
const startsWith = (file: string) => [
  "sh",
  "-c",
  `until [ -e ${join(folder, file)} ]; do sleep 0.05; done; exec node ${repositoryFile("test/fixtures/servers/dual.mjs")}`,
]
const start = (file: string) => writeFileSync(join(folder, file), "")

let fronts: Fronts
let alice: string

beforeAll(async () => {
  fronts = await startFronts(2)
  alice = await fronts.token("alice")
})
afterAll(async () => {
  await fronts?.close()
  rmSync(folder, { recursive: true, force: true })
})

const gauge = async (replica: Replica, name: string): Promise<number> =>
  Number(
    (await replica.metrics())
      .split("\n")
      .find((line) => line.startsWith(`${name} `))
      ?.slice(name.length),
  )
const waiting = async (): Promise<number> => {
  const counts = await Promise.all(fronts.replicas.map((replica) => gauge(replica, "reflow_waiting_requests")))
  return counts.reduce((sum, count) => sum + count, 0)
}

test("of 200 first requests at two gateways 50 leave: the others are answered, by one Pod", async () => {
  await fronts.addTarget("storm", startsWith("storm"))
  const leave = new AbortController()
  const calls = Array.from({ length: 200 }, (_, index) => {
    const { url } = fronts.replicas[index % 2] as Replica
    return callTool(`${url}/mcp/storm`, alice, "pid", {}, index % 4 === 0 ? leave.signal : undefined)
  })
  const settled = Promise.allSettled(calls)
  await eventually(async () => (await waiting()) === 200, 15_000, "all wait")
  leave.abort()
  await eventually(async () => (await waiting()) === 150, 1_000, "those who left wait no more")
  start("storm")
  const answers = (await settled).flatMap((each) => (each.status === "fulfilled" ? [each.value] : []))
  expect(answers).toHaveLength(150)
  const pids = await Promise.all(answers.map(async (answer) => (await answerOf(answer)).result.content[0].text))
  expect(new Set(pids).size).toBe(1)
  expect(await fronts.instances("storm")).toMatchObject([{ status: { starts: 1 } }])
  const pods = (await fronts.cluster.list(podKind, { namespace: "reflow" })).items
  expect(pods).toHaveLength(1)
  expect(await waiting()).toBe(0)
})

setFlagsFromString("--expose-gc")
const collectGarbage: () => void = runInNewContext("gc")
/** Bytes that this process holds, once what nobody needs is gone. */
const heldByProcess = async (): Promise<number> => {
  for (let turn = 0; turn < 3; turn++) {
    await new Promise((resolve) => setImmediate(resolve))
    collectGarbage()
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

const mebibyte = 2 ** 20

/** A call whose body is a mebibyte long, and many times that once it is parsed. */
const heavyBody = (): Buffer => {
  const params = { name: "pid", arguments: { x: "FILLING" }, _meta: envelope }
  const text = JSON.stringify({ jsonrpc: "2.0", id: "0123456789abcdef", method: "tools/call", params })
  // as many elements as a body may have, nearly
  const count = 24_000
  return Buffer.from(text.replace('"FILLING"', `[${"[],".repeat(count)}0]`).padEnd(mebibyte))
}

/** Posts the body over a connection of its own; `answered` resolves with status, or undefined if it was cut. */
const postHeavy = (replica: Replica, target: string, body: Buffer) => {
  const request = httpRequest(`${replica.url}/mcp/${target}`, {
    method: "POST",
    agent: false,
    headers: {
      authorization: `Bearer ${alice}`,
      accept: "application/json, text/event-stream",
      "content-type": "application/json",
      "content-length": body.length,
      "mcp-protocol-version": "2026-07-28",
      "mcp-method": "tools/call",
      "mcp-name": "pid",
    },
  })
  const answered = new Promise<{ status: number | undefined; retryAfter?: string | undefined }>((resolve) => {
    request.on("error", () => resolve({ status: undefined }))
    request.on("response", (response) => {
      response.resume()
      resolve({ status: response.statusCode, retryAfter: response.headers["retry-after"] })
    })
  })
  request.end(body)
  return { answered, leave: () => request.destroy() }
}

test("bodies beyond a caller's share of gateway.max_held are refused with 503, memory stays flat, and who leaves takes his body along", async () => {
  const tight = await fronts.add({ "gateway.max_held": "96MiB" })
  await fronts.addTarget("heavy", startsWith("heavy"))
  const body = heavyBody()
  expect(body.length).toBe(mebibyte)
  const before = await heldByProcess()
  const posts: ReturnType<typeof postHeavy>[] = []
  const answers: Awaited<(typeof posts)[number]["answered"]>[] = []
  // one after the other: of those that send at the same time it is open who finds no room
  for (let count = 1; count <= 40; count++) {
    const sent = postHeavy(tight, "heavy", body)
    posts.push(sent)
    void sent.answered.then((answer) => answers.push(answer))
    const settled = async () => answers.length + (await gauge(tight, "reflow_waiting_requests")) === count
    await eventually(settled, 20_000, "it waits or is refused")
  }
  expect(answers).toEqual(Array.from({ length: 16 }, () => ({ status: 503, retryAfter: "5" })))
  expect(await gauge(tight, "reflow_body_bytes")).toBe(24 * mebibyte)
  expect(await gauge(tight, 'reflow_bodies_refused_total{by="owner"}')).toBe(16)
  const full = (await heldByProcess()) - before
  for (const { leave } of posts) leave()
  await eventually(async () => (await gauge(tight, "reflow_body_bytes")) === 0, 1_000, "their bodies are released")
  await eventually(() => answers.length === 40, 1_000, "all have left")
  const after = (await heldByProcess()) - before
  // the bodies and little more: what was parsed of them would be fifteen times as much
  expect(full).toBeLessThan(32 * mebibyte)
  expect(after).toBeLessThan(6 * mebibyte)
  await tight.lose()
})

/** Sends the head of a call of the REST API and so much of its body; resolves with all that came back once it has ended. */
const putSlowly = (replica: Replica, token: string, declared: number, sent: number) => {
  let answer = ""
  const { hostname, port } = new URL(replica.url)
  const head = [
    "PUT /api/targets/values/env/me HTTP/1.1",
    "host: localhost",
    `authorization: Bearer ${token}`,
    "content-type: application/json",
    `content-length: ${declared}`,
    "\r\n",
  ].join("\r\n")
  const socket = connect(Number(port), hostname, () => socket.write(head + " ".repeat(sent)))
  socket.on("data", (chunk) => {
    answer += chunk
  })
  return { socket, ended: once(socket, "end").then(() => answer) }
}

test("bodies of the REST API share the memory of MCP's: a caller who holds his quarter gets 503 there too, another is served", async () => {
  const tight = await fronts.add({ "gateway.max_held": "8MiB", "gateway.max_body": "1MiB" })
  await fronts.addTarget("values", startsWith("values"))
  const held = () => gauge(tight, "reflow_body_bytes")
  const declared = mebibyte - 1
  // pieces of a body in a buffer that grows to what is declared, and no further
  const slow = [putSlowly(tight, alice, declared, declared - 1), putSlowly(tight, alice, declared, declared - 1)]
  await eventually(async () => (await held()) === 2 * declared, 5_000, "her quarter is taken")
  const refused = await putSlowly(tight, alice, 1_000, 1_000).ended
  expect(refused).toMatch(/^HTTP\/1\.1 503 /)
  expect(refused).toMatch(/\r\nretry-after: 5\r\n/i)
  expect(refused).toMatch(/\r\nconnection: close\r\n/i)
  expect(refused).toContain('"code":"BodiesTooLarge"')
  // who does not send the rest is not waited for
  expect(await putSlowly(tight, alice, 100_000, 10_000).ended).toContain('"code":"BodiesTooLarge"')
  const heavy = postHeavy(tight, "values", heavyBody())
  expect(await heavy.answered).toEqual({ status: 503, retryAfter: "5" })
  const text = "{}".padEnd(100_000)
  const other = await fetch(`${tight.url}/api/targets/values/env/me`, {
    method: "PUT",
    headers: { authorization: `Bearer ${await fronts.token("bob")}`, "content-type": "application/json" },
    body: text,
  })
  expect(other.status, await other.text()).toBe(200)
  for (const { socket } of slow) socket.destroy()
  await eventually(async () => (await held()) === 0, 5_000, "all bytes are given back")
  expect((await fetch(`${tight.url}/api/whoami`, { headers: { authorization: `Bearer ${alice}` } })).status).toBe(200)
  await tight.lose()
})
