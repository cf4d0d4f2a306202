import { beforeEach, describe, expect, test } from "vitest"
import { errorsOf } from "../../src/admin/document.ts"
import { fromSecretData, secretKind } from "../../src/api/kinds/kubernetes.ts"
import { scopeSecretName } from "../../src/api/names.ts"
import {
  namespace,
  place,
  register,
  restartTimes,
  send,
  storeFor,
  token,
  useAdmin,
  userKey,
  world,
} from "../support/admin-stage.ts"

useAdmin()

describe("credentials", () => {
  const secretOf = (subject: string) => scopeSecretName("github", "user", { issuer: "dev", name: subject })
  beforeEach(async () => {
    await register("github", { credentials: [{ name: "TOKEN" }, { name: "OTHER" }] })
    await register("common", { isolation_boundary: "shared", credentials: [{ name: "TOKEN" }] })
  })

  test("have no versions: a call that names one is refused, and changes nothing", async () => {
    for (const headers of [{ "if-none-match": "*" }, { "if-match": '"1"' }]) {
      for (const method of ["PUT", "PATCH", "DELETE"]) {
        const body = method === "DELETE" ? {} : { body: { TOKEN: "canary" } }
        const refused = await send(method, "/api/targets/github/env/default", { ...body, headers })
        expect(refused, method).toMatchObject({ status: 412, body: { code: "PreconditionFailed" } })
      }
    }
    for (const call of ["setDefaultValues", "patchDefaultValues", "deleteDefaultValues"] as const)
      expect(errorsOf(call), call).toContain("PreconditionFailed")
    expect((await send("GET", "/api/targets/github/env/default")).body.names).toEqual([])
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
  test("are answered once this gateway has heard of the restart, so that the very next call does not meet the old server", async () => {
    await place("github", userKey("alice"), "github-user-a", [secretOf("alice")])
    const as = await token("alice")
    world.lag(500)
    let isAnswered = false
    const put = send("PUT", "/api/targets/github/env/me", { body: { TOKEN: "x" }, as }).finally(() => {
      isAnswered = true
    })
    await expect.poll(restartTimes).toEqual({ "github-user-a": true })
    await world.clock.advance(499)
    expect(isAnswered).toBe(false)
    await world.clock.advance(1)
    expect((await put).body).toMatchObject({ restarting: ["github-user-a"] })
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
  describe("that a patch changes", () => {
    const headers = { "content-type": "application/merge-patch+json" }
    const patch = async (body: unknown, path = "me", as?: string) =>
      send("PATCH", `/api/targets/github/env/${path}`, { body, headers, as: as ?? (await token("alice")) })

    test("leave the others as they are; null removes one, and the instance is drained", async () => {
      await send("PUT", "/api/targets/github/env/me", { body: { TOKEN: "1", OTHER: "2" }, as: await token("alice") })
      await place("github", userKey("alice"), "github-user-a", [secretOf("alice")])
      const done = await patch({ TOKEN: "canary" })
      expect(done).toMatchObject({
        status: 200,
        body: { scope: "user", who: "dev/alice", names: ["OTHER", "TOKEN"], restarting: ["github-user-a"] },
      })
      const stored = async () =>
        fromSecretData((await world.cluster.get(secretKind, { namespace, name: secretOf("alice") }))?.data)
      expect(await stored()).toEqual({ TOKEN: "canary", OTHER: "2" })
      expect((await patch({ OTHER: null, TOKEN: "3" })).body.names).toEqual(["TOKEN"])
      expect(await stored()).toEqual({ TOKEN: "3" })
      expect(done.text + JSON.stringify(world.telemetry.lines)).not.toContain("canary")
    })
    test("may be removed although the target declares them no more", async () => {
      await send("PUT", "/api/targets/github/env/user/dev/alice", { body: { UNDECLARED: "1", TOKEN: "2" } })
      expect((await patch({ UNDECLARED: null })).body).toMatchObject({ names: ["TOKEN"] })
    })
    test("may be the first ones, of every scope", async () => {
      expect((await patch({ TOKEN: "1" })).body).toMatchObject({ who: "dev/alice", names: ["TOKEN"] })
      const as = await token("root", ["admin"])
      for (const path of ["default", "role/dev/x", "group/dev/x", "user/dev/bob"])
        expect((await patch({ UNDECLARED: "1" }, path, as)).body).toMatchObject({ names: ["UNDECLARED"] })
      expect(await patch({ TOKEN: "1" }, "user/nosuch/bob", as)).toMatchObject({ status: 400 })
    })
    test.each([
      ["a name that the target does not declare", { UNDECLARED: "canary" }, "/UNDECLARED"],
      ["a value that is no text", { TOKEN: 7 }, "/TOKEN"],
      ["a value of more than 64 KiB", { TOKEN: "x".repeat(64 * 1024 + 1) }, "/TOKEN"],
      ["a list", ["canary"], ""],
      ["the removal of what is no name", { "": null }, ""],
      ["the removal of what can be no name", { "NOT A NAME": null }, "/NOT A NAME"],
    ])("are refused for %s", async (_name, body, pointer) => {
      const refused = await patch(body)
      expect(refused).toMatchObject({ status: 422, body: { code: "ValidationFailed", errors: [{ pointer }] } })
      expect(refused.text).not.toContain("canary")
    })
    test("are refused if all together are too large, and nothing is changed", async () => {
      const as = await token("root", ["admin"])
      const large = "x".repeat(64 * 1024)
      const first = Object.fromEntries(["A", "B", "C", "D", "E", "F", "G"].map((name) => [name, large]))
      expect((await patch(first, "default", as)).status).toBe(200)
      const refused = await patch({ H: large }, "default", as)
      const errors = [{ pointer: "", detail: expect.stringContaining("together") }]
      expect(refused).toMatchObject({ status: 422, body: { code: "ValidationFailed", errors } })
      expect((await send("GET", "/api/targets/github/env/default")).body.names).not.toContain("H")
    })
    test("need the media type of a merge patch", async () => {
      const sent = { body: { TOKEN: "1" }, as: await token("alice") }
      expect(await send("PATCH", "/api/targets/github/env/me", sent)).toMatchObject({ status: 415 })
    })
  })
  test("of a scope narrower than the boundary are refused", async () => {
    const as = await token("alice")
    for (const refused of [
      await send("PUT", "/api/targets/common/env/me", { body: { TOKEN: "x" }, as }),
      await send("PUT", "/api/targets/common/env/group/dev/eng", { body: { TOKEN: "x" } }),
      await send("GET", "/api/targets/common/env/me", { as }),
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

describe("values of an issuer that is not configured", () => {
  const path = (who: string) => `/api/targets/github/env/user/${who}`
  const body = { TOKEN: "x" }
  beforeEach(() => register("github", { credentials: [{ name: "TOKEN" }] }))

  test("are refused, with the issuers that there are, and nothing is stored", async () => {
    const refused = await send("PUT", path("nosuch/alice"), { body })
    expect(refused).toMatchObject({ status: 400, body: { code: "InvalidParams", issuers: ["dev", "static"] } })
    expect(refused.body.detail).toContain("There is no issuer 'nosuch'; configured are: dev, static")
    const name = scopeSecretName("github", "user", { issuer: "nosuch", name: "alice" })
    expect(await world.cluster.get(secretKind, { namespace, name })).toBeUndefined()
    for (const method of ["GET", "DELETE"])
      expect(await send(method, path("nosuch/alice"))).toMatchObject({
        status: 400,
        body: { issuers: ["dev", "static"] },
      })
  })
  test("that are there already can be read and deleted", async () => {
    await storeFor({ issuer: "gone", name: "alice" })
    expect(await send("GET", path("gone/alice"))).toMatchObject({
      status: 200,
      body: { who: "gone/alice", names: ["TOKEN"] },
    })
    expect(await send("DELETE", path("gone/alice"))).toMatchObject({
      status: 200,
      body: { who: "gone/alice", names: [] },
    })
    expect(await send("GET", path("gone/alice"))).toMatchObject({ status: 400 })
  })
})
