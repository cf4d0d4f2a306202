/** How many series the gateway's metrics have, whatever clients and servers send. */
import { request as sendRequest } from "node:http"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { errorTable } from "../../src/errors.ts"
import type { TelemetryPort } from "../../src/ports/telemetry.ts"
import { createMetrics, createTelemetry } from "../../src/telemetry/telemetry.ts"
import { type Gateways, startGateways } from "../support/gateways.ts"
import { quietTelemetry } from "../support/quiet-telemetry.ts"
import { repositoryFile, target } from "../support/reflow.ts"
import {
  answerJson,
  type FakeServer,
  initialize,
  lifeAt,
  message,
  post,
  raw,
  type Stage,
  startServer,
  startStage,
} from "./gateway-stage.ts"

/** The series of our own, e.g. `reflow_token_checks_total{result="cached"}`, with their values. */
const seriesOf = async (metrics: Pick<TelemetryPort, "metrics">): Promise<Map<string, number>> => {
  const lines = (await metrics.metrics()).split("\n").filter((line) => line.startsWith("reflow_"))
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ")))]))
}

const valuesOf = (series: Iterable<string>, label: string): Set<string> =>
  new Set([...series].flatMap((each) => new RegExp(`[{,]${label}="([^"]*)"`).exec(each)?.[1] ?? []))

/** A request whose answer fetch would refuse to show, e.g. for its status; resolves when it is over. */
const answered = (method: string, url: string, body?: string): Promise<void> =>
  new Promise((resolve) => {
    const headers = { authorization: "Bearer token-of-alice", "content-type": "application/json" }
    const sent = sendRequest(url, { method, headers }, (response) => response.resume().on("close", resolve))
    sent.on("error", () => resolve()).end(body)
  })

describe("one gateway", () => {
  let stage: Stage
  let server: FakeServer
  let metrics: ReturnType<typeof createMetrics>
  beforeEach(async () => {
    metrics = createMetrics(false)
    stage = await startStage({ metrics })
  })
  afterEach(async () => {
    await stage.close()
    await server.close()
  })

  test("counts requests by verb, status and code, answers by time, and what is in flight", async () => {
    let answer = (): void => {}
    const arrived = Promise.withResolvers<void>()
    server = await startServer((seen, response) => {
      answer = () => answerJson(response, seen, {})
      if (seen.body.includes("wait")) arrived.resolve()
      else answer()
    })
    stage.placement.now = lifeAt(server.url)
    await (await post(stage, message("ping"))).text()
    await (await post(stage, "nonsense")).text()
    const open = post(stage, message("wait"))
    await arrived.promise
    expect((await seriesOf(metrics)).get("reflow_gateway_requests_in_flight")).toBe(1)
    answer()
    await (await open).text()
    await expect.poll(async () => (await seriesOf(metrics)).get("reflow_gateway_requests_in_flight")).toBe(0)
    const series = await seriesOf(metrics)
    expect(series.get('reflow_gateway_requests_total{verb="POST",status="200",code=""}')).toBe(2)
    expect(series.get('reflow_gateway_requests_total{verb="POST",status="400",code="MalformedJson"}')).toBe(1)
    expect(series.get('reflow_gateway_answer_seconds_count{verb="POST"}')).toBe(3)
  })

  test("counts the errors of servers by what they did", async () => {
    server = await startServer(({ body }, response) => {
      if (body.includes("cut"))
        response.writeHead(200, { "content-length": "100" }).write("x", () => response.destroy())
      else if (body.includes("deny")) response.writeHead(401).end()
      else response.destroy()
    })
    stage.placement.now = lifeAt(server.url)
    for (const method of ["cut", "deny", "drop"])
      await post(stage, message(method)).then(
        (response) => response.text().catch(() => {}),
        () => {},
      )
    const series = await seriesOf(metrics)
    const reasons = ["server_gone", "UpstreamInterrupted", "UpstreamUnauthorized"]
    expect(valuesOf(series.keys(), "reason")).toEqual(new Set(reasons))
    for (const reason of reasons) expect(series.get(`reflow_gateway_upstream_errors_total{reason="${reason}"}`)).toBe(1)
  })

  test("has no series of its own for a status that a server invents", async () => {
    server = await startServer(({ body }, response) => {
      response.writeHead(Number(JSON.parse(body).id)).end()
    })
    stage.placement.now = lifeAt(server.url)
    for (let status = 200; status < 1_000; status++) {
      // without a body, after which a connection would not go on
      if (status === 204 || status === 205 || status === 304) continue
      await answered("POST", `${stage.url}/mcp/demo`, JSON.stringify(message("ping", {}, status)))
    }
    const statuses = valuesOf((await seriesOf(metrics)).keys(), "status")
    expect(statuses.has("other")).toBe(true)
    expect(statuses.size).toBeLessThan(60)
  }, 60_000)
})

/** A thousand names that nobody gave: long, with quotes, line ends, other alphabets, and what looks like labels. */
const hostileName = (index: number): string =>
  [
    `x-${index}`,
    `"},evil="${index}`,
    `${index}\n# HELP`,
    `нет-${index}`,
    `${"a".repeat(200)}${index}`,
    `__proto__${index}`,
  ][index % 6] ?? ""

test("a hostile request has one short line in the log, whatever it names", async () => {
  const lines: string[] = []
  const { log } = createTelemetry({
    level: "info",
    format: "json",
    write: (line) => void lines.push(line),
    processMetrics: false,
  })
  const server = await startServer((seen, response) => answerJson(response, seen, {}))
  const stage = await startStage({ log })
  stage.placement.now = lifeAt(server.url)
  const long = "n".repeat(200)
  const headers = { "mcp-protocol-version": "2025-03-26" }
  const batch = Array.from({ length: 90 }, (_, id) => message("tools/call", { name: `${id}${"x".repeat(10_000)}` }, id))
  await post(stage, message("ping"), { target: long })
  await post(stage, message("tools/call", { name: `t-${"x".repeat(100_000)}` }))
  await post(stage, message(`${long}\n{"message":"mcp request"}`))
  await post(stage, batch, { headers })
  await expect.poll(() => lines.length).toBe(4)
  for (const [index, line] of lines.entries()) {
    expect(line.length).toBeLessThan(index === 3 ? 4_000 : 600)
    expect(line.trimEnd()).not.toContain("\n")
    expect(JSON.parse(line)).toMatchObject({ message: "mcp request" })
  }
  await stage.close()
  await server.close()
})

describe("a thousand hostile names", () => {
  let gateways: Gateways
  const metrics = createMetrics(false)
  beforeAll(async () => {
    const server = [process.execPath, repositoryFile("examples/servers/dice.mjs")]
    const few = target("few", server, { isolationBoundary: "shared", tools: { allow: ["roll*"] } })
    gateways = await startGateways(1, `${target("dice", server)}${few}`, () => ({ ...quietTelemetry(), ...metrics }))
  }, 60_000)
  afterAll(() => gateways.close())

  /** One request with a hostile name in each place that takes one. */
  const attack = async (index: number, token: string): Promise<void> => {
    const [url = ""] = gateways.urls
    const name = hostileName(index)
    const path = encodeURIComponent(name)
    const accept = "application/json, text/event-stream"
    const headers = { authorization: `Bearer ${token}`, accept, "content-type": "application/json" }
    const ask = async (where: string, init: RequestInit) => void (await (await fetch(`${url}${where}`, init)).text())
    const send = (where: string, body: unknown) => ask(where, { method: "POST", headers, body: JSON.stringify(body) })
    await send(`/mcp/${path}`, initialize)
    await send("/mcp/dice", message(index % 2 === 0 ? `m${index}` : name))
    await send("/mcp/few", message("tools/call", { name }))
    await ask("/mcp/dice", { method: "POST", headers: { ...headers, authorization: `Bearer x.${index}` }, body: "{}" })
    await ask(`/api/${path}`, { headers })
    await raw(
      Number(new URL(url).port),
      `GET /mcp/dice HTTP/1.1\r\nhost: h${index}.example\r\nconnection: close\r\n\r\n`,
    )
  }

  test("make no series more than the first hundred", { timeout: 120_000 }, async () => {
    const token = await gateways.token("alice")
    for (let index = 0; index < 100; index++) await attack(index, token)
    const before = new Set((await seriesOf(metrics)).keys())
    for (let index = 100; index < 1_000; index++) await attack(index, token)
    const after = await seriesOf(metrics)
    expect([...after.keys()].filter((each) => !before.has(each))).toEqual([])
    expect(after.size).toBeLessThan(200)
    const codes = valuesOf(after.keys(), "code")
    expect([...codes].filter((code) => code !== "" && !Object.hasOwn(errorTable, code))).toEqual([])
    expect(codes.size).toBeGreaterThan(5)
    // nothing of them is in a label, nor were they so many that a metric had to stop telling them apart
    expect([...after.keys()].filter((each) => /evil|HELP|нет|aaaa|__proto__|"other"/.test(each))).toEqual([])
    expect(after.get('reflow_placements_total{outcome="warm",phase="Ready"}')).toBeGreaterThanOrEqual(500)
    expect(after.get('reflow_token_checks_total{result="cached"}')).toBeGreaterThanOrEqual(500)
    expect(after.get('reflow_token_checks_total{result="unknown"}')).toBe(1_000)
  })

  test("of verbs that HTTP does not know either", async () => {
    const [url = ""] = gateways.urls
    for (const method of ["SEARCH", "PROPFIND", "BREW", "PURGE", "M-SEARCH", "LOCK"])
      await answered(method, `${url}/mcp/dice`)
    const verbs = valuesOf((await seriesOf(metrics)).keys(), "verb")
    expect([...verbs].toSorted()).toEqual(["GET", "POST", "other"])
  })
})
