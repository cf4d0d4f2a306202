/** Published packages as servers of a role dev: packages that are made by hand, and who calls their tools. */
import { execFile } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { promisify } from "node:util"
import { expect } from "vitest"
import { answerOf, callTool, toolText } from "./modern.ts"
import type { NpmPackage } from "./npm-registry.ts"
import type { PythonPackage } from "./python-index.ts"
import { type Reflow, repositoryFile, startReflow } from "./reflow.ts"

const text = (path: string): string => readFileSync(repositoryFile(path), "utf8")

/** A server from npm, whose tool `whoami` tells its process and its variable TOKEN. */
export const npmServer: NpmPackage = {
  name: "@example/whoami",
  version: "1.2.3",
  manifest: { type: "module", bin: "server.mjs" },
  files: { "server.mjs": `#!/usr/bin/env node\n${text("test/fixtures/images/stdio.mjs")}` },
}

/** A server from an index of Python packages, with the same tool. */
export const pythonServer: PythonPackage = {
  name: "example-whoami",
  version: "1.2.3",
  scripts: { "example-whoami": "whoami:main" },
  files: { "whoami.py": text("test/fixtures/packages/whoami.py") },
}

/** A package as a target names it. */
export type Named = Readonly<Record<string, unknown>>

/** {@link npmServer} as a target names it. */
export const namedNpm: Named = { registryType: "npm", identifier: npmServer.name, version: npmServer.version }
/** {@link pythonServer} as a target names it. */
export const namedPython: Named = {
  registryType: "pypi",
  identifier: pythonServer.name,
  version: pythonServer.version,
}

/** YAML of a target whose server is a package that speaks stdin and stdout. */
export const packageTarget = (name: string, named: Named, more: Named = {}): string =>
  `---\n${JSON.stringify({
    apiVersion: "mcp.reflow.io/v1alpha1",
    kind: "MCPTarget",
    metadata: { name },
    spec: { package: named, stdio: {}, credentials: [{ name: "TOKEN" }], ...more },
  })}\n`

/** A laptop: what several runs of the role dev have in common. */
export type Laptop = {
  /** The user's cache folder. */
  readonly cache: string
  /** Starts a role dev. `env`: besides the tools on the PATH, and the cache folder. */
  start(options: Omit<Parameters<typeof startReflow>[0], "form">): Promise<Reflow>
  /** Deletes the cache. */
  close(): void
}

/** Makes a laptop whose PATH has these tools: the folder of {@link file://./python-tools.ts}. */
export const makeLaptop = (tools: string): Laptop => {
  const cache = mkdtempSync(join(tmpdir(), "reflow-laptop-"))
  const own = {
    PATH: [tools, repositoryFile("node_modules/.bin"), process.env.PATH].join(delimiter),
    XDG_CACHE_HOME: cache,
  }
  return {
    cache,
    start: (options) => startReflow({ ...options, env: { ...own, ...options.env } }),
    close: () => rmSync(cache, { recursive: true, force: true }),
  }
}

/** A user who calls a server. */
const users = ["alice", "bob"] as const

/** Calls `whoami` as alice and as bob, each with a credential of their own; resolves with the processes. */
export const serveBoth = async (reflow: Reflow, target: string): Promise<readonly number[]> => {
  const pids = users.map(async (user) => {
    const token = await reflow.token(user)
    const set = await reflow.api("PUT", `/api/targets/${target}/env/me`, { TOKEN: `canary-of-${user}` }, token)
    expect(set.status, JSON.stringify(set.body)).toBeLessThan(300)
    const said = await toolText(`${reflow.url}/mcp/${target}`, token, "whoami")
    const [, pid, value] = /^pid (\d+) token (.*)$/.exec(said) ?? []
    expect(value, said).toBe(`canary-of-${user}`)
    return Number(pid)
  })
  const all = await Promise.all(pids)
  expect(new Set(all).size).toBe(users.length)
  return all
}

/** What a waiting client hears of a start that fails. */
export type Heard = {
  readonly message: string
  readonly data: { readonly code: string; readonly reason?: string; readonly log?: readonly string[] }
}

/** Calls a server that cannot start; resolves with the error. */
export const hear = async (reflow: Reflow, target: string): Promise<Heard> => {
  const { error } = await answerOf(await callTool(`${reflow.url}/mcp/${target}`, await reflow.token("alice"), "whoami"))
  return error
}

/** A command that takes the network away from the program that follows it, but for loopback. Only for root, on Linux. */
export const withoutNetwork = (tools: string): readonly string[] => {
  const up =
    "import fcntl, os, socket, struct, sys; " +
    // SIOCSIFFLAGS with IFF_UP (netdevice(7))
    "fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sH14x', b'lo', 1)); os.execvp(sys.argv[1], sys.argv[1:])"
  return ["unshare", "--net", join(tools, "python3"), "-c", up]
}

/** Calls `whoami` from inside of the network of a role dev that has none of the machine's; resolves with its text. */
export const callWithin = async ({ process: child, url, token }: Reflow, target: string): Promise<string> => {
  const caller = repositoryFile("test/support/packages-caller.ts")
  const args = ["--target", String(child.pid), "--net", process.execPath, caller, `${url}/mcp/${target}`]
  const env = { ...process.env, CALLER_TOKEN: await token("alice") }
  return (await promisify(execFile)("nsenter", args, { env, timeout: 60_000 })).stdout.trim()
}
