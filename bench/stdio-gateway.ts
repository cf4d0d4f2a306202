/** The built gateway with stdio servers behind its bridge. */
import { writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { startLoopbackIssuer } from "../test/support/loopback-issuer.ts"
import { target } from "../test/support/reflow.ts"
import { freePort } from "./ports.ts"
import { type MeasuredProcess, startProcess } from "./process.ts"
import { makeScratch } from "./scratch.ts"

const root = resolve(import.meta.dirname, "..")

/** How a bridge uses its server. */
export type Processes = "per_session" | "shared"

/** A program that has started, and its MCP endpoint. */
export type Started = {
  readonly process: MeasuredProcess
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  stop(): Promise<void>
}

/** Most processes of a server: more than the sessions of any measurement. */
export const mostProcesses = 64

/** The tool policy of the other measurements: lists of both kinds, with globs in both. */
const tools = { allow: ["list_*", "read_*", "echo", "big"], deny: ["*_secret"] }

const audience = "bench"

/** Flags of the gateway; its settings are those of the other measurements (reflow.ts). */
const flagsOf = (folder: string, issuer: string, port: number, health: number, log: "on" | "off"): readonly string[] =>
  Object.entries({
    "gateway.listen": `127.0.0.1:${port}`,
    "metrics.listen": `127.0.0.1:${health}`,
    "dev.state_dir": join(folder, "state"),
    "log.format": "json",
    "log.level": log === "on" ? "info" : "warn",
    "auth.issuers": JSON.stringify([{ name: "bench", issuer, audiences: [audience] }]),
  }).flatMap(([key, value]) => ["--set", `${key}=${value}`])

/**
 * `log`: whether it has a line for each call, as by default. Starts dist/reflow.mjs with `--role dev`, whose only target is this script over stdin and stdout. It starts the bridge
 * beside it, dist/bridge.mjs.
 */
export const startGateway = async (script: string, processes: Processes, log: "on" | "off"): Promise<Started> => {
  await using stack = new AsyncDisposableStack()
  const { folder, remove } = makeScratch("reflow-bench-stdio")
  stack.defer(remove)
  const issuer = await startLoopbackIssuer(audience)
  stack.defer(() => issuer.close())
  const [port, health] = [await freePort(), await freePort()]
  const file = join(folder, "targets.yaml")
  const stdio = { processes, maxProcesses: mostProcesses }
  const command = [process.execPath, script, "--stdio"]
  writeFileSync(file, target("bench", command, { statefulness: "stateful", tools, stdio }))
  const program = join(root, "dist/reflow.mjs")
  const started = await startProcess({
    command: process.execPath,
    args: [program, "--role", "dev", "--targets", file, ...flagsOf(folder, issuer.issuer, port, health, log)],
    env: { HOME: folder },
    cwd: folder,
    ready: { url: `http://127.0.0.1:${health}/readyz`, status: 200 },
  })
  stack.defer(() => started.stop())
  const headers = { authorization: `Bearer ${await issuer.sign({ sub: "alice" })}` }
  const kept = stack.move()
  return { process: started, url: `http://127.0.0.1:${port}/mcp/bench`, headers, stop: () => kept.disposeAsync() }
}

/** Starts the bridge alone, to which clients connect. */
export const startBridge = async (script: string, processes: Processes): Promise<Started> => {
  const port = await freePort()
  const flags = ["--processes", processes, "--max-processes", String(mostProcesses)]
  const command = [process.execPath, script, "--stdio"]
  const bridge = await startProcess({
    command: process.execPath,
    args: [join(root, "dist/bridge.mjs"), "--listen", `127.0.0.1:${port}`, ...flags, "--", ...command],
    ready: { port },
  })
  return { process: bridge, url: `http://127.0.0.1:${port}/mcp`, headers: {}, stop: bridge.stop }
}
