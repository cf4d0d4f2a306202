/**
 * `npm run bench:files [-- --list]`: counts the files and functions of src that run in one warm call, by V8's coverage.
 * It measures a tools/call of the modern era and one of a session, each with a tool policy, after a hundred calls of
 * the same kind. With --list it prints their names.
 */
import { once } from "node:events"
import { createServer, type RequestListener } from "node:http"
import { Session } from "node:inspector/promises"
import type { AddressInfo } from "node:net"
import { relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { systemClock } from "../src/adapters/system/clock.ts"
import { httpServerOptions } from "../src/door/front-door.ts"
import { createTelemetry } from "../src/telemetry/telemetry.ts"
import { startDataPath } from "../test/support/data-path.ts"

const root = resolve(import.meta.dirname, "..")
const result = { content: [{ type: "text", text: "hello" }] }

const listen = async (handler: RequestListener) => {
  const server = createServer(httpServerOptions, handler).listen(0, "127.0.0.1")
  await once(server, "listening")
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

const upstream = await listen((request, response) => {
  request.resume().on("end", () => {
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, result })
    const length = Buffer.byteLength(body)
    const head = { "content-type": "application/json", "content-length": length, "mcp-session-id": "own-session" }
    response.writeHead(200, head)
    response.end(body)
  })
})
const telemetry = createTelemetry({ level: "info", format: "json", write: () => {}, processMetrics: false })
const path = await startDataPath({ clock: systemClock, telemetry, spec: { tools: { allow: ["echo"] } } })
const front = await listen(path.handler)

const version = "2026-07-28"
const modern = { "mcp-protocol-version": version, "mcp-method": "tools/call", "mcp-name": "echo" }
const meta = {
  "io.modelcontextprotocol/protocolVersion": version,
  "io.modelcontextprotocol/clientInfo": { name: "bench", version: "1" },
  "io.modelcontextprotocol/clientCapabilities": {},
}

const send = async (method: string, params: object, headers: Readonly<Record<string, string>> = {}) => {
  const response = await fetch(`${front.url}${path.path}`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${path.tokens.signed}`,
      accept: "application/json, text/event-stream",
      "content-type": "application/json",
      ...headers,
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
  })
  await response.text()
  if (!response.ok) throw new Error(`${method} was answered ${response.status}`)
  return response
}

/** Stands in for the operator: reports the first instance that a request creates as Ready. */
const bringUp = async (): Promise<void> => {
  for (;;) {
    const [name] = await path.instances()
    if (name !== undefined) return path.report(name, new URL("/mcp", upstream.url))
    await systemClock.sleep(20)
  }
}

const session = new Session()
session.connect()
await session.post("Profiler.enable")

/** The functions that ran since the last call of this function, by file of src. */
const ran = async (): Promise<ReadonlyMap<string, readonly string[]>> => {
  const { result: scripts } = await session.post("Profiler.takePreciseCoverage")
  const files = new Map<string, readonly string[]>()
  for (const { url, functions } of scripts) {
    if (!url.startsWith("file:")) continue
    const file = relative(root, fileURLToPath(url))
    const names = functions.filter(({ ranges: [whole] }) => (whole?.count ?? 0) > 0).map((each) => each.functionName)
    if (file.startsWith("src/") && names.length > 0) files.set(file, names)
  }
  return files
}

const measure = async (what: string, call: () => Promise<unknown>): Promise<void> => {
  for (let warm = 0; warm < 100; warm++) await call()
  await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: false })
  await ran()
  await call()
  // the log line and the end of the exchange come after the response
  await systemClock.sleep(50)
  const files = await ran()
  await session.post("Profiler.stopPreciseCoverage")
  const named = [...files.values()].flat().filter((name) => name !== "")
  console.log(`${what}: ${files.size} files, ${named.length} named functions`)
  if (process.argv.includes("--list"))
    for (const [file, names] of [...files].sort()) console.log(`  ${file}: ${names.filter(Boolean).join(", ")}`)
}

const opening = send("initialize", {
  protocolVersion: "2025-11-25",
  capabilities: {},
  clientInfo: { name: "b", version: "1" },
})
await bringUp()
const id = (await opening).headers.get("mcp-session-id") ?? ""
const call = { name: "echo", arguments: {} }
await measure("a warm call of the modern era", () => send("tools/call", { ...call, _meta: meta }, modern))
await measure("a warm call of a session", () => send("tools/call", call, { "mcp-session-id": id }))

session.disconnect()
await path.close()
for (const { server } of [front, upstream]) {
  server.closeAllConnections()
  server.close()
}
