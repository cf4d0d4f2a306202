/** The built gateway, which the benchmark measures. */
import { writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { startLoopbackIssuer } from "../test/support/loopback-issuer.ts"
import { target } from "../test/support/reflow.ts"
import type { Endpoint } from "./calls.ts"
import { freePort } from "./ports.ts"
import { type MeasuredProcess, startProcess } from "./process.ts"
import { makeScratch } from "./scratch.ts"

const root = resolve(import.meta.dirname, "..")
/** The bundle, as it is installed. */
const program = join(root, "dist/reflow.mjs")
const server = join(root, "bench/server.ts")

/** A tool policy of both kinds of lists, with globs in both. */
const policy = { allow: ["list_*", "read_*", "echo", "big"], deny: ["*_secret"] }

const audience = "bench"

/** A target whose server somebody else runs, at `url`, with a credential in a header, and the credential. */
const remoteTarget = (url: string): string =>
  [
    {
      apiVersion: "mcp.reflow.io/v1alpha1",
      kind: "MCPTarget",
      metadata: { name: "remote" },
      spec: {
        transportType: "streamable-http",
        remote: { url, headers: [{ name: "Authorization", value: "Bearer ${TOKEN}" }] },
        credentials: [{ name: "TOKEN", required: true }],
        statefulness: "stateful",
        tools: policy,
      },
    },
    {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "remote-env-default" },
      type: "Opaque",
      stringData: { TOKEN: "of-the-bench" },
    },
  ]
    .map((document) => `---\n${JSON.stringify(document)}\n`)
    .join("")

const targetsFor = (remote: string | undefined): string =>
  target("narrow", [process.execPath, server], { statefulness: "stateful", tools: policy }) +
  target("open", [process.execPath, server], { statefulness: "stateful" }) +
  (remote === undefined ? "" : remoteTarget(remote))

/** A running gateway. Its process is the program alone: the MCP servers that it has started are not counted. */
export type Reflow = {
  readonly process: MeasuredProcess
  /** An endpoint of a user whose server has a tool policy, and one of the same user without. */
  readonly narrow: Endpoint
  readonly open: Endpoint
  /** An endpoint of the same user and policy whose server it has not started; only if there is one. */
  readonly remote: Endpoint
  /** Where its metrics are. */
  readonly metrics: string
  stop(): Promise<void>
}

const flagsOf = (settings: Readonly<Record<string, string>>): readonly string[] =>
  Object.entries(settings).flatMap(([key, value]) => ["--set", `${key}=${value}`])

/** Where a gateway runs: its folder, its ports, and the issuer of its tokens. */
type Place = {
  readonly folder: string
  readonly port: number
  readonly health: number
  readonly issuer: string
  /** URL of a server that somebody else runs. */
  readonly remote: string | undefined
}

const startProgram = ({ folder, port, health, issuer, remote }: Place): Promise<MeasuredProcess> => {
  const file = join(folder, "targets.yaml")
  writeFileSync(file, targetsFor(remote))
  const flags = flagsOf({
    "gateway.listen": `127.0.0.1:${port}`,
    "metrics.listen": `127.0.0.1:${health}`,
    "dev.state_dir": join(folder, "state"),
    "log.format": "json",
    "auth.issuers": JSON.stringify([{ name: "bench", issuer, audiences: [audience] }]),
  })
  return startProcess({
    command: process.execPath,
    args: [program, "--role", "dev", "--targets", file, ...flags],
    env: { HOME: folder },
    cwd: folder,
    ready: { url: `http://127.0.0.1:${health}/readyz`, status: 200 },
    apart: server,
  })
}

/**
 * Starts the bundle with `--role dev`: embedded cluster, operator and gateway in one process, and an MCP server as a
 * process of its own for each user and target. Tokens are JWTs of an issuer on loopback, the log is JSON lines into a
 * pipe that is read. `remote`: URL of a server for the target `remote`, which is missing otherwise.
 */
export const startReflow = async (remote?: string): Promise<Reflow> => {
  const { folder, remove } = makeScratch("reflow-bench")
  const issuer = await startLoopbackIssuer(audience)
  const end = async () => {
    await issuer.close()
    remove()
  }
  try {
    const [port, health] = [await freePort(), await freePort()]
    const started = await startProgram({ folder, port, health, issuer: issuer.issuer, remote })
    const token = await issuer.sign({ sub: "alice" })
    const endpoint = (name: string): Endpoint => ({ url: `http://127.0.0.1:${port}/mcp/${name}`, token })
    const stop = async () => {
      await started.stop()
      await end()
    }
    const metrics = `http://127.0.0.1:${health}/metrics`
    const endpoints = { narrow: endpoint("narrow"), open: endpoint("open"), remote: endpoint("remote") }
    return { process: started, ...endpoints, metrics, stop }
  } catch (error) {
    await end()
    throw error
  }
}
