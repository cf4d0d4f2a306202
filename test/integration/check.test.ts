/** The preflight before it has a cluster: configuration, plugins, an API server that is away, old or does not know us. */
import { createHash } from "node:crypto"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { runCheck } from "../../src/roles/check/check.ts"

let folder = ""
let server: Server
/** What the API server of these tests answers, by path: a status and a body. */
let answers: Readonly<Record<string, readonly [number, unknown]>> = {}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "reflow-check-"))
  server = createServer((request, response) => {
    const [status, body] = answers[request.url ?? ""] ?? [404, {}]
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body))
  })
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done))
})
afterAll(async () => {
  server.closeAllConnections()
  await new Promise((done) => server.close(done))
  await rm(folder, { recursive: true })
})

const port = (): number => (server.address() as AddressInfo).port

const kubeconfig = async (url: string): Promise<string> => {
  const path = join(folder, "kubeconfig")
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "c", cluster: { server: url, "insecure-skip-tls-verify": true } }],
    users: [{ name: "u", user: { token: "t" } }],
    contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
    "current-context": "x",
  }
  await writeFile(path, JSON.stringify(config))
  return path
}

/** The lines of a check with this configuration, and its verdict as the last one. */
const check = async (config: object): Promise<string[]> => {
  const file = join(folder, "reflow.yaml")
  await writeFile(file, JSON.stringify(config))
  const lines: string[] = []
  const allWell = await runCheck({
    role: "all",
    settings: { file, assignments: [] },
    environment: {},
    write: (line) => lines.push(line.trimEnd()),
  })
  return [...lines, allWell ? "well" : "not well"]
}

const version = { "/version": [200, { major: "1", minor: "31+", gitVersion: "v1.31.4-eks" }] } as const
const review = [201, { status: { userInfo: { username: "system:serviceaccount:a:b" } } }] as const

test("a configuration with a mistake is told with its place", async () => {
  expect(await check({ kubernetes: { idle_ttl: "soon" } })).toEqual([
    expect.stringMatching(/^FAILED {2}configuration: .*reflow\.yaml:1: kubernetes\.idle_ttl: must be a duration/s),
    "not well",
  ])
})

test("a kubeconfig that is not there is told, and nothing else is asked", async () => {
  expect(await check({ kubernetes: { kubeconfig: "/nowhere" } })).toEqual([
    expect.stringMatching(/^FAILED {2}configuration: kubernetes\.kubeconfig: cannot load \/nowhere/),
    "not well",
  ])
})

test("warnings about the configuration are told, and fail nothing", async () => {
  const lines = await check({
    kubernetes: { kubeconfig: await kubeconfig("http://127.0.0.1:1"), hold_timeout: "2m" },
  })
  expect(lines[0]).toMatch(
    /^ok {6}configuration: .*hold_timeout: is longer than 60s, after which many MCP clients give up/,
  )
})

test("an API server that does not answer is told, and nothing else is asked", async () => {
  expect(await check({ kubernetes: { kubeconfig: await kubeconfig("http://127.0.0.1:1") } })).toEqual([
    "ok      configuration: can be loaded",
    expect.stringMatching(/^FAILED {2}API server: get \/version: .* → start it, or correct kubernetes\.kubeconfig/),
    "not well",
  ])
})

test("an API server that does not take the credentials is told", async () => {
  answers = { "/version": [401, { kind: "Status", reason: "Unauthorized", message: "Unauthorized" }] }
  const lines = await check({ kubernetes: { kubeconfig: await kubeconfig(`http://127.0.0.1:${port()}`) } })
  expect(lines[1]).toBe(
    "FAILED  API server: get /version: Unauthorized → renew the credentials in kubernetes.kubeconfig",
  )
})

test("an API server before 1.32 is told, and nothing else is asked", async () => {
  answers = { ...version, "/apis/authentication.k8s.io/v1/selfsubjectreviews": review }
  expect(await check({ kubernetes: { kubeconfig: await kubeconfig(`http://127.0.0.1:${port()}`) } })).toEqual([
    "ok      configuration: can be loaded",
    "FAILED  API server: v1.31.4-eks is too old → use a cluster of version 1.32 or newer",
    "not well",
  ])
})

test("plugins are told: there and pinned, there, altered, absent", async () => {
  answers = {}
  const path = join(folder, "plugin.mjs")
  await writeFile(path, "export default {}")
  const digest = createHash("sha256").update("export default {}").digest("hex")
  const kubernetes = { kubeconfig: await kubeconfig("http://127.0.0.1:1") }
  const plugins = [{ path, sha256: digest }, { path }, { path, sha256: "0".repeat(64) }, { path: "/nowhere.mjs" }]
  const lines = await check({ kubernetes, plugins })
  expect(lines.slice(1, 5)).toEqual([
    `ok      plugin ${path}: is there, with the configured sha256`,
    `ok      plugin ${path}: is there, not pinned; its sha256 is ${digest}`,
    expect.stringContaining(`FAILED  plugin ${path}: its sha256 is ${digest}, not the configured one → do not run it`),
    "FAILED  plugin /nowhere.mjs: does not exist → correct plugins[].path",
  ])
})
