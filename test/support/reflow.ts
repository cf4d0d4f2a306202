import { type ChildProcess, spawn } from "node:child_process"
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { mintDevToken } from "../../src/identity/own-tokens.ts"
import { ensureDevKey } from "../../src/roles/dev/key.ts"

/** The ways in which the program is shipped. */
export type Form = "source" | "bundle" | "executable" | "deno"

const root = resolve(import.meta.dirname, "../..")
const bin = join(root, "node_modules/.bin")

/** Command line of a form, and the folder it runs in. The executable is copied alone into an empty folder. */
const launch = (form: Form, folder: string): { command: string; args: string[]; cwd: string } => {
  if (form === "executable") {
    const cwd = join(folder, "alone")
    mkdirSync(cwd)
    copyFileSync(join(root, "dist/reflow"), join(cwd, "reflow"))
    return { command: join(cwd, "reflow"), args: [], cwd }
  }
  const bundle = join(root, "dist/reflow.mjs")
  if (form === "deno") return { command: join(bin, "deno"), args: ["run", "-A", bundle], cwd: root }
  return { command: process.execPath, args: [form === "bundle" ? bundle : join(root, "src/main.ts")], cwd: root }
}

/** What a test says of the program that it starts. */
export type ReflowOptions = {
  readonly form?: Form
  /** YAML documents of targets (and Secrets). */
  readonly targets: string
  /** `--set` values. */
  readonly set?: Readonly<Record<string, string>>
  /** Besides PATH and HOME. */
  readonly env?: Readonly<Record<string, string>>
  /** A command that starts another one, which follows it, and then is this program, e.g. `unshare --net`. */
  readonly within?: readonly string[]
}

/** A running program of the role dev. */
export type Reflow = {
  readonly url: string
  readonly process: ChildProcess
  /** The folder of this run; gone after stop. */
  readonly folder: string
  /** A token of the embedded default, for MCP and the REST API. */
  token(subject: string, options?: { roles?: string[]; groups?: string[] }): Promise<string>
  /** A request to the REST API as the administrator; resolves with status and parsed body. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of any shape
  api(method: string, path: string, body?: unknown, token?: string): Promise<{ status: number; body: any }>
  /** Everything it printed so far. */
  output(): string
  /** SIGTERM, then waits for its end. */
  stop(): Promise<number | null>
}

type Run = { readonly code: number | null; readonly stdout: string; readonly stderr: string }

/** Runs the program once to its end, e.g. for `reflow token`. */
export const runReflow = (
  args: readonly string[],
  options: { form?: Form; env?: Readonly<Record<string, string>>; cwd?: string } = {},
): Promise<Run> => {
  const folder = mkdtempSync(join(tmpdir(), "reflow-run-"))
  const { command, args: first, cwd } = launch(options.form ?? "source", folder)
  return new Promise((resolveRun, reject) => {
    const child = spawn(command, [...first, ...args], {
      cwd: options.cwd ?? cwd,
      env: { PATH: `${bin}:${process.env.PATH}`, HOME: folder, ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
    })
    let stdout = ""
    let stderr = ""
    child.stdout.on("data", (chunk) => (stdout += chunk))
    child.stderr.on("data", (chunk) => (stderr += chunk))
    child.on("error", reject)
    child.on("close", (code) => {
      rmSync(folder, { recursive: true, force: true })
      resolveRun({ code, stdout, stderr })
    })
  })
}

const exited = (child: ChildProcess): Promise<number | null> =>
  child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve(child.exitCode)
    : new Promise((done) => child.once("exit", (code) => done(code)))

/** Starts the program in the role dev on a free port and waits until it serves. */
export const startReflow = async (options: ReflowOptions): Promise<Reflow> => {
  const folder = mkdtempSync(join(tmpdir(), "reflow-e2e-"))
  const targets = join(folder, "targets.yaml")
  writeFileSync(targets, options.targets)
  const { command, args, cwd } = launch(options.form ?? "source", folder)
  const state = join(folder, "state")
  const settings: Record<string, string> = {
    "gateway.listen": "127.0.0.1:0",
    "dev.state_dir": state,
    "log.format": "json",
    ...options.set,
  }
  const flags = Object.entries(settings).flatMap(([key, value]) => ["--set", `${key}=${value}`])
  const env = { PATH: `${bin}:${process.env.PATH}`, HOME: folder, ...options.env }
  const whole = [...(options.within ?? []), command, ...args, "--role", "dev", "--targets", targets, ...flags]
  const child = spawn(whole[0] ?? "", whole.slice(1), {
    cwd,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  })
  let output = ""
  const url = await new Promise<string>((ready, reject) => {
    const look = (chunk: Buffer) => {
      output += chunk
      const found = /http:\/\/(?:127\.0\.0\.1|localhost):(\d+)/.exec(output)
      if (found !== null && output.includes("Reflow Gateway")) ready(`http://127.0.0.1:${found[1]}`)
    }
    child.stdout.on("data", look)
    child.stderr.on("data", look)
    child.once("error", reject)
    child.once("exit", (code) => reject(new Error(`ended with ${code} before it served:\n${output}`)))
  })
  const token = async (subject: string, who: { roles?: string[]; groups?: string[] } = {}): Promise<string> => {
    const key = await ensureDevKey(settings["dev.state_dir"] ?? state)
    return mintDevToken(key, {
      subject,
      groups: who.groups ?? [],
      roles: who.roles ?? [],
      for: ["mcp", "api"],
      ttlSeconds: 3_600,
    })
  }
  let admin: Promise<string> | undefined
  return {
    url,
    process: child,
    folder,
    token,
    api: async (method, path, body, as) => {
      admin ??= token("root", { roles: ["admin"] })
      const response = await fetch(`${url}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${as ?? (await admin)}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      const text = await response.text()
      return { status: response.status, body: text === "" ? undefined : JSON.parse(text) }
    },
    output: () => output,
    stop: async () => {
      child.kill("SIGTERM")
      const code = await exited(child)
      rmSync(folder, { recursive: true, force: true })
      return code
    },
  }
}

/** YAML of a target whose server is a command. */
export const target = (
  name: string,
  command: readonly string[],
  more: Readonly<Record<string, unknown>> = {},
): string =>
  `---\n${JSON.stringify({
    apiVersion: "mcp.reflow.io/v1alpha1",
    kind: "MCPTarget",
    metadata: { name },
    spec: { image: `example.invalid/${name}:1`, port: 8080, command, ...more },
  })}\n`

/** Path of a file of the repository. */
export const repositoryFile = (path: string): string => join(root, path)

/** POST of one JSON-RPC message, as any client may send it. */
export const post = (
  url: string,
  token: string | undefined,
  message: unknown,
  headers: Readonly<Record<string, string>> = {},
  signal?: AbortSignal,
): Promise<Response> =>
  fetch(url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
    body: typeof message === "string" ? message : JSON.stringify(message),
    ...(signal ? { signal } : {}),
  })

/** The legacy era's opening message. */
export const initialize = (id: number | string = 1) => ({
  jsonrpc: "2.0",
  id,
  method: "initialize",
  params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "test", version: "1" } },
})
