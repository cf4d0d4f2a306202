/**
 * Real registries as processes of this machine, which is the node of the cluster that is built from source: verdaccio for
 * npm, pypiserver for Python. Pods reach them at the node's address. They end with the test file.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { mkdir, writeFile } from "node:fs/promises"
import { connect, createServer } from "node:net"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll } from "vitest"
import { eventually } from "../../support/processes.ts"
import { preparePythonTools } from "../../support/python-tools.ts"
import { repositoryFile } from "../../support/reflow.ts"
import { kubectl, makeFolder } from "./cluster.ts"
import type { NpmPackage } from "./npm-packages.ts"

const undo: (() => Promise<unknown>)[] = []
afterAll(async () => {
  for (const each of undo.splice(0).reverse()) await each()
}, 30_000)

/** The node's address, e.g. `198.18.255.1`. */
export const nodeAddress = (): Promise<string> =>
  kubectl(["get", "nodes", "-o", 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}'])

/** A port of the node where nobody listens. */
export const freePort = async (host: string): Promise<number> => {
  const server = createServer().listen(0, host)
  await once(server, "listening")
  const address = server.address()
  server.close()
  await once(server, "close")
  if (address === null || typeof address === "string") throw new Error("no port")
  return address.port
}

/** A registry that can be stopped and started again at its address. */
export type Registry = {
  readonly url: string
  start(): Promise<void>
  stop(): Promise<void>
  /** What it wrote so far. */
  output(): string
}

/** Runs a program that serves at `url`. */
const serve = async (url: string, command: string, args: readonly string[]): Promise<Registry> => {
  let child: ChildProcess | undefined
  const pieces: Buffer[] = []
  const stop = async (): Promise<void> => {
    const running = child
    child = undefined
    if (running === undefined || running.exitCode !== null) return
    running.kill("SIGKILL")
    await once(running, "exit")
  }
  const start = async (): Promise<void> => {
    const started = spawn(command, [...args], { stdio: ["ignore", "pipe", "pipe"] })
    child = started
    for (const stream of [started.stdout, started.stderr]) stream.on("data", (piece: Buffer) => pieces.push(piece))
    const answers = () =>
      fetch(url).then(
        ({ status }) => status < 500,
        () => false,
      )
    await eventually(answers, 20_000, `${command} answers at ${url}`).catch((error: Error) => {
      throw new Error(`${error.message}: ${Buffer.concat(pieces).toString().slice(-2_000)}`)
    })
  }
  undo.push(stop)
  await start()
  return { url, start, stop, output: () => Buffer.concat(pieces).toString() }
}

/** A running npm registry. */
export type NpmRegistry = Registry & {
  /** The token of somebody who may install packages of the scope `@private`. */
  readonly token: string
  publish(packages: readonly NpmPackage[]): Promise<void>
  /** Path of a published package's archive in the storage. */
  archive(packed: Pick<NpmPackage, "name" | "version">): string
}

/** Makes somebody who may publish and install; resolves with a token. */
const logIn = async (url: string): Promise<string> => {
  const name = `tester-${randomBytes(3).toString("hex")}`
  const response = await fetch(`${url}/-/user/org.couchdb.user:${name}`, {
    method: "PUT",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name, password: randomBytes(12).toString("hex") }),
  })
  const { token } = (await response.json()) as { readonly token?: string }
  if (token === undefined) throw new Error(`no token: ${response.status}`)
  return token
}

/** Writes a package's files into a folder. */
const unfold = async (folder: string, { name, version, manifest, files }: NpmPackage): Promise<void> => {
  await mkdir(folder, { recursive: true })
  const all = { "package.json": JSON.stringify({ name, version, ...manifest }), ...files }
  for (const [path, contents] of Object.entries(all)) await writeFile(join(folder, path), contents)
}

const verdaccioConfig = (folder: string) => ({
  storage: join(folder, "storage"),
  auth: { htpasswd: { file: join(folder, "htpasswd"), max_users: 100 } },
  uplinks: {},
  packages: {
    "@private/*": { access: "$authenticated", publish: "$authenticated" },
    "**": { access: "$all", publish: "$authenticated" },
  },
  // large enough for the package that is meant to fill a disk
  max_body_size: "64mb",
  web: { enable: false },
  log: { type: "stdout", format: "json", level: "http" },
})

/** Starts verdaccio on the node; it knows no other registry. */
export const startNpmRegistry = async (): Promise<NpmRegistry> => {
  const [folder, host] = [await makeFolder(), await nodeAddress()]
  const listen = `${host}:${await freePort(host)}`
  const url = `http://${listen}`
  // JSON is YAML
  await writeFile(join(folder, "config.yaml"), JSON.stringify(verdaccioConfig(folder)))
  const program = repositoryFile("node_modules/verdaccio/bin/verdaccio")
  const args = [program, "--config", join(folder, "config.yaml"), "--listen", listen]
  const registry = await serve(url, process.execPath, args)
  const token = await logIn(url)
  const userconfig = join(folder, "npmrc")
  await writeFile(userconfig, `//${listen}/:_authToken=${token}\n`, { mode: 0o600 })
  const publish = async (each: NpmPackage): Promise<void> => {
    const source = join(folder, "sources", `${each.name.replace("/", "-")}-${each.version}`)
    await unfold(source, each)
    const flags = ["--userconfig", userconfig, "--registry", `${url}/`, "--access", "public", "--ignore-scripts"]
    await promisify(execFile)("npm", ["publish", ...flags, source], { cwd: folder, timeout: 60_000 })
  }
  return {
    ...registry,
    token,
    publish: async (packages) => {
      await Promise.all(packages.map((each) => publish(each)))
    },
    archive: ({ name, version }) => join(folder, "storage", name, `${name.split("/").at(-1)}-${version}.tgz`),
  }
}

/** A wheel: its modules by name, and its programs as `module:function`. */
export type Wheel = {
  readonly name: string
  readonly version: string
  readonly modules: Readonly<Record<string, string>>
  readonly programs: Readonly<Record<string, string>>
}

/** The Python package with a server that speaks stdin and stdout. */
export const pythonServer: Wheel = {
  name: "mcp-server-whoami",
  version: "1.0.0",
  modules: { whoami: readFileSync(repositoryFile("test/fixtures/packages/whoami.py"), "utf8") },
  programs: { "mcp-server-whoami": "whoami:main" },
}

/** A running index of Python packages. */
export type PythonIndex = Registry & {
  /** URL of the simple index. */
  readonly index: string
}

/** Starts pypiserver on the node with these packages; it knows no other index. */
export const startPythonIndex = async (wheels: readonly Wheel[]): Promise<PythonIndex> => {
  const [folder, host, { python }] = [await makeFolder(), await nodeAddress(), await preparePythonTools()]
  const making = promisify(execFile)(python, [repositoryFile("test/fixtures/packages/wheel.py")])
  making.child.stdin?.end(JSON.stringify({ folder, wheels }))
  await making
  const port = await freePort(host)
  const url = `http://${host}:${port}`
  const args = ["-m", "pypiserver", "run", "-i", host, "-p", `${port}`, "--disable-fallback", folder]
  const registry = await serve(url, python, args)
  return { ...registry, index: `${url}/simple/` }
}

/** A second way to a registry, by another port of the node. */
export type Way = {
  /** The URL where it leads to the registry once it is open; nobody listens before. */
  readonly url: string
  open(): Promise<void>
}

/** Makes a way that is closed at first. */
export const makeWay = async ({ url }: Registry): Promise<Way> => {
  const { hostname, port } = new URL(url)
  const own = await freePort(hostname)
  const server = createServer((socket) => {
    const onward = connect(Number(port), hostname)
    for (const each of [socket, onward]) each.on("error", () => {})
    socket.pipe(onward).pipe(socket)
    socket.on("close", () => onward.destroy())
    onward.on("close", () => socket.destroy())
  })
  undo.push(async () => void server.close())
  return {
    url: `http://${hostname}:${own}`,
    open: async () => {
      server.listen(own, hostname)
      await once(server, "listening")
    },
  }
}
