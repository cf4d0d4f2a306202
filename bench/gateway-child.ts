/**
 * The child processes of the gateway's benchmark, which gateway.ts forks: the server, the bare pipe and the gateways.
 */
import { type ChildProcess, fork } from "node:child_process"
import { openSync, writeSync } from "node:fs"
import { createServer, type RequestListener } from "node:http"
import type { AddressInfo } from "node:net"
import { Pool } from "undici"
import { systemClock } from "../src/adapters/system/clock.ts"
import type { MCPTargetSpec } from "../src/api/kinds/mcp-target.ts"
import { httpServerOptions } from "../src/door/front-door.ts"
import { createTelemetry } from "../src/telemetry/telemetry.ts"
import { type DataPath, startDataPath } from "../test/support/data-path.ts"

/** Role of a child. `gateway` has no tool policy; the target of `gateway-policy` allows only some tools. */
export type Role = "upstream" | "pipe" | "gateway" | "gateway-policy"

/** Message of a child when it listens: its port, the path for requests, and a token that it accepts. */
type Hello = { readonly port: number; readonly path: string; readonly token: string }

/** A running child. */
export type Child = {
  readonly url: string
  readonly path: string
  /** A token that it accepts. */
  readonly token: string
  /** CPU time (user and system) that the child has used so far, in microseconds. */
  cpu(): Promise<number>
  stop(): void
}

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

/** A minimal proxy: it reads the body, sends it to `upstream`, and passes on status, content type and body. */
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

/** Stands in for the operator: reports each instance that a request creates as Ready. */
const simulateOperator = async (path: DataPath, upstream: string): Promise<void> => {
  const known = new Set<string>()
  const poll = async (): Promise<void> => {
    for (const name of await path.instances()) {
      if (known.has(name)) continue
      known.add(name)
      await path.report(name, new URL("/mcp", upstream))
    }
    if (known.size === 0) setTimeout(() => void poll(), 20)
  }
  await poll()
}

/** The gateway's whole data path over the embedded cluster. Log lines are formatted and written to /dev/null. */
const serveGateway = async (upstream: string, spec: Partial<MCPTargetSpec>): Promise<DataPath> => {
  const nowhere = openSync("/dev/null", "w")
  const write = (line: string) => void writeSync(nowhere, line)
  const telemetry = createTelemetry({ level: "info", format: "json", write, processMetrics: false })
  const path = await startDataPath({ clock: systemClock, telemetry, spec })
  await simulateOperator(path, upstream)
  return path
}

const listenAs = async (role: Role, upstream: string): Promise<Omit<Hello, "port"> & { handler: RequestListener }> => {
  const bare = { path: "/mcp", token: "x" }
  if (role === "upstream") return { ...bare, handler: serveUpstream() }
  if (role === "pipe") return { ...bare, handler: servePipe(upstream) }
  const spec = role === "gateway" ? {} : { tools: { allow: ["list_*", "read_*", "echo"], deny: ["*_secret"] } }
  const { handler, path, tokens } = await serveGateway(upstream, spec)
  return { handler, path, token: tokens.signed }
}

/** Runs in the child: listens, sends a {@link Hello}, and answers each message with the used CPU time. */
const runChild = async (role: Role, upstream: string): Promise<void> => {
  const { handler, path, token } = await listenAs(role, upstream)
  const server = createServer(httpServerOptions, handler)
  server.listen(0, "127.0.0.1", () => {
    process.send?.({ port: (server.address() as AddressInfo).port, path, token } satisfies Hello)
  })
  process.on("message", () => {
    const { user, system } = process.cpuUsage()
    process.send?.(user + system)
  })
}

/** The next message of a child. Rejects if the child exits first. */
const nextMessage = <T>(child: ChildProcess): Promise<T> =>
  new Promise((resolve, reject) => {
    const onExit = () => reject(new Error("a process of the measurement ended"))
    child.once("exit", onExit)
    child.once("message", (each) => {
      child.off("exit", onExit)
      resolve(each as T)
    })
  })

/** Starts a child in front of `upstream`; resolves when it listens. */
export const startChild = async (role: Role, upstream = ""): Promise<Child> => {
  const child = fork(import.meta.filename, [role, upstream])
  const { port, path, token } = await nextMessage<Hello>(child)
  const cpu = (): Promise<number> => {
    const reply = nextMessage<number>(child)
    child.send("cpu")
    return reply
  }
  return { url: `http://127.0.0.1:${port}`, path, token, cpu, stop: () => void child.kill() }
}

if (import.meta.main) await runChild(process.argv[2] as Role, process.argv[3] ?? "")
