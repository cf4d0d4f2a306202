/** Servers that somebody else runs: processes of their own, which no gateway starts, and targets that name them. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import type { Certified } from "./certificates.ts"
import { eventually } from "./processes.ts"
import { repositoryFile } from "./reflow.ts"

/** A request as the account server saw it. */
export type SeenRequest = {
  /** When, in milliseconds since the epoch. */
  readonly at: number
  /** The client's port of the connection that it came on. */
  readonly connection: number
  readonly verb: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  /** Names of the headers that it had more than once. */
  readonly repeated: readonly string[]
  /** Of JSON-RPC. */
  readonly method?: string
  readonly tool?: string
  /** Whose token it had; undefined = nobody's. */
  readonly account?: string
  /** Of the answer, when it is over. */
  readonly status?: number
  readonly over?: boolean
  /** True if its call was given up. */
  readonly cancelled?: boolean
}

/** How the account server answers instead; test/fixtures/servers/account.mjs says more. */
export type FailRule = {
  readonly act: "answer" | "hang" | "reset" | "cut" | "raw"
  /** Of JSON-RPC, or the verb of a request without a body; default all. */
  readonly method?: string
  /** Whose requests; default everybody's. */
  readonly account?: string
  /** How many requests; default all. */
  readonly times?: number
  readonly status?: number
  /** May have `{authorization}`, which is the request's. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  /** May also have `{id}`, the request's. */
  readonly body?: string
}

/** A server that knows accounts by token. */
export type AccountServer = {
  readonly url: string
  /** Requests since the beginning, or since the last {@link forgetSeen}. */
  seen(): Promise<readonly SeenRequest[]>
  forgetSeen(): Promise<void>
  /** Accounts by token, from now on. */
  know(accounts: Readonly<Record<string, string>>): Promise<void>
  /** From now on the first rule that fits a request answers it; none = it answers in order. */
  answer(...rules: readonly FailRule[]): Promise<void>
  /** Ends all sessions, as a server does that has been started anew. */
  endSessions(): Promise<void>
  /** Ends the process at once. */
  close(): Promise<void>
}

const ended = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, "exit")
  child.kill("SIGKILL")
  await exit
}

/** How the account server is started. */
export type AccountServerOptions = {
  readonly accounts?: Readonly<Record<string, string>>
  /** Default plain HTTP. */
  readonly tls?: Certified
  /** Address on which it listens; default loopback. */
  readonly host?: string
  readonly port?: number
}

/** Starts test/fixtures/servers/account.mjs. Close it. */
export const startAccountServer = async (options: AccountServerOptions = {}): Promise<AccountServer> => {
  const { accounts = {}, tls, host, port = 0 } = options
  const folder = mkdtempSync(join(tmpdir(), "reflow-account-"))
  const env: Record<string, string> = { PATH: process.env.PATH ?? "", PORT: String(port) }
  if (host !== undefined) env.HOST = host
  if (tls !== undefined) {
    env.TLS_KEY = join(folder, "key.pem")
    env.TLS_CERT = join(folder, "cert.pem")
    writeFileSync(env.TLS_KEY, tls.key, { mode: 0o600 })
    writeFileSync(env.TLS_CERT, tls.cert)
  }
  const program = repositoryFile("test/fixtures/servers/account.mjs")
  // it ends when its standard input does, so it lives no longer than the test
  const child = spawn(process.execPath, [program], { env, stdio: ["pipe", "pipe", "inherit"] })
  const [line] = await once(createInterface({ input: child.stdout }), "line")
  rmSync(folder, { recursive: true, force: true })
  const { url, control } = JSON.parse(line) as { url: string; control: string }
  const tell = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const response = await fetch(`${control}${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    if (!response.ok) throw new Error(`the account server says ${response.status} to ${method} ${path}`)
    return response.json()
  }
  const server: AccountServer = {
    url,
    seen: async () => (await tell("GET", "/seen")) as readonly SeenRequest[],
    forgetSeen: async () => void (await tell("DELETE", "/seen")),
    know: async (known) => void (await tell("PUT", "/accounts", known)),
    answer: async (...rules) => void (await tell("PUT", "/rules", rules)),
    endSessions: async () => void (await tell("DELETE", "/sessions")),
    close: () => ended(child),
  }
  await server.know(accounts)
  return server
}

/** A port of loopback on which nothing listens. */
export const freePort = async (): Promise<number> => {
  const listener = createServer().listen(0, "127.0.0.1")
  await once(listener, "listening")
  const { port } = listener.address() as { port: number }
  listener.close()
  await once(listener, "close")
  return port
}

/** A process that serves MCP on a port of loopback. */
export type RemoteServer = {
  readonly url: string
  readonly process: ChildProcess
  close(): Promise<void>
}

/** Starts a command that listens on PORT, as the Pod of a target would, and waits until it takes connections. Close it. */
export const startRemoteServer = async (
  [program = "", ...args]: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<RemoteServer> => {
  const port = await freePort()
  const bin = repositoryFile("node_modules/.bin")
  const child = spawn(program === "node" ? process.execPath : program, args, {
    cwd: repositoryFile("."),
    env: { PATH: `${bin}:${process.env.PATH}`, HOME: tmpdir(), ...env, PORT: String(port) },
    stdio: "ignore",
  })
  const origin = `http://127.0.0.1:${port}`
  const answers = () =>
    fetch(origin).then(
      () => true,
      () => child.exitCode !== null,
    )
  await eventually(answers, 20_000, `${program} answers`)
  return { url: `${origin}/mcp`, process: child, close: () => ended(child) }
}

/** Spec of a target for a server that somebody else runs. */
export const remoteSpec = (url: string, more: Readonly<Record<string, unknown>> = {}) => ({
  transportType: "streamable-http",
  remote: { url },
  ...more,
})

/** The header with the credential TOKEN, and its declaration, for the spec of a target. */
export const withToken = (url: string, more: Readonly<Record<string, unknown>> = {}) => {
  const { remote = {}, ...rest } = more
  return remoteSpec(url, {
    credentials: [{ name: "TOKEN", required: true, description: "An API token of the account." }],
    ...rest,
    remote: { url, headers: [{ name: "Authorization", value: "Bearer ${TOKEN}" }], ...Object(remote) },
  })
}

/** YAML of a target for a server that somebody else runs. */
export const remoteTarget = (name: string, spec: object): string =>
  `---\n${JSON.stringify({ apiVersion: "mcp.reflow.io/v1alpha1", kind: "MCPTarget", metadata: { name }, spec })}\n`

/** YAML of a Secret with a CA, for `remote.caSecret`. */
export const caSecret = (name: string, cert: string): string =>
  `---\n${JSON.stringify({ apiVersion: "v1", kind: "Secret", metadata: { name }, stringData: { "ca.crt": cert } })}\n`
