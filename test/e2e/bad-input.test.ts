import { createServer } from "node:http"
import { connect } from "node:net"
import { afterAll, beforeAll, expect, test } from "vitest"
import { answerOf, callTool, toolText } from "../support/modern.ts"
import { initialize, post, type Reflow, repositoryFile, runReflow, startReflow, target } from "../support/reflow.ts"

const dual = repositoryFile("test/fixtures/servers/dual.mjs")
let reflow: Reflow
let alice: string

beforeAll(async () => {
  reflow = await startReflow({
    targets:
      target("open", ["node", dual]) + target("closed", ["node", dual], { access: { groups: ["nobody-is-in-here"] } }),
  })
  alice = await reflow.token("alice")
})
afterAll(async () => {
  await reflow?.stop()
})

const at = (name: string) => `${reflow.url}/mcp/${name}`

/** Sends bytes as they are and resolves with the status line and the whole answer. */
const raw = (text: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(reflow.url).port), "127.0.0.1", () => socket.write(text))
    let answer = ""
    socket.setTimeout(5_000, () => socket.destroy())
    socket.on("data", (chunk) => (answer += chunk))
    socket.on("error", reject)
    socket.on("close", () => resolve(answer))
  })

test("malformed JSON is 400 with a parse error", async () => {
  const response = await post(at("open"), alice, '{"jsonrpc": "2.0", ')
  expect(response.status).toBe(400)
  expect(await response.json()).toMatchObject({ error: { code: -32700, data: { code: "MalformedJson" } } })
})

test.each([
  ["no token", undefined],
  ["a wrong token", "wrong-token-canary"],
  ["a token with a broken signature", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.AAAA"],
])("%s is 401 with a challenge, for known and unknown targets alike", async (_name, token) => {
  for (const name of ["open", "unknown"]) {
    const response = await post(at(name), token, initialize())
    expect(response.status).toBe(401)
    expect(response.headers.get("www-authenticate")).toMatch(/^Bearer/)
    expect(await response.json()).toMatchObject({ code: "Unauthenticated" })
  }
})

test("an unknown target and one that the user may not use get the same 404", async () => {
  const [unknown, closed] = await Promise.all([
    post(at("unknown"), alice, initialize()),
    post(at("closed"), alice, initialize()),
  ])
  const [first, second] = [await unknown.json(), await closed.json()] as Record<string, unknown>[]
  expect([unknown.status, closed.status]).toEqual([404, 404])
  const stable = ({ instance: _i, request_id: _r, ...rest }: Record<string, unknown>, name: string) =>
    JSON.stringify(rest).replaceAll(name, "NAME")
  expect(stable(second ?? {}, "closed")).toBe(stable(first ?? {}, "unknown"))
  expect(first).toMatchObject({ code: "TargetNotFound" })
  const invited = await reflow.token("carol", { groups: ["nobody-is-in-here"] })
  expect((await callTool(at("closed"), invited, "pid")).status).toBe(200)
})

test("a foreign Host and a foreign Origin are 403", async () => {
  const host = await raw("GET /mcp/open HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
  expect(host).toMatch(/^HTTP\/1\.1 403 /)
  expect(host).toContain("HostNotAllowed")
  const origin = await post(at("open"), alice, initialize(), { origin: "https://evil.example" })
  expect(origin.status).toBe(403)
  expect(await origin.json()).toMatchObject({ code: "OriginNotAllowed" })
})

test("a path that differs from its normal form, and a second Host header, are 400", async () => {
  const path = await raw(
    `GET /mcp/../api/targets HTTP/1.1\r\nHost: ${new URL(reflow.url).host}\r\nConnection: close\r\n\r\n`,
  )
  expect(path).toMatch(/^HTTP\/1\.1 400 /)
  const hosts = await raw(
    `GET /mcp/open HTTP/1.1\r\nHost: ${new URL(reflow.url).host}\r\nHost: evil.example\r\nConnection: close\r\n\r\n`,
  )
  expect(hosts).toMatch(/^HTTP\/1\.1 400 /)
})

test("a request of 5 MB is 413", async () => {
  const response = await post(at("open"), alice, { ...initialize(), filler: "x".repeat(5 * 2 ** 20) })
  expect(response.status).toBe(413)
  expect(await response.text()).toContain("BodyTooLarge")
})

test("hostile subject names get instances of their own with valid names", async () => {
  const subjects = ["../../etc/passwd", "a\u0000b", "a", "A", "名前 🦊", "x".repeat(1_000), "x".repeat(999)]
  const tokens = await Promise.all(subjects.map((subject) => reflow.token(subject)))
  const pids: string[] = []
  for (const token of tokens) pids.push(await toolText(at("open"), token, "pid"))
  expect(new Set(pids).size).toBe(subjects.length)
  const { body } = await reflow.api("GET", "/api/targets/open/instances")
  for (const { name } of body.items) expect(name).toMatch(/^open-user-[a-z2-7]{15}$/)
})

test("bad configuration stops the start with what is wrong and where", async () => {
  const { code, stderr } = await runReflow([
    "--role",
    "dev",
    "--set",
    "kubernetes.idle_tll=10s",
    "--set",
    "gateway.max_body=lots",
  ])
  expect(code).toBe(2)
  expect(stderr).toContain("kubernetes.idle_tll")
  expect(stderr).toContain("idle_ttl")
  expect(stderr).toContain("gateway.max_body")
  expect(stderr).not.toContain("    at ")
})

test("a port in use stops the start with the port's name", async () => {
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve))
  const { port } = other.address() as { port: number }
  const { code, stderr } = await runReflow(["--role", "dev", "--set", `gateway.listen=127.0.0.1:${port}`])
  other.close()
  expect(code).toBe(1)
  expect(stderr).toContain(String(port))
  expect(stderr).toContain("PortInUse")
})

test("after all that the gateway still serves, and no token is in its log", async () => {
  const answer = await answerOf(await callTool(at("open"), alice, "pid"))
  expect(answer.result.content[0].text).toMatch(/^\d+$/)
  expect(reflow.output()).not.toContain("wrong-token-canary")
  const banner = reflow
    .output()
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .join("\n")
  expect(banner).not.toContain(alice)
})
