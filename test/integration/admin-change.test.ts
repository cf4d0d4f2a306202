import { beforeEach, describe, expect, test } from "vitest"
import { type MCPTarget, mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import type { ClusterPort } from "../../src/ports/cluster.ts"
import { namespace, register, send, specified, token, useAdmin, world } from "../support/admin-stage.ts"

useAdmin()
const path = "/api/targets/github"
const ref = { namespace, name: "github" }
const merge = { "content-type": "application/merge-patch+json" }
let other: ClusterPort
beforeEach(async () => {
  await register("github")
  other = world.cluster.client({ fieldManager: "kubectl-client-side-apply" })
})

const stored = async (): Promise<MCPTarget> => {
  const target = await world.cluster.get(mcpTargetKind, ref)
  if (target === undefined) throw new Error("the target is gone")
  return target
}
const put = (body: object, ifMatch?: string, query = "") =>
  send("PUT", `${path}${query}`, { body, headers: ifMatch === undefined ? {} : { "if-match": ifMatch } })
const patch = (body: unknown, headers: Readonly<Record<string, string>> = {}, query = "") =>
  send("PATCH", `${path}${query}`, { body, headers: { ...merge, ...headers } })
const body = { ...specified, name: "github" }

describe("replacing a target", () => {
  test("makes the body all that it is, and answers the new version", async () => {
    await patch({ args: ["--verbose"], access: { users: ["dev/alice"] } })
    const replaced = await put({ ...body, image: "github:2" }, '"2"')
    expect(replaced).toMatchObject({ status: 200, body: { image: "github:2", generation: 3 } })
    expect(replaced.headers.get("etag")).toBe('"3"')
    const { spec } = await stored()
    expect(spec).toMatchObject({ image: "github:2", isolationBoundary: "per_user" })
    expect(spec).not.toHaveProperty("args")
    expect(spec).not.toHaveProperty("access")
  })
  test("with what a GET shows changes nothing, whatever the operator has written into it", async () => {
    const status = { instances: 1, ready: 1, observedGeneration: 1 }
    await world.cluster.patchStatus(mcpTargetKind, ref, { status })
    const got = await send("GET", path)
    expect(got.body).toMatchObject({ generation: 1, status: { instances: 1 } })
    const before = await stored()
    const back = await put(got.body, got.headers.get("etag") ?? "")
    expect(back).toMatchObject({ status: 200, body: got.body })
    expect(await stored()).toEqual(before)
  })
  test("needs If-Match", async () => {
    expect(await put(body)).toMatchObject({ status: 428, body: { code: "PreconditionRequired" } })
  })
  test.each(['"1"', '"2", "1"', "*"])("is allowed by If-Match: %s", async (ifMatch) => {
    expect((await put({ ...body, paused: true }, ifMatch)).status).toBe(200)
  })
  test.each(['"2"', 'W/"1"', "1", "", '"1'])("of another version is refused: If-Match: %s", async (ifMatch) => {
    const refused = await put({ ...body, paused: true }, ifMatch)
    expect(refused).toMatchObject({ status: 412, body: { code: "PreconditionFailed" } })
    expect(refused.headers.get("etag")).toBe('"1"')
    expect((await stored()).spec).not.toHaveProperty("paused")
  })
  test("does not meet a conflict when only the status has changed", async () => {
    for (let instances = 0; instances < 3; instances++)
      await world.cluster.patchStatus(mcpTargetKind, ref, { status: { instances } })
    expect((await put({ ...body, paused: true }, '"1"')).status).toBe(200)
  })
  test("with If-None-Match: * is refused, since the target is there; so are a patch and a deletion", async () => {
    for (const headers of [{ "if-none-match": "*" }, { "if-none-match": "*", "if-match": "*" }])
      for (const [method, sent] of [
        ["PUT", { body: { ...body, paused: true }, headers }],
        ["PATCH", { body: { paused: true }, headers: { ...merge, ...headers } }],
        ["DELETE", { headers }],
      ] as const) {
        const refused = await send(method, path, sent)
        expect(refused, method).toMatchObject({ status: 412, body: { code: "PreconditionFailed" } })
        expect(refused.headers.get("etag")).toBe('"1"')
      }
    expect((await stored()).spec).not.toHaveProperty("paused")
    const absent = { body: { ...body, name: "absent" }, headers: { "if-none-match": "*" } }
    expect(await send("PUT", "/api/targets/absent", absent), "a PUT makes nothing").toMatchObject({ status: 404 })
  })
  test.each([
    ['"1"', 412],
    ['W/"1"', 412],
    ['"7", "1"', 412],
    ['"2"', 200],
    ["", 200],
  ])("heeds If-None-Match: %s", async (ifNoneMatch, status) => {
    expect((await patch({ paused: true }, { "if-none-match": ifNoneMatch })).status).toBe(status)
  })
  test("takes the name from the path, and refuses another one and other immutable fields", async () => {
    const { name: _, ...nameless } = body
    expect((await put({ ...nameless, paused: true }, "*")).status).toBe(200)
    const renamed = { ...body, name: "gitlab", isolation_boundary: "shared" }
    const refused = await put(renamed, "*")
    expect(refused).toMatchObject({
      status: 422,
      body: {
        errors: [
          { pointer: "/name", detail: expect.stringContaining("immutable") },
          { pointer: "/isolation_boundary", detail: expect.stringContaining("immutable") },
        ],
      },
    })
  })
  test("is for administrators, of targets that exist, with bodies that are valid", async () => {
    const as = await token("alice")
    expect(await send("PUT", path, { body, as, headers: { "if-match": "*" } })).toMatchObject({ status: 403 })
    const absent = { body: { ...body, name: "absent" }, headers: { "if-match": "*" } }
    expect(await send("PUT", "/api/targets/absent", absent)).toMatchObject({ status: 404 })
    expect(await put({ ...body, prot: 1 }, "*")).toMatchObject({
      body: { errors: [{ pointer: "/prot", detail: "is not a field; did you mean port?" }] },
    })
    expect(await put([], "*")).toMatchObject({ status: 422, body: { errors: [{ pointer: "" }] } })
  })
})

describe("patching a target", () => {
  test("merges, removes with null, replaces lists, and needs no version", async () => {
    await patch({ args: ["a", "b"], resources: { limits: { cpu: "1", memory: "1Gi" } } })
    const patched = await patch({ args: ["c"], resources: { limits: { memory: null } } })
    expect(patched).toMatchObject({ status: 200, body: { args: ["c"], resources: { limits: { cpu: "1" } } } })
    expect(patched.headers.get("etag")).toBe('"3"')
    expect((await stored()).spec.resources).toEqual({ limits: { cpu: "1" } })
    expect((await patch({ args: null, resources: null })).body).not.toHaveProperty("resources")
  })
  test("checks a version that is named", async () => {
    expect((await patch({ paused: true }, { "if-match": '"1"' })).status).toBe(200)
    expect((await patch({ paused: false }, { "if-match": '"1"' })).status).toBe(412)
  })
  test("that changes nothing is no new version", async () => {
    expect((await patch({ port: 8080 })).headers.get("etag")).toBe('"1"')
    expect((await patch({ generation: 9, status: { ready: 3 } })).headers.get("etag")).toBe('"1"')
  })
  test("is checked as a whole, and refuses fields that nobody knows even if it removes them", async () => {
    expect(await patch({ image: null })).toMatchObject({
      status: 422,
      body: { errors: [{ pointer: "/image", detail: "image or package is required" }] },
    })
    expect(await patch({ transport_type: "stdio" })).toMatchObject({ status: 422 })
    expect(await patch({ pausd: null, security: { run_as_usr: null } })).toMatchObject({
      body: {
        errors: [
          { pointer: "/pausd", detail: "is not a field; did you mean paused?" },
          { pointer: "/security/run_as_usr", detail: "is not a field; did you mean run_as_user?" },
        ],
      },
    })
    for (const wrong of [null, [], "canary"]) {
      const refused = await patch(JSON.stringify(wrong))
      expect(refused.status).toBe(422)
      expect(refused.text).not.toContain("canary")
    }
  })
  test("is sent as a merge patch", async () => {
    const plain = await send("PATCH", path, { body: { paused: true } })
    expect(plain).toMatchObject({ status: 415, body: { code: "UnsupportedMediaType" } })
    expect(plain.headers.get("accept-patch")).toBe("application/merge-patch+json")
  })
})

describe("a field that another manager wrote last", () => {
  beforeEach(async () => {
    await other.mergePatch(mcpTargetKind, ref, { spec: { image: "github:kubectl", access: { groups: ["dev/eng"] } } })
  })

  test("is not changed, by neither call, and the answer names it and the manager", async () => {
    const manager = "kubectl-client-side-apply"
    const refused = await put(body, '"2"')
    expect(refused).toMatchObject({
      status: 409,
      body: {
        code: "ManagedElsewhere",
        errors: [
          { pointer: "/image", detail: `is managed by ${manager}`, manager },
          { pointer: "/access", detail: `is managed by ${manager}`, manager },
        ],
      },
    })
    expect(refused.text).not.toContain("github:kubectl")
    expect(await patch({ access: { groups: null } })).toMatchObject({
      status: 409,
      body: { errors: [{ pointer: "/access/groups" }] },
    })
    expect((await stored()).spec.image).toBe("github:kubectl")
  })
  test("may be sent back as it is, and others changed", async () => {
    const got = await send("GET", path)
    expect((await put({ ...got.body, paused: true }, '"2"')).status).toBe(200)
    expect((await patch({ access: { users: ["dev/bob"] } })).status).toBe(200)
    expect((await stored()).spec.access).toEqual({ groups: ["dev/eng"], users: ["dev/bob"] })
  })
  test("is taken over with ?force=true, and then is ours", async () => {
    expect((await put(body, '"2"', "?force=true")).status).toBe(200)
    expect((await stored()).spec.image).toBe(body.image)
    expect((await patch({ image: "github:3" })).status).toBe(200)
    expect(await patch({ image: "github:4" }, {}, "?force=yes")).toMatchObject({
      status: 400,
      body: { code: "InvalidParams" },
    })
  })
})

describe("many writers of one target", () => {
  beforeEach(() => world.takeTurns())

  /** Writes the status until `done` says so, as an operator that counts. */
  const countUntil = async (done: () => boolean): Promise<number> => {
    let instances = 0
    for (; !done(); instances++) {
      await other.patchStatus(mcpTargetKind, ref, { status: { instances } })
      // between every read and the write after it
      await new Promise((resolve) => setImmediate(resolve))
    }
    return instances
  }
  const together = async <T>(writes: Promise<T>[]): Promise<{ results: T[]; statuses: number }> => {
    let over = false
    const counted = countUntil(() => over)
    const results = await Promise.all(writes)
    over = true
    return { results, statuses: await counted }
  }

  test("who all name the version they read: one wins in each round, and none is lost", async () => {
    const left = new Set(Array.from({ length: 50 }, (_, index) => `w${index}`))
    let rounds = 0
    for (; left.size > 0; rounds++) {
      const { body: seen, headers } = await send("GET", path)
      const args: string[] = seen.args ?? []
      const writers = [...left]
      const { results, statuses } = await together(
        writers.map((name) => put({ ...seen, args: [...args, name] }, headers.get("etag") ?? "")),
      )
      expect(statuses).toBeGreaterThan(0)
      const won = writers.filter((_, index) => results[index]?.status === 200)
      expect(won).toHaveLength(1)
      expect(results.filter(({ status }) => status === 412)).toHaveLength(writers.length - 1)
      for (const name of won) left.delete(name)
    }
    expect(rounds).toBe(50)
    const { spec, metadata } = await stored()
    expect(new Set(spec.args)).toEqual(new Set(Array.from({ length: 50 }, (_, index) => `w${index}`)))
    expect(spec.args).toHaveLength(50)
    expect(metadata.generation).toBe(51)
  })
  test("who patch a field of their own each, without a version: all of them are kept", async () => {
    const requests = Array.from({ length: 50 }, (_, index) =>
      patch({ subject_key: { strategy: "tenant", config: { [`w${index}`]: index } } }),
    )
    const { results } = await together(requests)
    expect(new Set(results.map(({ status }) => status))).toEqual(new Set([200]))
    expect(Object.keys((await stored()).spec.subjectKey?.config ?? {})).toHaveLength(50)
  })
})

test("a deletion checks a version that is named, but no change of the status", async () => {
  await patch({ paused: true })
  await world.cluster.patchStatus(mcpTargetKind, ref, { status: { ready: 1 } })
  expect(await send("DELETE", path, { headers: { "if-match": '"1"' } })).toMatchObject({ status: 412 })
  expect(await send("DELETE", path, { headers: { "if-match": '"2"' } })).toMatchObject({ status: 204 })
})
