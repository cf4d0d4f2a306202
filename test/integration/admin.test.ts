import { createHash } from "node:crypto"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { toNodeHandler } from "h3/node"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { createMemoryCluster } from "../../src/adapters/memory/cluster.ts"
import { createAdmin } from "../../src/admin/admin.ts"
import { apiVersion } from "../../src/api/kind.ts"
import { labels } from "../../src/api/labels.ts"
import { type MCPInstance, mcpInstanceKind } from "../../src/api/mcp-instance.ts"
import { mcpTargetKind } from "../../src/api/mcp-target.ts"
import { scopeSecretName } from "../../src/api/names.ts"
import { fromSecretData, secretKind } from "../../src/api/secret.ts"
import { createAccess } from "../../src/identity/access.ts"
import { createAuthenticator } from "../../src/identity/authenticate.ts"
import { mintDevToken } from "../../src/identity/dev-tokens.ts"
import type { Purpose } from "../../src/identity/identity.ts"
import { sharerKey, sharerNamed } from "../../src/identity/subject-key.ts"
import { fakeClock } from "../support/fake-clock.ts"
import { quietTelemetry } from "../support/quiet-telemetry.ts"

const namespace = "reflow"
const key = Buffer.alloc(32, 1)

const start = async () => {
  const clock = fakeClock()
  const telemetry = quietTelemetry()
  const cluster = createMemoryCluster({ clock, telemetry })
  const [targets, instances] = [
    cluster.watch(mcpTargetKind, { namespace }),
    cluster.watch(mcpInstanceKind, { namespace }),
  ]
  await Promise.all([targets.synced, instances.synced])
  const issuers = ["dev", "static"]
  const admin = createAdmin({
    cluster,
    namespace,
    targets,
    instances,
    access: createAccess({ issuers, adminRoles: ["admin"] }),
    authenticator: createAuthenticator({
      tokens: [
        {
          name: "robot",
          sha256: createHash("sha256").update("robot-token").digest("hex"),
          subject: "robot",
          roles: ["dev/admin"],
          groups: [],
          for: ["api"],
        },
      ],
      dev: key,
      clock,
      telemetry,
    }),
    clock,
    telemetry,
  })
  return { clock, telemetry, cluster, admin, close: () => cluster.close() }
}

let world: Awaited<ReturnType<typeof start>>
beforeEach(async () => {
  world = await start()
})
afterEach(() => world.close())

const token = (subject: string, roles: string[] = [], groups: string[] = [], purposes: Purpose[] = ["api"]) =>
  mintDevToken(key, { subject, roles, groups, for: purposes, ttlSeconds: 3600 }, world.clock)

type Sent = { body?: unknown; as?: string; headers?: Readonly<Record<string, string>> }

/** A request as the administrator, or as the holder of `as`. */
const send = async (method: string, path: string, { body, as, headers }: Sent = {}) => {
  const bearer = as ?? (await token("root", ["admin"]))
  const sent = body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }
  const response = await world.admin.fetch(
    new Request(`http://gateway.test${path}`, {
      method,
      headers: {
        ...(bearer === "" ? {} : { authorization: `Bearer ${bearer}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...sent,
    }),
  )
  const text = await response.text()
  expect(response.headers.get("cache-control")).toBe("no-store")
  expect(response.headers.get("x-request-id")).toMatch(/^[-0-9a-f]{36}$/)
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of any shape
  const parsed: any = text === "" ? undefined : JSON.parse(text)
  if (response.status >= 400 && method !== "HEAD") {
    expect(response.headers.get("content-type")).toBe("application/problem+json")
    expect(parsed).toMatchObject({
      status: response.status,
      detail: expect.any(String),
      title: expect.any(String),
      request_id: response.headers.get("x-request-id"),
    })
  }
  return { status: response.status, headers: response.headers, body: parsed, text }
}

/** The body of the specification's text, as it is written there. */
const specified = {
  name: "github-k8s",
  transport_type: "kubernetes",
  image: "ghcr.io/org/mcp-github:latest",
  port: 8080,
  statefulness: "stateful",
  isolation_boundary: "per_user",
}

const register = async (name: string, more: Readonly<Record<string, unknown>> = {}) => {
  const { status, text } = await send("POST", "/api/targets", { body: { ...specified, name, ...more } })
  expect(status, text).toBe(201)
}

const userKey = (subject: string) => sharerKey(sharerNamed("user", { issuer: "dev", name: subject }))

/** An instance as a gateway makes it. */
const place = async (targetName: string, subjectKey: string, name: string, scopes: readonly string[] = []) => {
  const instance: MCPInstance = {
    apiVersion,
    kind: "MCPInstance",
    metadata: {
      name,
      namespace,
      annotations: { [labels.subject]: `dev/${name}`, [labels.credentialScopes]: scopes.join(",") },
    },
    spec: { image: "i", port: 80, targetName, subjectKey, secretName: `${name}-abcde` },
  }
  return await world.cluster.create(mcpInstanceKind, instance)
}
const restartTimes = async () => {
  const { items } = await world.cluster.list(mcpInstanceKind, { namespace })
  return Object.fromEntries(items.map(({ metadata, spec }) => [metadata.name, spec.restartTime !== undefined]))
}
const names = (page: { body: { items: { name: string }[] } }) => page.body.items.map(({ name }) => name)

describe("registering a target", () => {
  test("takes the specification's body as it is written, and makes the object that kubectl would", async () => {
    const { status, headers, body } = await send("POST", "/api/targets", { body: specified })
    expect(status).toBe(201)
    expect(headers.get("location")).toBe("/api/targets/github-k8s")
    expect(body).toMatchObject({ ...specified, generation: 1 })
    const object = await world.cluster.get(mcpTargetKind, { namespace, name: "github-k8s" })
    expect(object?.spec).toEqual({
      transportType: "kubernetes",
      image: "ghcr.io/org/mcp-github:latest",
      port: 8080,
      statefulness: "stateful",
      isolationBoundary: "per_user",
    })
    const got = await send("GET", "/api/targets/github-k8s")
    expect(got.body).toMatchObject(specified)
    expect(got.headers.get("etag")).toBe('"1"')
  })
  test("a second time is 409", async () => {
    await register("github")
    const again = await send("POST", "/api/targets", { body: { ...specified, name: "github" } })
    expect(again).toMatchObject({ status: 409, body: { code: "AlreadyExists" } })
  })
  test("with wrong fields is 422 with a line for each, and no value in any", async () => {
    const body = {
      ...specified,
      name: "Canary",
      port: "canary",
      idle_ttl: "1s",
      isolation_bondary: "canary",
      env: [{ name: "A", value: 1 }],
    }
    const refused = await send("POST", "/api/targets", { body })
    expect(refused).toMatchObject({ status: 422, body: { code: "ValidationFailed" } })
    expect(refused.body.errors.map(({ pointer }: { pointer: string }) => pointer).sort()).toEqual([
      "/env/0/value",
      "/isolation_bondary",
      "/name",
      "/port",
    ])
    expect(refused.text.toLowerCase()).not.toContain("canary")
    const rules = await send("POST", "/api/targets", {
      body: { ...specified, idle_ttl: "1s", env: [{ name: "A", value: "b" }], credentials: [{ name: "A" }] },
    })
    expect(rules.body.errors).toEqual([
      { pointer: "/idle_ttl", detail: "must be at least 10s" },
      { pointer: "/credentials/0/name", detail: expect.stringContaining("env") },
    ])
  })
  test("is for administrators", async () => {
    const refused = await send("POST", "/api/targets", { body: specified, as: await token("alice") })
    expect(refused).toMatchObject({ status: 403, body: { code: "Forbidden" } })
    expect((await send("GET", "/api/targets")).body.items).toEqual([])
  })
})

describe("targets", () => {
  test("are listed in pages for administrators, and for others as far as they may use them", async () => {
    await register("open", { env: [{ name: "A", value: "canary" }], credentials: [{ name: "TOKEN" }] })
    await register("closed", { access: { groups: ["dev/eng"] } })
    await register("other", { access: { users: ["static/alice", "alice"] } })
    const first = await send("GET", "/api/targets?limit=2")
    expect(names(first)).toEqual(["closed", "open"])
    expect(names(await send("GET", `/api/targets?limit=2&continue=${first.body.continue}`))).toEqual(["other"])

    const alice = await token("alice")
    const seen = await send("GET", "/api/targets", { as: alice })
    expect(seen.body).toEqual({
      items: [
        {
          name: "open",
          transport_type: "kubernetes",
          statefulness: "stateful",
          isolation_boundary: "per_user",
          credentials: [{ name: "TOKEN" }],
        },
      ],
    })
    const engineer = await token("carol", [], ["eng"])
    expect(names(await send("GET", "/api/targets", { as: engineer }))).toEqual(["closed", "open"])
  })
  test("that the caller may not use are 404 just like unknown ones", async () => {
    await register("closed", { access: { groups: ["dev/eng"] } })
    const as = await token("alice")
    for (const path of ["", "/instances", "/env/me"]) {
      const [closed, unknown] = [
        await send("GET", `/api/targets/closed${path}`, { as }),
        await send("GET", `/api/targets/absent${path}`, { as }),
      ]
      expect(closed).toMatchObject({ status: 404, body: { code: "TargetNotFound" } })
      expect(closed.body.detail).toBe(unknown.body.detail.replace("absent", "closed"))
    }
  })
  test("go with their instances and credentials", async () => {
    await register("github")
    await send("PUT", "/api/targets/github/env/default", { body: { A: "b" } })
    expect(await world.cluster.get(secretKind, { namespace, name: "github-env-default" })).toBeDefined()
    expect((await send("DELETE", "/api/targets/github")).status).toBe(204)
    expect(await world.cluster.get(mcpTargetKind, { namespace, name: "github" })).toBeUndefined()
    await world.clock.advance(1_000) // owned objects go in the background
    expect(await world.cluster.get(secretKind, { namespace, name: "github-env-default" })).toBeUndefined()
    expect(await send("DELETE", "/api/targets/github")).toMatchObject({ status: 404 })
  })
})

describe("instances", () => {
  test("are shown with names of Pod, Service and Secret to administrators, and to the users whose own they are", async () => {
    await register("github")
    await register("common", { isolation_boundary: "shared" })
    await place("github", userKey("alice"), "github-user-a")
    await place("github", userKey("bob"), "github-user-b")
    await place("common", "shared", "common-shared")
    await world.cluster.patchStatus(
      mcpInstanceKind,
      { namespace, name: "github-user-a" },
      {
        status: {
          phase: "Failed",
          podName: "github-user-a-x",
          conditions: [
            {
              type: "Ready",
              status: "False",
              reason: "CrashLoop",
              message: "It ended with exit code 3.",
              lastTransitionTime: "2030-01-01T00:00:00Z",
            },
          ],
        },
      },
    )
    await world.clock.advance(5_000)
    const alice = await token("alice")
    const { body } = await send("GET", "/api/instances", { as: alice })
    expect(body.items).toEqual([
      {
        name: "github-user-a",
        target: "github",
        subject: "dev/github-user-a",
        subject_key: userKey("alice"),
        phase: "Failed",
        reason: "CrashLoop",
        message: "It ended with exit code 3.",
        image: "i",
        pod: "github-user-a-x",
        service: "github-user-a",
        secret: "github-user-a-abcde",
        restarts: 0,
        created_time: "2030-01-01T00:00:00Z",
        age_seconds: 5,
      },
    ])
    expect(names(await send("GET", "/api/instances"))).toEqual(["common-shared", "github-user-a", "github-user-b"])
    expect(names(await send("GET", "/api/targets/github/instances"))).toEqual(["github-user-a", "github-user-b"])
    expect(names(await send("GET", "/api/targets/common/instances", { as: alice }))).toEqual([])
  })
  test("of a user are not shown to a static token of the same subject", async () => {
    await register("github")
    await place("github", userKey("robot"), "github-user-r")
    expect(names(await send("GET", "/api/instances", { as: "robot-token" }))).toEqual([])
  })
})

describe("restarting", () => {
  beforeEach(async () => {
    await register("github")
    await register("other")
    await place("github", userKey("alice"), "github-user-a")
    await place("github", userKey("bob"), "github-user-b")
    await place("other", userKey("alice"), "other-user-a")
  })

  test("ends every instance of the target, with or without a body, and says which", async () => {
    const done = await send("POST", "/api/targets/github/restart-instances")
    expect(done).toMatchObject({
      status: 200,
      body: { restarted: 2, instances: ["github-user-a", "github-user-b"] },
    })
    expect(names(await send("GET", "/api/instances"))).toEqual(["other-user-a"])
    expect(await send("POST", "/api/targets/github/restart-instances", { body: {} })).toMatchObject({
      body: { restarted: 0, instances: [] },
    })
  })
  test("ends more instances than one page of a list holds", async () => {
    for (let number = 0; number < 501; number++) await place("github", `user:${number}`, `github-user-n${number}`)
    const done = await send("POST", "/api/targets/github/restart-instances")
    expect(done.body.restarted).toBe(503)
  })
  test.each([
    ["a name", "dev/bob"],
    ["a subject key", userKey("bob")],
  ])("ends one sharer's by %s", async (_name, subject) => {
    const done = await send("POST", "/api/targets/github/restart-instances", { body: { subject } })
    expect(done.body).toEqual({ restarted: 1, instances: ["github-user-b"] })
  })
  test("drains instead when asked", async () => {
    const done = await send("POST", "/api/targets/github/restart-instances", { body: { drain: true } })
    expect(done.body.restarted).toBe(2)
    expect(await restartTimes()).toEqual({ "github-user-a": true, "github-user-b": true, "other-user-a": false })
  })
  test("is for administrators, and refuses what it does not know", async () => {
    const as = await token("alice")
    expect(await send("POST", "/api/targets/github/restart-instances", { body: {}, as })).toMatchObject({ status: 403 })
    const wrong = await send("POST", "/api/targets/github/restart-instances", { body: { darin: true } })
    expect(wrong.body.errors).toEqual([{ pointer: "/darin", detail: "is not a field; did you mean drain?" }])
    expect(names(await send("GET", "/api/instances"))).toHaveLength(3)
  })
})

describe("credentials", () => {
  const secretOf = (subject: string) => scopeSecretName("github", "user", { issuer: "dev", name: subject })
  beforeEach(async () => {
    await register("github", { credentials: [{ name: "TOKEN" }, { name: "OTHER" }] })
    await register("common", { isolation_boundary: "shared", credentials: [{ name: "TOKEN" }] })
  })

  test("of a user are set by the user, restart their instance alone, and are never shown", async () => {
    const [alice, bob] = [await token("alice"), await token("bob")]
    await place("github", userKey("alice"), "github-user-a", ["github-env-default", secretOf("alice")])
    await place("github", userKey("bob"), "github-user-b", ["github-env-default", secretOf("bob")])
    const put = await send("PUT", "/api/targets/github/env/me", { body: { TOKEN: "canary" }, as: alice })
    expect(put).toMatchObject({
      status: 200,
      body: { scope: "user", who: "dev/alice", names: ["TOKEN"], restarting: ["github-user-a"] },
    })
    expect(await restartTimes()).toEqual({ "github-user-a": true, "github-user-b": false })
    const secret = await world.cluster.get(secretKind, { namespace, name: secretOf("alice") })
    expect(fromSecretData(secret?.data)).toEqual({ TOKEN: "canary" })
    const got = await send("GET", "/api/targets/github/env/me", { as: alice })
    expect(got.body).toMatchObject({ names: ["TOKEN"], digest: put.body.digest })
    expect(put.text + got.text + JSON.stringify(world.telemetry.lines)).not.toContain("canary")
    expect((await send("GET", "/api/targets/github/env/me", { as: bob })).body.names).toEqual([])
    expect((await send("GET", "/api/targets/github/env/user/dev%2Falice")).body.names).toEqual(["TOKEN"])
  })
  test("are gone after a DELETE, which may come twice", async () => {
    const as = await token("alice")
    await send("PUT", "/api/targets/github/env/me", { body: { TOKEN: "x" }, as })
    await place("github", userKey("alice"), "github-user-a", [secretOf("alice")])
    const gone = await send("DELETE", "/api/targets/github/env/me", { as })
    expect(gone).toMatchObject({ status: 200, body: { names: [], restarting: ["github-user-a"] } })
    expect(await world.cluster.get(secretKind, { namespace, name: secretOf("alice") })).toBeUndefined()
    expect((await send("DELETE", "/api/targets/github/env/me", { as })).body).toMatchObject({ restarting: [] })
  })
  test("of the default scope restart every instance that records it", async () => {
    await place("github", userKey("alice"), "github-user-a", ["github-env-default", secretOf("alice")])
    await place("github", userKey("bob"), "github-user-b")
    const put = await send("PUT", "/api/targets/github/env/default", { body: { TOKEN: "x", UNDECLARED: "y" } })
    expect(put.body).toMatchObject({ names: ["TOKEN", "UNDECLARED"], restarting: ["github-user-a"] })
    expect(put.body).not.toHaveProperty("who")
  })
  test("of a role are named by issuer and role, whatever characters they have", async () => {
    for (const path of ["dev/a%2Fb", "dev%2Fa%2Fb", "dev/a/b"]) {
      const put = await send("PUT", `/api/targets/github/env/role/${path}`, { body: { TOKEN: path } })
      expect(put.body).toMatchObject({ who: "dev/a/b" })
    }
    const bare = await send("PUT", "/api/targets/github/env/role/a", { body: { TOKEN: "x" } })
    expect(bare).toMatchObject({ status: 400, body: { code: "InvalidParams" } })
    expect(bare.body.detail).toContain("dev, static")
  })
  test.each([
    ["a name that the target does not declare", { UNDECLARED: "canary" }, "/UNDECLARED"],
    ["a name that is none", { "NOT A NAME": "canary" }, "/NOT A NAME"],
    ["a value that is no text", { TOKEN: 1 }, "/TOKEN"],
    ["a value of more than 64 KiB", { TOKEN: "x".repeat(64 * 1024 + 1) }, "/TOKEN"],
    ["a list", ["canary"], ""],
  ])("of a user are refused for %s", async (_name, body, pointer) => {
    const refused = await send("PUT", "/api/targets/github/env/me", { body, as: await token("alice") })
    expect(refused).toMatchObject({ status: 422, body: { code: "ValidationFailed", errors: [{ pointer }] } })
    expect(refused.text).not.toContain("canary")
  })
  test("of a scope narrower than the boundary are refused", async () => {
    const as = await token("alice")
    for (const refused of [
      await send("PUT", "/api/targets/common/env/me", { body: { TOKEN: "x" }, as }),
      await send("PUT", "/api/targets/common/env/group/dev/eng", { body: { TOKEN: "x" } }),
    ])
      expect(refused).toMatchObject({ status: 422, body: { code: "ScopeTooNarrow" } })
  })
  test("of others are for administrators", async () => {
    const as = await token("alice")
    for (const path of ["default", "user/dev/bob", "user/dev/alice", "role/dev/x"])
      for (const method of ["GET", "PUT", "DELETE"])
        expect(await send(method, `/api/targets/github/env/${path}`, { as })).toMatchObject({ status: 403 })
  })
  test.each(["default/x", "user", "everyone", "everyone/x"])("of the scope %s do not exist", async (path) => {
    expect(await send("GET", `/api/targets/github/env/${path}`)).toMatchObject({
      status: 404,
      body: { code: "RouteNotFound" },
    })
  })
})

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
          status: 200,
          duration_ms: 0,
        },
      },
    ])
  })
  test("a cluster that fails is told in our own words, and to the log in its own", async () => {
    await world.cluster.close()
    const failed = await send("GET", "/api/targets/github")
    expect(failed.status).toBeGreaterThanOrEqual(500)
    expect(world.telemetry.lines.map(({ level }) => level)).toContain("warn")
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
