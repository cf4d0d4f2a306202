import { beforeEach, describe, expect, test } from "vitest"
import { secretKind } from "../../src/api/kinds/kubernetes.ts"
import { mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { type MCPTarget, mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import { labels, scopeSecretName } from "../../src/api/names.ts"
import { changeAnnotation } from "../../src/signals/credentials-changed.ts"
import { namespace, send, token, useAdmin, world } from "../support/admin-stage.ts"

useAdmin()

const described = {
  name: "tickets",
  transport_type: "streamable-http",
  remote: {
    url: "https://mcp.example.com/mcp",
    headers: [{ name: "Authorization", value: "Bearer ${TOKEN}" }],
    ca_secret: "corporate-ca",
  },
  credentials: [{ name: "TOKEN", required: true }],
}
const path = "/api/targets/tickets"
const own = scopeSecretName("tickets", "user", { issuer: "dev", name: "alice" })

const ref = { namespace, name: "tickets" }
const stored = async (): Promise<MCPTarget> => {
  const target = await world.cluster.get(mcpTargetKind, ref)
  if (target === undefined) throw new Error("no target")
  return target
}
const annotations = async () => (await stored()).metadata.annotations ?? {}
const noted = async (secret: string) => (await annotations())[changeAnnotation(secret)]

/** Turns the clock until the call is answered. */
const answered = async <T>(call: Promise<T>): Promise<T> => {
  let isOver = false
  const ended = call.finally(() => {
    isOver = true
  })
  while (!isOver) {
    await world.clock.advance(100)
    // on a busy machine the call may not have come to its first wait yet
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  return await ended
}

beforeEach(async () => {
  const { status, text } = await send("POST", "/api/targets", { body: described })
  expect(status, text).toBe(201)
})

describe("a remote target", () => {
  test("is shown to administrators as it was made, and to its users without the server and its headers", async () => {
    expect((await send("GET", path)).body).toMatchObject(described)
    const as = await token("alice")
    const shown = { ...described, statefulness: "stateful", isolation_boundary: "per_user" }
    const { remote: _, ...rest } = shown
    expect((await send("GET", path, { as })).body).toEqual(rest)
    expect((await send("GET", "/api/targets", { as })).body.items).toEqual([rest])
    expect((await send("GET", path, { as })).text + (await send("GET", "/api/targets", { as })).text).not.toMatch(
      /example\.com|Bearer|corporate/,
    )
  })
  test("may be changed: its URL, one of its headers, and not into one of the cluster", async () => {
    const patch = (body: object) =>
      send("PATCH", path, { body, headers: { "content-type": "application/merge-patch+json" } })
    const moved = await patch({ remote: { url: "https://other.example/", ca_secret: null } })
    expect(moved.body.remote).toEqual({ url: "https://other.example/", headers: described.remote.headers })
    expect(await patch({ transport_type: "kubernetes", remote: null, image: "i", port: 80 })).toMatchObject({
      status: 422,
      body: { errors: [{ pointer: "/transport_type", detail: expect.stringContaining("immutable") }] },
    })
  })
  test.each([
    ["a field of instances", { image: "i" }, "/image", "image cannot be used with transportType streamable-http"],
    ["no server", { remote: undefined }, "/remote", "remote is required for transportType streamable-http"],
    [
      "a name that it does not declare",
      { credentials: [] },
      "/remote/headers/0/value",
      "${TOKEN} is none of the names",
    ],
    ["a URL of no host", { remote: { url: "https://:1/" } }, "/remote/url", "must have a host"],
    [
      "a reserved header",
      { remote: { url: "https://a.example/", headers: [{ name: "HOST", value: "b" }] } },
      "/remote/headers",
      "must not name a header of the connection",
    ],
    [
      "the transport sse",
      { transport_type: "sse" },
      "/transport_type",
      "let a target with stdio run the tool mcp-remote",
    ],
  ])("with %s is refused, and the field is named", async (_, more, pointer, detail) => {
    const { status, body } = await send("POST", "/api/targets", { body: { ...described, name: "other", ...more } })
    expect(status).toBe(422)
    expect(body.errors).toEqual([{ pointer, detail: expect.stringContaining(detail) }])
  })
  test("in the cluster cannot name a server elsewhere", async () => {
    const body = { name: "other", image: "i", port: 80, remote: described.remote, credentials: described.credentials }
    expect(await send("POST", "/api/targets", { body })).toMatchObject({
      status: 422,
      body: { errors: [{ pointer: "/remote", detail: "remote needs transportType streamable-http" }] },
    })
  })
  test("has no instances, whatever was called and written", async () => {
    await send("PUT", `${path}/env/default`, { body: { TOKEN: "x" } })
    expect((await send("GET", `${path}/instances`)).body).toEqual({ items: [] })
    expect((await send("GET", "/api/instances")).body).toEqual({ items: [] })
    expect((await world.cluster.list(mcpInstanceKind, { namespace })).items).toEqual([])
    const [name] = ["tickets-user-abc"]
    expect(await send("GET", `/api/instances/${name}/logs`)).toMatchObject({ status: 404 })
  })
})

describe("credentials of a remote target", () => {
  const write = (method: string, scope: string, value: string | null, as?: string) =>
    send(method, `${path}/env/${scope}`, {
      ...(method === "DELETE" ? {} : { body: { TOKEN: value } }),
      ...(as === undefined ? {} : { as }),
      headers: method === "PATCH" ? { "content-type": "application/merge-patch+json" } : {},
    })

  test.each(["PUT", "PATCH", "DELETE"])("tell all gateways of each change: %s", async (method) => {
    const as = await token("alice")
    await write("PUT", "me", "old", as)
    await world.clock.advance(1_000)
    const before = await noted(own)
    const answer = await write(method, "me", "canary", as)
    expect(answer).toMatchObject({ status: 200, body: { restarting: [] } })
    expect(await noted(own)).toBe(new Date(world.clock.now()).toISOString())
    expect(before).not.toBe(await noted(own))
    const all = JSON.stringify([await stored(), answer.text, world.telemetry.lines])
    expect(all).not.toContain("canary")
  })
  test("of the scopes of administrators do the same", async () => {
    for (const [scope, secret] of [
      ["default", scopeSecretName("tickets", "default")],
      ["user/dev/alice", own],
      ["group/dev/%2Feng", scopeSecretName("tickets", "group", { issuer: "dev", name: "/eng" })],
    ] as const) {
      expect((await write("PUT", scope, "x")).status).toBe(200)
      expect(await noted(secret), scope).toBeDefined()
    }
  })
  test("leave the version of the target as it was", async () => {
    const etag = (await send("GET", path)).headers.get("etag")
    await write("PUT", "default", "x")
    expect((await send("GET", path)).headers.get("etag")).toBe(etag)
  })
  test("are answered once this gateway has heard of the change, so that the very next call has the new value", async () => {
    world.lag(500)
    let isAnswered = false
    const put = write("PUT", "default", "x").finally(() => {
      isAnswered = true
    })
    const secret = scopeSecretName("tickets", "default")
    await expect.poll(() => noted(secret)).toBeDefined()
    await world.clock.advance(499)
    expect(isAnswered).toBe(false)
    await world.clock.advance(1)
    expect((await put).status).toBe(200)
  })
  test("are answered after two seconds, if this gateway hears of nothing", async () => {
    world.lag(60_000)
    const put = write("PUT", "default", "x")
    await expect.poll(() => noted(scopeSecretName("tickets", "default"))).toBeDefined()
    await world.clock.advance(2_000)
    expect((await put).status).toBe(200)
  })
  test("tell of a change although the cluster fails for a moment", async () => {
    for (const code of ["ClusterUnavailable", "ApiTooManyRequests", "ApiConflict"] as const) {
      world.fail({ verb: "mergePatch", kind: "MCPTarget", times: 3, code })
      await world.clock.advance(1_000)
      expect((await answered(write("PUT", "default", "x"))).status, code).toBe(200)
    }
  })
  test("fail with the cluster's error if nobody could be told, and their repetition tells", async () => {
    const secret = scopeSecretName("tickets", "default")
    world.fail({ verb: "mergePatch", kind: "MCPTarget", times: 4 })
    expect(await answered(write("PUT", "default", "x"))).toMatchObject({
      status: 503,
      body: { code: "ClusterUnavailable" },
    })
    expect(await noted(secret)).toBeUndefined()
    expect(await world.cluster.get(secretKind, { namespace, name: secret })).toBeDefined()
    expect((await write("PUT", "default", "x")).status).toBe(200)
    expect(await noted(secret)).toBeDefined()
  })
  test("that are gone already are told of as well: the DELETE before may have failed to tell", async () => {
    const secret = scopeSecretName("tickets", "default")
    await write("PUT", "default", "x")
    await world.clock.advance(1_000)
    const before = await noted(secret)
    world.fail({ verb: "mergePatch", kind: "MCPTarget", times: 4 })
    expect((await answered(write("DELETE", "default", null))).status).toBe(503)
    expect(await noted(secret)).toBe(before)
    expect(await write("DELETE", "default", null)).toMatchObject({ status: 200, body: { restarting: [], names: [] } })
    expect(await noted(secret)).not.toBe(before)
  })
  test("are not repeated against a cluster that refuses to be told", async () => {
    world.fail({ verb: "mergePatch", kind: "MCPTarget", code: "ApiForbidden" })
    expect(await write("PUT", "default", "x")).toMatchObject({ status: 403, body: { code: "ApiForbidden" } })
  })
  test("of a target that is deleted meanwhile are nobody's concern", async () => {
    world.fail({ verb: "mergePatch", kind: "MCPTarget", code: "ApiNotFound" })
    expect((await write("PUT", "default", "x")).status).toBe(200)
  })
  test("never mark another target that has the name now", async () => {
    const as = await token("alice")
    // the REST API has not heard yet that the target was replaced
    world.lag(10_000)
    const old = await stored()
    await world.cluster.delete(mcpTargetKind, ref)
    const { apiVersion, kind, spec } = old
    await world.cluster.create(mcpTargetKind, { apiVersion, kind, metadata: ref, spec })
    const put = await answered(write("PUT", "me", "x", as))
    expect(await annotations()).toEqual({})
    expect([200, 409]).toContain(put.status)
  })
  test("of two hundred and fifty users fit, and fifty of them at once", async () => {
    world.takeTurns()
    for (let round = 0; round < 5; round++) {
      const users = await Promise.all(Array.from({ length: 50 }, (_, index) => token(`user-${round}-${index}`)))
      const answers = await answered(Promise.all(users.map((as) => write("PUT", "me", "x", as))))
      expect(answers.map(({ status }) => status)).toEqual(users.map(() => 200))
    }
    expect(Object.keys(await annotations()).length).toBeLessThanOrEqual(250)
    expect(Object.keys(await annotations()).some((key) => key.endsWith("/all"))).toBe(true)
  })
})

describe("a restart of a remote target", () => {
  const restart = (body?: object) => send("POST", `${path}/restart-instances`, body === undefined ? {} : { body })

  test("ends the sessions of all, by a mark that all gateways see, each time another one", async () => {
    for (const body of [undefined, {}, { drain: true }]) {
      const before = (await annotations())[labels.restartedTime]
      expect(await restart(body)).toMatchObject({ status: 200, body: { restarted: 0, instances: [] } })
      expect((await annotations())[labels.restartedTime]).not.toBe(before)
    }
  })
  test("is answered once this gateway has heard of it", async () => {
    world.lag(500)
    let isAnswered = false
    const answer = restart().finally(() => {
      isAnswered = true
    })
    await expect.poll(async () => (await annotations())[labels.restartedTime]).toBeDefined()
    await world.clock.advance(499)
    expect(isAnswered).toBe(false)
    await world.clock.advance(1)
    expect((await answer).status).toBe(200)
  })
  test("cannot be for one user only", async () => {
    expect(await restart({ subject: "dev/alice" })).toMatchObject({
      status: 400,
      body: { code: "InvalidParams", detail: expect.stringContaining("Leave out subject") },
    })
    expect(await annotations()).toEqual({})
  })
  test("of a target that is gone meanwhile is an error", async () => {
    world.fail({ verb: "mergePatch", kind: "MCPTarget", code: "ApiNotFound" })
    expect(await restart()).toMatchObject({ status: 404, body: { code: "TargetNotFound" } })
  })
})
