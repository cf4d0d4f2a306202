import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { toNodeHandler } from "h3/node"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { createLogRing, type LogRing } from "../../src/adapters/process/log-ring.ts"
import { secretKind, toSecretData } from "../../src/api/kinds/kubernetes.ts"
import { mcpInstanceKind } from "../../src/api/kinds/mcp-instance.ts"
import { podKind } from "../../src/api/kinds/pod.ts"
import { masked } from "../../src/credentials/mask.ts"
import { AppError } from "../../src/errors.ts"
import { names, namespace, place, register, send, token, useAdmin, userKey, world } from "../support/admin-stage.ts"
import { podOf } from "../support/contracts/objects.ts"

useAdmin()
const secret = "canary-of-a-secret"
const pem = "-----BEGIN-----\nfirst-line-of-it\nsecond-line-of-it\n-----END-----"
let ring: LogRing
let following: number
let failure: Error | undefined

/** A text in pieces of `length` UTF-16 units. */
function* cut(text: string, length: number): Generator<string> {
  for (let at = 0; at < text.length; at += length) yield text.slice(at, at + length)
}

/** An instance with a running Pod whose log is `ring`. */
const runAt = async (target: string, subjectKey: string, name: string): Promise<void> => {
  await place(target, subjectKey, name)
  await world.cluster.create(podKind, podOf({ namespace, name: `${name}-pod` }))
  const data = toSecretData({ TOKEN: secret, KEY: pem })
  const at = { name: `${name}-abcde`, namespace }
  await world.cluster.create(secretKind, { apiVersion: "v1", kind: "Secret", metadata: at, data })
  await world.cluster.patchStatus(
    mcpInstanceKind,
    { namespace, name },
    { status: { podName: `${name}-pod`, secretName: at.name } },
  )
}

beforeEach(async () => {
  ring = createLogRing()
  following = 0
  failure = undefined
  world.cluster.registerLogs({
    podLogs: async () => "",
    streamLogs: async function* (_ref, { follow, previous, ...query }, signal) {
      following++
      try {
        if (failure !== undefined) throw failure
        if (follow === true) yield* ring.follow(query, signal)
        else yield* cut(previous === true ? "the life before\n" : ring.read(query), 7)
      } finally {
        following--
      }
    },
  })
  await register("github")
  await register("common", { isolation_boundary: "shared" })
  await runAt("github", userKey("alice"), "github-user-a")
  await runAt("common", "shared", "common-shared")
})

const logs = (name: string, query = "", as?: string) =>
  send("GET", `/api/instances/${name}/logs${query}`, as === undefined ? {} : { as })

describe("the log of an instance", () => {
  test("is plain text, its last lines, with secret values masked", async () => {
    for (const line of ["one", `token=${secret}`, "second-line-of-it", "three"]) ring.add(line)
    const all = await logs("github-user-a")
    expect(all.headers.get("content-type")).toBe("text/plain; charset=utf-8")
    expect(all.text).toBe(`one\ntoken=${masked}\n${masked}\nthree\n`)
    expect((await logs("github-user-a", "?tail=1")).text).toBe("three\n")
    for (const query of ["?previous=true", "?previous=true&follow=true"])
      expect((await logs("github-user-a", query)).text).toBe("the life before\n")
    expect(JSON.stringify(world.telemetry.lines)).not.toContain("canary")
  })
  test("is shown to administrators and to the user of their own instance; to others there is no such instance", async () => {
    const [alice, bob] = [await token("alice"), await token("bob")]
    expect((await logs("github-user-a", "", alice)).status).toBe(200)
    expect((await logs("common-shared")).status).toBe(200)
    for (const [name, as] of [
      ["github-user-a", bob],
      ["common-shared", alice],
      ["github-user-x", alice],
      ["no%2Fname", alice],
    ] as const)
      expect(await logs(name, "", as)).toMatchObject({ status: 404, body: { code: "InstanceNotFound" } })
  })
  test("is empty before the server's first start", async () => {
    await place("github", userKey("bob"), "github-user-b")
    expect(await logs("github-user-b")).toMatchObject({ status: 200, text: "" })
    expect(await logs("github-user-b", "?follow=true")).toMatchObject({ status: 200, text: "" })
  })
  test("is not shown if what must be masked in it cannot be read", async () => {
    ring.add(secret)
    await world.cluster.delete(secretKind, { namespace, name: "github-user-a-abcde" })
    for (const query of ["", "?follow=true"]) {
      const refused = await logs("github-user-a", query)
      expect(refused).toMatchObject({ status: 503, body: { code: "ClusterUnavailable" } })
      expect(refused.text).not.toContain("canary")
    }
  })
  test("is empty where the cluster has none, and an error where the cluster is away", async () => {
    failure = new AppError("ApiNotFound", { detail: "no such container" })
    expect(await logs("github-user-a")).toMatchObject({ status: 200, text: "" })
    failure = new AppError("ClusterUnavailable", { detail: "away" })
    expect(await logs("github-user-a")).toMatchObject({ status: 503, body: { code: "ClusterUnavailable" } })
    expect(following).toBe(0)
  })
  test("that ends with a cut inside a character of a secret does not show the secret's beginning", async () => {
    const data = toSecretData({ TOKEN: "ä".repeat(200) })
    await world.cluster.mergePatch(secretKind, { name: "github-user-a-abcde", namespace }, { data })
    // what an API server's answer of 4 MiB is read as
    ring.add(`${"x".repeat(4 * 1024 * 1024 - 10)} äää\uFFFD`)
    const { text } = await logs("github-user-a")
    expect(text.slice(-4)).toBe(` ${masked}`)
  })
  test("is read by so many of one caller at a time; others still get theirs", async () => {
    const as = await token("alice")
    const open = Array.from({ length: 128 }, () => logs("github-user-a", "?follow=true", as))
    await expect.poll(() => following).toBe(128)
    const refused = await logs("github-user-a", "", as)
    expect(refused).toMatchObject({ status: 503, body: { code: "TooManyLogs" } })
    expect((await logs("github-user-a")).status).toBe(200)
    ring.end()
    for (const each of await Promise.all(open)) expect(each.status).toBe(200)
    expect((await logs("github-user-a", "", as)).status).toBe(200)
  })
  test.each(["?tail=0", "?tail=10001", "?tail=x", "?follow=yes", "?previous=1", "?tail=1&tail=2", "?t=1"])(
    "is refused with %s",
    async (query) => {
      expect(await logs("github-user-a", query)).toMatchObject({ status: 400, body: { code: "InvalidParams" } })
    },
  )
})

describe("a log that is followed", () => {
  let server: Server
  let url: string
  let headers: Record<string, string>
  beforeEach(async () => {
    server = createServer(toNodeHandler(world.admin))
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const { port } = server.address() as AddressInfo
    url = `http://127.0.0.1:${port}/api/instances/github-user-a/logs?follow=true`
    headers = { authorization: `Bearer ${await token("alice")}` }
  })
  afterEach(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })

  test("comes line by line, masks secrets across its pieces, and ends with the container", async () => {
    ring.add("first")
    const response = await fetch(url, { headers })
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
    let text = ""
    const until = async (end: string): Promise<void> => {
      while (!text.endsWith(end)) {
        const piece = await reader?.read()
        if (piece === undefined || piece.done) throw new Error(`ended after ${text}`)
        text += piece.value
      }
    }
    await until("first\n")
    for (const line of pem.split("\n")) ring.add(line)
    ring.add(`x ${secret} y`)
    await until(` y\n`)
    expect(text).toBe(`first\n${masked}\nx ${masked} y\n`)
    ring.add("canary-of-a-se")
    ring.end()
    const rest = await reader?.read()
    expect([rest?.value, (await reader?.read())?.done]).toEqual(["canary-of-a-se\n", true])
  })
  test("leaves nothing open for clients that go away at any moment", async () => {
    ring.add("first")
    const leaving = Array.from({ length: 60 }, async (_, at) => {
      const leave = new AbortController()
      const response = fetch(at % 2 === 0 ? url : url.replace("?follow=true", ""), { headers, signal: leave.signal })
      response.then((each) => each.text()).catch(() => {})
      for (let turn = 0; turn < at; turn++) await new Promise(setImmediate)
      leave.abort()
    })
    await Promise.all(leaving)
    await expect.poll(() => following).toBe(0)
    const still = Array.from({ length: 128 }, () => fetch(url, { headers }))
    // all of the places that the caller may have are free again
    await expect.poll(() => following).toBe(128)
    ring.end()
    for (const each of await Promise.all(still)) await each.text()
  })
  test("ends in the cluster when the client goes away", async () => {
    const leave = new AbortController()
    ring.add("first")
    const response = await fetch(url, { headers, signal: leave.signal })
    await response.body?.getReader().read()
    expect(following).toBe(1)
    leave.abort()
    await expect.poll(() => following).toBe(0)
  })
  /** Follows as alice, and reads the first line; gives what resolves with the rest. */
  const begin = async (): Promise<{ readonly text: Promise<string> }> => {
    ring.add("first")
    const response = await fetch(url, { headers })
    const reader = (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream()).getReader()
    expect((await reader.read()).value).toBe("first\n")
    const rest = async (): Promise<string> => {
      let text = ""
      for (let next = await reader.read(); !next.done; next = await reader.read()) text += next.value
      return text
    }
    return { text: rest() }
  }
  test("ends with the token that opened it", async () => {
    const rest = await begin()
    await world.clock.advance(3_600_000)
    expect(await rest.text).toBe("")
    await expect.poll(() => following).toBe(0)
  })
  test("ends when its target is not its reader's any more, and goes on when others lose access", async () => {
    const rest = await begin()
    const allow = (user: string) =>
      send("PATCH", "/api/targets/github", {
        body: { access: { users: [user] } },
        headers: { "content-type": "application/merge-patch+json" },
      })
    expect((await allow("dev/alice")).status).toBe(200)
    ring.add("second")
    expect((await allow("dev/bob")).status).toBe(200)
    expect(await rest.text).toBe("second\n")
    await expect.poll(() => following).toBe(0)
  })
  test("is not begun for a HEAD", async () => {
    const response = await fetch(url, { headers, method: "HEAD" })
    expect([response.status, await response.text()]).toEqual([200, ""])
    expect(following).toBe(0)
  })
})

describe("one instance", () => {
  test("is shown by its name, and ends with a DELETE, to whom it is visible", async () => {
    const [alice, bob] = [await token("alice"), await token("bob")]
    const seen = await send("GET", "/api/instances/github-user-a", { as: alice })
    expect(seen).toMatchObject({ status: 200, body: { name: "github-user-a", pod: "github-user-a-pod" } })
    for (const [name, as] of [
      ["github-user-a", bob],
      ["common-shared", alice],
    ] as const)
      for (const method of ["GET", "DELETE"])
        expect(await send(method, `/api/instances/${name}`, { as })).toMatchObject({
          status: 404,
          body: { code: "InstanceNotFound" },
        })
    expect((await send("DELETE", "/api/instances/github-user-a", { as: alice })).status).toBe(204)
    expect(names(await send("GET", "/api/instances"))).toEqual(["common-shared"])
    expect((await send("DELETE", "/api/instances/common-shared")).status).toBe(204)
    expect(await send("DELETE", "/api/instances/common-shared")).toMatchObject({ status: 404 })
  })
  test("of a target that its user may not use any more is theirs no longer", async () => {
    const as = await token("alice")
    await send("PATCH", "/api/targets/github", {
      body: { access: { users: ["dev/bob"] } },
      headers: { "content-type": "application/merge-patch+json" },
    })
    expect((await send("GET", "/api/instances/github-user-a", { as })).status).toBe(404)
    expect((await logs("github-user-a", "", as)).status).toBe(404)
  })
})
