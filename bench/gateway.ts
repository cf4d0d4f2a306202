/**
 * CPU time per small tools/call through the gateway's data path, against a bare Node and undici pipe in the same run.
 * Run: node bench/gateway-cpu.ts [requests per round] [rounds]
 *
 * The pipe, the gateway and the server behind them are processes of their own; what is counted is the process time of
 * the one in the middle. Identity and placement are stubs that answer at once; sessions, policy, parsing, headers,
 * streaming, the audit line and metrics are real.
 */
import { type ChildProcess, fork } from "node:child_process"
import { createServer, type RequestListener } from "node:http"
import type { AddressInfo } from "node:net"
import { Pool } from "undici"
import { systemClock } from "../src/adapters/system/clock.ts"
import { type MCPTarget, MCPTargetSpec } from "../src/api/mcp-target.ts"
import { createGateway } from "../src/gateway/gateway.ts"
import { createGuard } from "../src/gateway/guard.ts"
import { createFrontDoor } from "../src/gateway/server.ts"
import type { SubjectKey } from "../src/identity/subject-key.ts"
import type { TelemetryPort } from "../src/ports/telemetry.ts"

const answer = JSON.stringify({ jsonrpc: "2.0", id: 1, result: { content: [{ type: "text", text: "hello" }] } })

const serveUpstream = (): RequestListener => (request, response) => {
  request.resume().on("end", () => {
    response.writeHead(200, {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(answer),
      "mcp-session-id": "own-session",
    })
    response.end(answer)
  })
}

/** The least that a pipe can do: read the body, send it, hand back status, type and body. */
const servePipe = (upstream: string): RequestListener => {
  const pool = new Pool(upstream, { pipelining: 1, bodyTimeout: 0 })
  return (request, response) => {
    const chunks: Buffer[] = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      pool.dispatch(
        {
          path: "/mcp",
          method: "POST",
          headers: ["content-type", "application/json", "accept", request.headers.accept ?? ""],
          body: Buffer.concat(chunks),
        },
        {
          onRequestStart: () => {},
          onResponseStart: (_, status, headers) => {
            response.writeHead(status, {
              "content-type": String(headers["content-type"]),
              "content-length": String(headers["content-length"]),
            })
          },
          onResponseData: (_, chunk) => void response.write(chunk),
          onResponseEnd: () => void response.end(),
          onResponseError: () => void response.destroy(),
        },
      )
    })
  }
}

/** Telemetry that formats its line and counts, but writes nowhere. */
const telemetry = (): TelemetryPort => {
  let bytes = 0
  const line = (message: string, fields?: object) => {
    bytes += JSON.stringify({ message, ...fields }).length
  }
  const log = { debug: line, info: line, warn: line, error: line, child: () => log }
  return {
    log,
    counter: () => ({ inc: () => {} }),
    gauge: () => ({ set: () => {}, inc: () => {} }),
    histogram: () => ({ observe: () => {} }),
    metrics: async () => String(bytes),
  }
}

const serveGateway = (upstream: string): RequestListener => {
  const target: MCPTarget = {
    apiVersion: "mcp.reflow.io/v1alpha1",
    kind: "MCPTarget",
    metadata: { name: "demo", uid: "target-uid" },
    spec: MCPTargetSpec.parse({ image: "demo", port: 8080 }),
  }
  const identity = {
    source: "token",
    issuer: "static",
    subject: "alice",
    groups: [],
    roles: [],
    scopes: [],
    claims: {},
  } as const
  const placement = {
    instance: "demo-user-x",
    instanceUID: "uid",
    incarnation: "pod.0",
    url: new URL("/mcp", upstream),
  }
  const key = { id: "00c0ffee", secret: Buffer.alloc(32, 7) }
  const gateway = createGateway({
    targets: {
      synced: Promise.resolve(),
      hasSynced: () => true,
      get: (name) => (name === "demo" ? target : undefined),
      items: () => [target].values(),
      size: 1,
      silenceMs: () => 0,
      subscribe: () => () => {},
      close: async () => {},
    },
    placement: {
      place: async () => placement,
      beginCall: () => () => {},
      touchStream: () => {},
      currentIncarnation: async () => placement.incarnation,
      reportUnreachable: () => {},
      close: async () => {},
    },
    authenticate: () => identity,
    subjectKeyOf: () => "user:x" as SubjectKey,
    mayUse: () => true,
    sessionKeys: { current: () => key, find: () => key },
    clock: systemClock,
    telemetry: telemetry(),
    options: {
      publicUrl: "http://localhost:8080",
      requestTimeoutMs: 900_000,
      sessionLifetimeMs: 86_400_000,
      maxBodyBytes: 4 * 2 ** 20,
      trustedProxies: [],
    },
  })
  const guard = createGuard({
    publicUrl: "http://localhost:8080",
    allowedHosts: [],
    allowedOrigins: [],
    loopback: true,
  })
  return createFrontDoor({ guard, gateway })
}

/** Part of a child: listens, says where, and answers the parent's question for its CPU time. */
const runChild = (role: string, upstream: string): void => {
  const listeners: Record<string, () => RequestListener> = {
    upstream: serveUpstream,
    pipe: () => servePipe(upstream),
    gateway: () => serveGateway(upstream),
  }
  const server = createServer({ keepAliveTimeout: 60_000 }, listeners[role]?.())
  server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }))
  process.on("message", () => {
    const { user, system } = process.cpuUsage()
    process.send?.({ cpu: user + system })
  })
}

type Child = { readonly process: ChildProcess; readonly url: string; cpu(): Promise<number> }

const ask = <T>(child: ChildProcess): Promise<T> =>
  new Promise((resolve) => child.once("message", (each) => resolve(each as T)))

const start = async (role: string, upstream = ""): Promise<Child> => {
  const child = fork(import.meta.filename, ["--child", role, upstream])
  const { port } = await ask<{ port: number }>(child)
  const cpu = async () => {
    const reply = ask<{ cpu: number }>(child)
    child.send("cpu")
    return (await reply).cpu
  }
  return { process: child, url: `http://127.0.0.1:${port}`, cpu }
}

const legacy = {
  jsonrpc: "2.0",
  id: 1,
  method: "tools/call",
  params: { name: "echo", arguments: { message: "hello" } },
}
const modern = {
  ...legacy,
  params: {
    ...legacy.params,
    _meta: {
      "io.modelcontextprotocol/protocolVersion": "2026-07-28",
      "io.modelcontextprotocol/clientInfo": { name: "bench", version: "1" },
      "io.modelcontextprotocol/clientCapabilities": {},
    },
  },
}
const modernHeaders = { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "echo" }

type Load = {
  readonly child: Child
  readonly path: string
  readonly body: object
  readonly headers: Record<string, string>
}

/** Sends requests over 8 connections; resolves with microseconds of CPU per request in the child. */
const measure = async ({ child, path, body, headers }: Load, requests: number): Promise<number> => {
  const pool = new Pool(child.url, { connections: 8 })
  const text = JSON.stringify(body)
  const all = {
    ...headers,
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    authorization: "Bearer x",
  }
  let left = requests
  const before = await child.cpu()
  const worker = async () => {
    while (left-- > 0) {
      const { statusCode, body: got } = await pool.request({ path, method: "POST", headers: all, body: text })
      await got.dump()
      if (statusCode !== 200) throw new Error(`status ${statusCode}`)
    }
  }
  await Promise.all(Array.from({ length: 8 }, worker))
  const after = await child.cpu()
  await pool.close()
  return (after - before) / requests
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

const main = async (requests: number, rounds: number): Promise<void> => {
  const upstream = await start("upstream")
  const [pipe, gateway] = [await start("pipe", upstream.url), await start("gateway", upstream.url)]
  const opened = await fetch(`${gateway.url}/mcp/demo`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: "Bearer x" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 0, method: "initialize", params: {} }),
  })
  const session = { "mcp-session-id": opened.headers.get("mcp-session-id") ?? "", "mcp-protocol-version": "2025-11-25" }
  const loads: Record<string, Load> = {
    "bare pipe": { child: pipe, path: "/mcp", body: legacy, headers: session },
    "gateway, legacy session": { child: gateway, path: "/mcp/demo", body: legacy, headers: session },
    "gateway, modern": { child: gateway, path: "/mcp/demo", body: modern, headers: modernHeaders },
  }
  const results = new Map<string, number[]>(Object.keys(loads).map((name) => [name, []]))
  for (const load of Object.values(loads)) await measure(load, requests)
  for (let round = 0; round < rounds; round++) {
    for (const [name, load] of Object.entries(loads)) results.get(name)?.push(await measure(load, requests))
  }
  const reference = median(results.get("bare pipe") ?? [])
  for (const [name, values] of results) {
    const value = median(values)
    console.log(`${name.padEnd(26)} ${value.toFixed(1).padStart(7)} µs  ${(value / reference).toFixed(2)} ×`)
  }
  for (const child of [pipe, gateway, upstream]) child.process.kill()
}

const [flag, role = "", upstream = ""] = process.argv.slice(2)
if (flag === "--child") runChild(role, upstream)
else await main(Number(flag ?? 5_000), Number(role || 5))
