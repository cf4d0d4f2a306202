/**
 * Ways to registries of packages, which listen on loopback of this machine: it is the node of the cluster that is built
 * from source, and Pods reach it at the node's address. All end with the test file.
 */
import { readFileSync } from "node:fs"
import { connect, createServer, type Server, type Socket } from "node:net"
import { dirname } from "node:path"
import { afterAll } from "vitest"
import { startFaultyRegistry } from "../../support/faulty-registry.ts"
import { type NpmPackage, type NpmRegistry, startNpmRegistry } from "../../support/npm-registry.ts"
import { type PythonPackage, startPythonIndex } from "../../support/python-index.ts"
import { preparePythonTools } from "../../support/python-tools.ts"
import { repositoryFile } from "../../support/reflow.ts"
import { kubectl } from "./cluster.ts"

const undo: (() => Promise<unknown>)[] = []
afterAll(async () => {
  for (const each of undo.splice(0).reverse()) await each()
}, 30_000)

/** The node's address, e.g. `198.18.255.1`. */
const nodeAddress = (): Promise<string> =>
  kubectl(["get", "nodes", "-o", 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}'])

const listen = async (server: Server, host: string, port: number): Promise<number> => {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen(port, host, resolve)
  })
  const address = server.address()
  return typeof address === "object" && address !== null ? address.port : 0
}

/** A port of the node's address. */
export type Way = {
  /** Where it is, without a slash at the end: `http://198.18.255.1:40123`. */
  readonly url: string
  /** The same, as a Pod names host and port. */
  readonly host: string
  readonly port: number
  /** From now on it leads to this server of loopback. */
  lead(url: string): Promise<void>
  /** From now on nobody listens, and what was open breaks off. */
  close(): Promise<void>
}

/** Passes connections on. */
const passOn = (url: URL, open: Set<Socket>): Server =>
  createServer((socket) => {
    const onward = connect(Number(url.port), url.hostname)
    for (const each of [socket, onward]) {
      open.add(each)
      each.on("error", () => {})
      each.on("close", () => open.delete(each))
    }
    socket.pipe(onward).pipe(socket)
    socket.on("close", () => onward.destroy())
    onward.on("close", () => socket.destroy())
  })

/** Takes a port of the node's address, where nobody listens at first. */
export const makeWay = async (): Promise<Way> => {
  const host = await nodeAddress()
  const placeholder = createServer()
  const port = await listen(placeholder, host, 0)
  placeholder.close()
  const open = new Set<Socket>()
  let server: Server | undefined
  const close = async (): Promise<void> => {
    const running = server
    server = undefined
    for (const socket of open) socket.destroy()
    await new Promise<void>((resolve) => (running === undefined ? resolve() : running.close(() => resolve())))
  }
  undo.push(close)
  return {
    url: `http://${host}:${port}`,
    host,
    port,
    lead: async (url) => {
      await close()
      server = passOn(new URL(url), open)
      await listen(server, host, port)
    },
    close,
  }
}

/** Takes a port that leads to a server of loopback. */
export const wayTo = async (url: string): Promise<Way> => {
  const way = await makeWay()
  await way.lead(url)
  return way
}

/** A running npm registry, and the way to it. */
export type ReachableRegistry = NpmRegistry & { readonly way: Way }

/** Starts verdaccio with these packages; it knows no other registry. */
export const openNpmRegistry = async (packages: readonly NpmPackage[]): Promise<ReachableRegistry> => {
  const registry = await startNpmRegistry(...packages)
  undo.push(registry.close)
  return { ...registry, way: await wayTo(registry.url) }
}

/** Starts a registry that has changed this package after it was published; resolves with its URL on loopback. */
export const openChangedRegistry = async (each: NpmPackage): Promise<string> => {
  const registry = await startFaultyRegistry("changed", each)
  undo.push(registry.close)
  return registry.url
}

/** The Python package with a server that speaks stdin and stdout. */
export const pythonServer = {
  name: "mcp-server-whoami",
  version: "1.0.0",
  scripts: { "mcp-server-whoami": "whoami:main" },
  files: { "whoami.py": readFileSync(repositoryFile("test/fixtures/packages/whoami.py"), "utf8") },
} as const satisfies PythonPackage

/** A running index of Python packages: the URL of its simple index for Pods, and the way to it. */
export type ReachableIndex = { readonly url: string; readonly way: Way }

/** Starts pypiserver with these packages; it knows no other index. */
export const openPythonIndex = async (packages: readonly PythonPackage[]): Promise<ReachableIndex> => {
  const { python } = await preparePythonTools()
  const index = await startPythonIndex(dirname(python), packages)
  undo.push(index.close)
  const way = await wayTo(index.url)
  return { url: `${way.url}/simple`, way }
}
