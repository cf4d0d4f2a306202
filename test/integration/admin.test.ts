import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { toNodeHandler } from "h3/node"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { AppError } from "../../src/errors.ts"
import { sharerKey, sharerNamed } from "../../src/identity/subject-key.ts"
import { register, send, specified, token, useAdmin, userKey, world } from "../support/admin-stage.ts"

useAdmin()

const groupKey = (name: string) => sharerKey(sharerNamed("group", { issuer: "dev", name }))

test("whoami tells the identity and its subject key for each usable target, or why there is none", async () => {
  await register("github")
  await register("team", { isolation_boundary: "per_group" })
  await register("closed", { access: { users: ["dev/bob"] } })
  const { body } = await send("GET", "/api/whoami", { as: await token("alice", ["x"]) })
  expect(body).toEqual({
    identity: {
      source: "jwt",
      issuer: "dev",
      subject: "alice",
      groups: [],
      roles: ["x"],
      scopes: [],
      admin: false,
    },
    targets: [
      { name: "github", subject_key: userKey("alice") },
      { name: "team", denied: expect.stringContaining("no groups") },
    ],
  })
})

describe("the door", () => {
  test.each([
    ["no token", ""],
    ["a wrong token", "canary-wrong"],
  ])("%s is 401 with a challenge, on known and unknown paths alike", async (_name, as) => {
    for (const path of ["/api/targets", "/api/unknown", "/api/targets/x/env/default", "/api"]) {
      const refused = await send("GET", path, { as })
      expect(refused).toMatchObject({ status: 401, body: { code: "Unauthenticated" } })
      // whoever looks after issuers reads it there: the audience, the issuer, the expiry
      expect(world.telemetry.lines.at(-1)?.fields.why).toBe(refused.body.detail)
      expect(refused.headers.get("www-authenticate")).toMatch(/^Bearer/)
      expect(refused.text).not.toContain("canary")
    }
  })
  test("a token for MCP endpoints does not open it", async () => {
    const refused = await send("GET", "/api/targets", { as: await token("root", ["admin"], [], ["mcp"]) })
    expect(refused).toMatchObject({ status: 401, body: { code: "Unauthenticated" } })
  })
  test("a role of another issuer that is named like the administrators' is none", async () => {
    expect(await send("DELETE", "/api/targets/x", { as: "robot-token" })).toMatchObject({ status: 403 })
  })
  test("an unknown path is 404, another method 405 with Allow", async () => {
    for (const path of ["/api", "/api/x", "/api/targets/x/y", "/api//targets", "/elsewhere"])
      expect(await send("GET", path)).toMatchObject({ status: 404, body: { code: "RouteNotFound" } })
    const wrong = await send("PATCH", "/api/targets")
    expect(wrong).toMatchObject({ status: 405, body: { code: "MethodNotAllowed" } })
    expect(wrong.headers.get("allow")?.split(", ").sort()).toEqual(["GET", "HEAD", "POST"])
    expect((await send("GET", "/api/targets/x/restart-instances")).headers.get("allow")).toBe("POST")
  })
  test("HEAD answers like GET without the body", async () => {
    const head = await send("HEAD", "/api/targets")
    expect(head).toMatchObject({ status: 200, text: "" })
  })
  test.each(["/api/targets/%", "/api/targets/x/env/user/%FF"])(
    "a path that is not well encoded is 400: %s",
    async (path) => {
      expect(await send("GET", path)).toMatchObject({ status: 400, body: { code: "BadPath" } })
    },
  )
  test("bodies are JSON of at most 1 MiB", async () => {
    const post = (body: string, headers = {}) => send("POST", "/api/targets", { body, headers })
    expect(await post("{canary")).toMatchObject({ status: 400, body: { code: "MalformedJson" } })
    expect(await post("{}", { "content-type": "text/plain" })).toMatchObject({ status: 415 })
    expect(await post(" ".repeat(2 ** 20 + 1))).toMatchObject({ status: 413, body: { code: "BodyTooLarge" } })
    expect(await send("POST", "/api/targets")).toMatchObject({ status: 422, body: { code: "ValidationFailed" } })
  })
  test("an unknown parameter of a query is refused", async () => {
    expect(await send("GET", "/api/instances?target=x")).toMatchObject({ status: 400, body: { code: "InvalidParams" } })
  })
  test("each call leaves one line: the subject's digest, call, target, status; no subject, no value", async () => {
    await register("github", { credentials: [{ name: "TOKEN" }] })
    world.telemetry.lines.length = 0
    const as = await token("canary-subject")
    const { headers } = await send("PUT", "/api/targets/github/env/me", { body: { TOKEN: "canary" }, as })
    expect(world.telemetry.lines).toEqual([
      {
        level: "info",
        message: "api",
        fields: {
          request_id: headers.get("x-request-id"),
          subject: userKey("canary-subject").slice("user:".length),
          call: "setOwnValues",
          target: "github",
          scope: "user",
          whose: userKey("canary-subject").slice("user:".length),
          status: 200,
          duration_ms: 0,
        },
      },
    ])
  })
  test.each([
    ["PUT", "user/dev/bob", { scope: "user", whose: userKey("bob").slice("user:".length) }],
    ["DELETE", "user/dev/bob", { scope: "user", whose: userKey("bob").slice("user:".length) }],
    ["PUT", "group/dev/eng", { scope: "group", whose: groupKey("eng").slice("group:".length) }],
    ["PUT", "default", { scope: "default" }],
  ])("%s of %s says in its line whose values an administrator changed", async (method, path, expected) => {
    await register("github", { credentials: [{ name: "TOKEN" }] })
    world.telemetry.lines.length = 0
    const sent = method === "PUT" ? { body: { TOKEN: "canary" } } : {}
    expect((await send(method, `/api/targets/github/env/${path}`, sent)).status).toBe(200)
    const [{ fields } = {}] = world.telemetry.lines
    const { scope, whose, subject } = fields ?? {}
    expect({ scope, ...(whose === undefined ? {} : { whose }) }).toEqual(expected)
    expect(subject).toBe(userKey("root").slice("user:".length))
  })
  test("what only reads says of nobody that their values changed", async () => {
    await register("github", { credentials: [{ name: "TOKEN" }] })
    world.telemetry.lines.length = 0
    await send("GET", "/api/targets/github/env/user/dev/bob")
    expect(world.telemetry.lines[0]?.fields).not.toHaveProperty("whose")
  })
  test("a cluster that fails is told in our own words, and to the log in its own", async () => {
    await world.cluster.close()
    const failed = await send("GET", "/api/targets/github")
    expect(failed.status).toBeGreaterThanOrEqual(500)
    expect(world.telemetry.lines.map(({ level }) => level)).toContain("warn")
  })
  test("what a trial found and tells as its answer is in the log with its cause and the request's id", async () => {
    await register("github")
    const cause = new AppError("ApiForbidden", { detail: 'create secrets: admission webhook "w" denied the request' })
    const error = new AppError("InstanceFailed", { detail: "Refused.", data: { reason: "CreateRefused" }, cause })
    world.findInTrial(error)
    const { status, body, headers } = await send("POST", "/api/targets/github/test")
    expect({ status, body }).toMatchObject({ status: 200, body: { ok: false, error: { code: "InstanceFailed" } } })
    const told = world.telemetry.lines.filter(({ level }) => level === "warn")
    expect(told.map(({ fields }) => fields)).toEqual([{ request_id: headers.get("x-request-id"), error }])
  })
})

describe("behind Node's http server", () => {
  let server: Server
  let base: string
  beforeEach(async () => {
    server = createServer(toNodeHandler(world.admin))
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterEach(() => new Promise((resolve) => server.close(resolve)))

  test("bodies arrive and answers leave", async () => {
    const headers = {
      authorization: `Bearer ${await token("root", ["admin"])}`,
      "content-type": "application/json",
    }
    const created = await fetch(`${base}/api/targets`, { method: "POST", headers, body: JSON.stringify(specified) })
    expect(created.status).toBe(201)
    const large = await fetch(`${base}/api/targets`, { method: "POST", headers, body: " ".repeat(3 * 2 ** 20) })
    expect([large.status, Object(await large.json()).code]).toEqual([413, "BodyTooLarge"])
    const head = await fetch(`${base}/api/targets`, { method: "HEAD", headers })
    expect([head.status, await head.text()]).toEqual([200, ""])
    const gone = await fetch(`${base}/api/targets/github-k8s`, { method: "DELETE", headers })
    expect(gone.status).toBe(204)
  })
})
