import { beforeEach, describe, expect, test } from "vitest"
import { mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import {
  names,
  namespace,
  place,
  register,
  restartTimes,
  send,
  token,
  useAdmin,
  userKey,
  world,
} from "../support/admin-stage.ts"

useAdmin()

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
  test("deletes none that a manifest declares and that is retained, but asks for another Pod of it", async () => {
    const made = await place("github", userKey("carol"), "github-declared")
    const ref = { namespace, name: made.metadata.name }
    await world.cluster.mergePatch(mcpInstanceKind, ref, { spec: { reclaimPolicy: "Retain" } })
    const done = await send("POST", "/api/targets/github/restart-instances")
    expect(done.body).toEqual({ restarted: 3, instances: ["github-declared", "github-user-a", "github-user-b"] })
    expect(await restartTimes()).toEqual({ "github-declared": true, "other-user-a": false })
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
