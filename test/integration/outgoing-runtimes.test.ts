/** Guarded connections by Node and by Deno, whose net and tls are programs of their own. */
import { execFile } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { createServer as createPlainServer } from "node:http"
import { createServer as createTLSServer } from "node:https"
import { type AddressInfo, createServer as createSocketServer, type Server, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { build } from "esbuild"
import { afterAll, beforeAll, expect, test } from "vitest"
import { makeCA } from "../support/certificates.ts"
import { repositoryFile } from "../support/reflow.ts"

const run = promisify(execFile)
const ca = makeCA()
const sockets = new Set<Socket>()
const servers: Server[] = []
let folder: string
let program: string

/** Starts a server on loopback; resolves with its port. */
const start = async (server: Server): Promise<number> => {
  server.on("connection", (socket) => sockets.add(socket))
  servers.push(server.listen(0, "127.0.0.1"))
  await once(server, "listening")
  return (server.address() as AddressInfo).port
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "reflow-outgoing-"))
  program = join(folder, "requests.mjs")
  const banner = { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' }
  const entryPoints = [repositoryFile("test/fixtures/guarded-requests.ts")]
  await build({
    entryPoints,
    outfile: program,
    bundle: true,
    platform: "node",
    format: "esm",
    banner,
    logLevel: "error",
  })
})
afterAll(async () => {
  for (const socket of sockets) socket.destroy()
  for (const server of servers) server.close()
  await rm(folder, { recursive: true })
})

test.each([
  ["Node", process.execPath, []],
  ["Deno", repositoryFile("node_modules/.bin/deno"), ["run", "-A"]],
] as const)("%s dials checked addresses only, and verifies names", async (_, command, args) => {
  const tls = await start(
    createTLSServer(ca.issue(["mcp.example", "127.0.0.1"]), (_request, response) => void response.end("tls")),
  )
  const plain = await start(createPlainServer((_request, response) => void response.end("plain")))
  const silent = await start(createSocketServer())
  const names = Object.fromEntries(["mcp.example", "other.example"].map((name) => [name, ["127.0.0.1"]]))
  const cases: readonly (readonly [string, string])[] = [
    [`https://mcp.example:${tls}/`, "tls"],
    [`https://127.0.0.1:${tls}/`, "tls"],
    [`https://other.example:${tls}/`, "Error ERR_TLS_CERT_ALTNAME_INVALID"],
    [`http://mcp.example:${plain}/`, "plain"],
    [`http://mixed.example:${plain}/`, "AppError AddressNotAllowed"],
    [`https://mixed.example:${tls}/`, "AppError AddressNotAllowed"],
    [`http://127.0.0.2:${plain}/`, "AppError AddressNotAllowed"],
    [`https://[::ffff:127.0.0.2]:${tls}/`, "AppError AddressNotAllowed"],
    [`https://gone.example:${tls}/`, "AppError UpstreamUnreachable"],
    [`https://mcp.example:${silent}/`, "ConnectTimeoutError UND_ERR_CONNECT_TIMEOUT"],
  ]
  const input = {
    names: { ...names, "mixed.example": ["127.0.0.1", "127.0.0.2"] },
    urls: cases.map(([url]) => url),
    fetched: [`http://mcp.example:${plain}/`, `http://mixed.example:${plain}/`],
    ca: ca.cert,
    allowed: ["127.0.0.1"],
  }
  const { stdout } = await run(command, [...args, program, JSON.stringify(input)], { timeout: 25_000 })
  expect(JSON.parse(stdout)).toEqual([...cases.map(([, outcome]) => outcome), "plain", "AppError AddressNotAllowed"])
})
