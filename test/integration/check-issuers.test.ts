/** What `reflow check` says of issuers, asked over HTTP as the gateway asks them. */
import { generateKeyPairSync } from "node:crypto"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import type { CheckedRole } from "../../src/cli/commands.ts"
import { loadConfig } from "../../src/config/load.ts"
import { runCheck } from "../../src/roles/check/check.ts"
import { findingText } from "../../src/roles/check/finding.ts"
import { checkIssuers } from "../../src/roles/check/issuers.ts"

const jwk = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ format: "jwk" })
const metadata = "/.well-known/openid-configuration"

let folder = ""
let server: Server
let base = ""
/** By path: a body, or a status. What is not here is 404. */
let answers: Record<string, unknown> = {}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "reflow-check-issuers-"))
  server = createServer(({ url = "" }, response) => {
    const answer = answers[url] ?? 404
    if (answer === "silence") return
    if (typeof answer === "number") return void response.writeHead(answer, { location: "/elsewhere" }).end()
    response.writeHead(200).end(typeof answer === "string" ? answer : JSON.stringify(answer))
  })
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done))
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(async () => {
  server.closeAllConnections()
  await new Promise((done) => server.close(done))
  await rm(folder, { recursive: true })
})
beforeEach(() => {
  answers = { [metadata]: { issuer: base, jwks_uri: `${base}/keys` }, "/keys": { keys: [jwk] } }
})

/** The configuration of one issuer, as a file, beside an API server that is away. */
const write = async (issuer: object, publicUrl: string): Promise<string> => {
  const [file, kubeconfig] = [join(folder, "reflow.yaml"), join(folder, "kubeconfig")]
  const cluster = { server: "http://127.0.0.1:1", "insecure-skip-tls-verify": true }
  const config = {
    clusters: [{ name: "c", cluster }],
    users: [{ name: "u", user: { token: "t" } }],
    contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
    "current-context": "x",
  }
  await writeFile(kubeconfig, JSON.stringify(config))
  const auth = { issuers: [{ name: "corp", issuer: base, ...issuer }] }
  await writeFile(file, JSON.stringify({ gateway: { public_url: publicUrl }, auth, kubernetes: { kubeconfig } }))
  return file
}

/** The lines about the issuer. */
const check = async (issuer: object = {}, publicUrl = "https://mcp.example.com"): Promise<readonly string[]> => {
  const file = await write(issuer, publicUrl)
  const { auth, gateway } = loadConfig({ settings: { file, assignments: [] }, environment: {} }).config
  const { signal } = new AbortController()
  const found = await checkIssuers({ issuers: auth.issuers, publicUrl: gateway.public_url, fetch, signal })
  return found.map((each) => findingText(each).trimEnd())
}

test("an issuer that can be used is told with its metadata, keys and audiences", async () => {
  expect(await check()).toEqual([
    `ok      issuer corp, metadata: ${base}${metadata} is that of ${base}`,
    `ok      issuer corp, keys: ${base}/keys has 1 key, 1 of them usable, for ES256`,
    "ok      issuer corp, audiences: tokens for tools must have one of https://mcp.example.com/mcp/TARGET, https://mcp.example.com; those for the REST API one of https://mcp.example.com/api",
  ])
})

test.each<[CheckedRole, number]>([
  ["gateway", 3],
  ["all", 3],
  ["operator", 0],
])("reflow check --role %s tells of them in %i lines, before it asks the API server", async (role, count) => {
  const lines: string[] = []
  const settings = { file: await write({}, "https://mcp.example.com"), assignments: [] }
  await runCheck({ role, settings, environment: {}, write: (line) => lines.push(line.trimEnd()) })
  expect(lines.filter((line) => line.startsWith("ok      issuer corp,"))).toHaveLength(count)
  expect(lines.at(-1)).toMatch(/^FAILED {2}API server/)
})

describe("metadata", () => {
  test.each<[string, unknown, RegExp]>([
    [
      "is not there",
      404,
      /could not be read: it was answered with 404 → auth\.issuers\[\]\.issuer must be exactly what/,
    ],
    [
      "is that of another issuer",
      { issuer: "https://other.example/\u202e" },
      /is the metadata of another issuer, 'https:\/\/other\.example\/\ufffd' → /,
    ],
    ["names no issuer", {}, /is the metadata of no issuer → /],
    ["redirects", 302, /could not be read: fetch failed: unexpected redirect → /],
    ["is no JSON", "<html>", /could not be read: it .+ → /],
    [
      "does not come",
      "silence",
      /could not be read: The operation was aborted due to timeout → .*NODE_EXTRA_CA_CERTS, HTTPS_PROXY/,
    ],
  ])("that %s fails, and keys are not asked for", async (_name, answer, line) => {
    answers[metadata] = answer
    const [first, ...rest] = await check()
    expect(first).toMatch(/^FAILED {2}issuer corp, metadata: /)
    expect(first).toMatch(line)
    expect(rest).toEqual([expect.stringContaining("issuer corp, audiences")])
  })
  test("whose server is away fails with the reason", async () => {
    const closed = createServer()
    await new Promise<void>((done) => closed.listen(0, "127.0.0.1", done))
    const { port } = closed.address() as AddressInfo
    await new Promise((done) => closed.close(done))
    const [first] = await check({ issuer: `http://127.0.0.1:${port}` })
    expect(first).toMatch(/^FAILED {2}issuer corp, metadata: .*could not be read: fetch failed: .*ECONNREFUSED/)
  })
  test("is a doubt where the keys have an address of their own: clients log in by it", async () => {
    answers[metadata] = 404
    const [first, second] = await check({ jwks_url: `${base}/keys` })
    expect(first).toMatch(/^warn {4}issuer corp, metadata: .*404; so clients cannot find where to log in → /)
    expect(second).toMatch(/^ok {6}issuer corp, keys: /)
  })
  test("is not looked for where the issuer is no URL", async () => {
    const lines = await check({ issuer: "corp", jwks_url: `${base}/keys` })
    expect(lines.map((line) => line.split(":")[0])).toEqual([
      "ok      issuer corp, keys",
      "ok      issuer corp, audiences",
    ])
  })
})

describe("keys", () => {
  test.each<[string, unknown, RegExp]>([
    [
      "are not there",
      404,
      /keys could not be read: it was answered with 404 → correct auth\.issuers\[\]\.issuer, or set jwks_url/,
    ],
    ["are none", { keys: [] }, /has 0 keys, 0 of them usable → the issuer must sign with/],
    ["are for encryption alone", { keys: [{ ...jwk, use: "enc" }] }, /has 1 key, 0 of them usable → /],
    ["are no key set", { keys: 7 }, /JSON Web Key Set malformed → /],
    ["are too many", { keys: Array(101).fill(jwk) }, /more than 100 keys → /],
  ])("that %s fail", async (_name, answer, line) => {
    answers["/keys"] = answer
    const [, second] = await check()
    expect(second).toMatch(/^FAILED {2}issuer corp, keys: /)
    expect(second).toMatch(line)
  })
  test("that the metadata does not name fail", async () => {
    answers[metadata] = { issuer: base }
    expect((await check())[1]).toMatch(/^FAILED {2}issuer corp, keys: .*names no usable jwks_uri → .*set jwks_url/)
  })
})

describe("audiences", () => {
  test("that are configured are listed with the gateway's own", async () => {
    const [, , line] = await check({ audiences: ["tools"], api_audiences: ["admin"] })
    expect(line).toMatch(/^ok {6}.*https:\/\/mcp\.example\.com, tools; those for the REST API .*\/api, admin$/)
  })
  test.each<[string, () => object, string | undefined, RegExp]>([
    [
      "the issuer's",
      () => ({ audiences: [base] }),
      undefined,
      /is an audience of the issuer itself.* → let the issuer/,
    ],
    ["below the issuer", () => ({ audiences: [`${base}/userinfo`] }), undefined, /is an audience of the issuer itself/],
    [
      "Keycloak's account",
      () => ({ audiences: ["account"] }),
      undefined,
      /'account' is an audience of the issuer itself/,
    ],
    ["with a blank", () => ({ api_audiences: ["api "] }), undefined, /'api ' begins or ends with a blank → take/],
    [
      "missing without a public URL",
      () => ({}),
      "",
      /there is none but http:\/\/localhost:PORT.* → set gateway\.public_url/,
    ],
  ])("that are %s are doubtful, and fail nothing", async (_name, issuer, publicUrl, line) => {
    const [, , third] = await check(issuer(), publicUrl)
    expect(third).toMatch(/^warn {4}issuer corp, audiences: /)
    expect(third).toMatch(line)
  })
})
