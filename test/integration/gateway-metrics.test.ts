import { createServer, request, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { afterEach, beforeEach, expect, test } from "vitest"
import { systemClock } from "../../src/adapters/system/clock.ts"
import { errorTable } from "../../src/errors.ts"
import { httpServerOptions } from "../../src/gateway/server.ts"
import type { TelemetryPort } from "../../src/ports/telemetry.ts"
import { createTelemetry } from "../../src/telemetry/telemetry.ts"
import { type DataPath, startDataPath } from "../support/data-path.ts"
import { answerJson, type FakeServer, initialize, message, startServer } from "./gateway-stage.ts"

let server: FakeServer
let way: DataPath
let front: Server
let telemetry: TelemetryPort
let port: number
const lines: string[] = []

beforeEach(async () => {
  lines.splice(0)
  server = await startServer((seen, response) => answerJson(response, seen, {}))
  const write = (line: string) => void lines.push(line)
  telemetry = createTelemetry({ level: "info", format: "json", write, processMetrics: false })
  way = await startDataPath({ clock: systemClock, telemetry, spec: { tools: { allow: ["t-*"] } } })
  front = createServer(httpServerOptions, way.handler)
  await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve))
  port = (front.address() as AddressInfo).port
})

afterEach(async () => {
  await way.close()
  front.closeAllConnections()
  await new Promise((resolve) => front.close(resolve))
  await server.close()
})

type Sent = {
  readonly method?: string
  readonly path?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
}

/** Sends a request that fetch would refuse to send; resolves with its status. */
const send = ({ method = "POST", path = way.path, headers, body }: Sent): Promise<number> =>
  new Promise((resolve, reject) => {
    const own = { authorization: `Bearer ${way.tokens.fixed}`, "content-type": "application/json", ...headers }
    const sent = request({ port, host: "127.0.0.1", method, path, headers: own }, (response) => {
      response.resume().on("end", () => resolve(response.statusCode ?? 0))
    })
    sent.on("error", reject)
    sent.end(body === undefined ? undefined : JSON.stringify(body))
  })

const bringUp = async (): Promise<void> => {
  const first = send({ body: initialize })
  await expect.poll(way.instances).toHaveLength(1)
  const [name = ""] = await way.instances()
  await way.report(name, server.url)
  expect(await first).toBe(200)
}

/** One request for each thing that a caller may name, with a name that was never there before. */
const hostileRound = async (index: number): Promise<readonly number[]> => {
  const name = `canary-${index}`
  const statuses: number[] = []
  for (const sent of [
    { path: `/mcp/${name}`, body: initialize },
    { path: `/mcp/%22%7D%0A${name}`, body: initialize },
    { body: message(`${name}"},{x="\\`) },
    { body: message("tools/call", { name: `t-${name}\n{}"` }) },
    { body: message("tools/call", { name: `hidden-${name}` }) },
    { body: message(`tasks/${name}`, {}, name) },
    { body: message("ping"), headers: { authorization: `Bearer ${name}` } },
    { body: message("ping"), headers: { "mcp-session-id": name } },
    { body: message("ping"), headers: { "content-type": `application/${name}` } },
    { body: message("ping"), headers: { "user-agent": name, "x-request-id": name, origin: `http://${name}` } },
    { method: "PROPFIND" },
    { method: "DELETE", headers: { "mcp-session-id": name } },
    { method: "GET", path: `/${name}` },
  ] satisfies Sent[])
    statuses.push(await send(sent))
  return statuses
}

/** Every sample of our own metrics: name and labels. */
const series = async (): Promise<readonly string[]> =>
  (await telemetry.metrics())
    .split("\n")
    .filter((line) => line.startsWith("reflow_"))
    .map((line) => line.slice(0, line.lastIndexOf(" ")))

const valuesOf = (all: readonly string[], label: string): readonly string[] => [
  ...new Set(
    all.flatMap((each) => [...each.matchAll(new RegExp(`[{,]${label}="([^"]*)"`, "g"))].map(([, v = ""]) => v)),
  ),
]

test("hostile names of targets, methods, tools, tokens and sessions make no metric series of their own", async () => {
  await bringUp()
  const first = await hostileRound(0)
  expect(first).toEqual([404, 404, 200, 200, 200, 200, 401, 404, 415, 403, 405, 404, 404])
  const known = await series()
  for (let index = 1; index <= 40; index++) expect(await hostileRound(index)).toEqual(first)
  const all = await series()
  expect(all).toEqual(known)
  expect(all.join("\n")).not.toMatch(/canary|other/)
  expect(all.filter((each) => each.startsWith("reflow_gateway_requests_total")).length).toBeLessThan(20)
  const codes = ["", ...Object.keys(errorTable)]
  expect(valuesOf(all, "code").filter((code) => !codes.includes(code))).toEqual([])
  expect(valuesOf(all, "verb").toSorted()).toEqual(["DELETE", "POST"])
})

test("a hostile request has one short line in the log, whatever it names", async () => {
  await bringUp()
  const long = "n".repeat(200)
  const before = lines.length
  expect(await send({ path: `/mcp/${long}`, body: initialize })).toBe(404)
  expect(await send({ body: message("tools/call", { name: `t-${"x".repeat(100_000)}` }) })).toBe(200)
  expect(await send({ body: message(`${long}\n{"message":"mcp request"}`) })).toBe(400)
  await expect.poll(() => lines.length - before).toBe(3)
  for (const line of lines.slice(before)) {
    expect(line.length).toBeLessThan(600)
    expect(line.trimEnd()).not.toContain("\n")
    expect(JSON.parse(line)).toMatchObject({ message: "mcp request" })
  }
})

test("a tool that the policy hides is named in the log with what became of the call", async () => {
  await bringUp()
  const before = lines.length
  await send({ body: message("tools/call", { name: "hidden" }) })
  await expect.poll(() => lines.length - before).toBe(1)
  const line = JSON.parse(lines.at(-1) ?? "")
  expect(line).toMatchObject({
    target: "github",
    method: "tools/call",
    tool: "hidden",
    code: "UnknownTool",
    status: 200,
  })
  expect(line.subject).toMatch(/^[0-9a-f]{16}$/)
})
