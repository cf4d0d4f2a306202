import { describe, expect, test } from "vitest"
import { secretKind } from "../../src/api/kinds/kubernetes.ts"
import { mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import { names, namespace, register, send, specified, token, useAdmin, world } from "../support/admin-stage.ts"

useAdmin()

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
  test("warns of names that stand for nothing, and writes what was asked for", async () => {
    const doubtful = {
      ...specified,
      access: { groups: ["dev/eng", "eng"] },
      subject_key: { strategy: "claim", config: { clame: "tenant" } },
      pod_templates: [{ name: "gvisor" }],
    }
    const warnings = [
      { pointer: "/access/groups/1", detail: expect.stringContaining("write dev/eng") },
      { pointer: "/subject_key/config", detail: expect.stringContaining("does not match the schema") },
      { pointer: "/pod_templates/0/name", detail: expect.stringContaining("No plugin has the pod template 'gvisor'") },
    ]
    const posted = await send("POST", "/api/targets", { body: doubtful })
    expect(posted).toMatchObject({ status: 201, body: { ...doubtful, warnings } })
    const got = await send("GET", "/api/targets/github-k8s")
    expect(got.body).not.toHaveProperty("warnings")
    const headers = { "if-match": "*" }
    const put = await send("PUT", "/api/targets/github-k8s", { body: { ...posted.body, paused: true }, headers })
    expect(put).toMatchObject({ status: 200, body: { paused: true, warnings } })
    const mended = { access: null, subject_key: null, pod_templates: null }
    const patched = await send("PATCH", "/api/targets/github-k8s", {
      body: mended,
      headers: { "content-type": "application/merge-patch+json" },
    })
    expect(patched.status).toBe(200)
    expect(patched.body).not.toHaveProperty("warnings")
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
