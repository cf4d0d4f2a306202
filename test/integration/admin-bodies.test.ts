import { beforeEach, describe, expect, test } from "vitest"
import { fromSecretData, secretKind } from "../../src/api/kinds/kubernetes.ts"
import { scopeSecretName } from "../../src/api/names.ts"
import { namespace, register, send, specified, token, useAdmin, world } from "../support/admin-stage.ts"

useAdmin()
beforeEach(() => register("github", { credentials: [{ name: "TOKEN" }] }))

const patch = { "content-type": "application/merge-patch+json" }
/** Every call that takes a body, with the headers that it needs. */
const calls: readonly { readonly method: string; readonly path: string; readonly headers?: Record<string, string> }[] =
  [
    { method: "POST", path: "/api/targets" },
    { method: "PUT", path: "/api/targets/github", headers: { "if-match": "*" } },
    { method: "PATCH", path: "/api/targets/github", headers: patch },
    { method: "POST", path: "/api/targets/github/restart-instances" },
    { method: "POST", path: "/api/targets/github/test" },
    { method: "PUT", path: "/api/targets/github/env/me" },
    { method: "PUT", path: "/api/targets/github/env/default" },
    { method: "PUT", path: "/api/targets/github/env/user/dev/alice" },
  ]

const aliceHas = async () => {
  const name = scopeSecretName("github", "user", { issuer: "dev", name: "alice" })
  return fromSecretData((await world.cluster.get(secretKind, { namespace, name }))?.data)
}

describe.each(calls)("a body of $method $path", ({ method, path, headers = {} }) => {
  test("of null is refused, also where none is needed", async () => {
    expect((await send(method, path, { body: "null", headers })).status).toBe(422)
  })
  test.each([
    ["with a key twice", '{"canary":1,"x":{},"canary":2}', 'has the key "canary" twice in one object'],
    ["with a key twice, one of them escaped", '{"x":{"a":1,"\\u0061":2}}', 'has the key "a" twice in one object'],
    ["with the key __proto__", '{"__proto__":{"TOKEN":"canary"}}', 'has the key "__proto__"'],
    ["with the key __proto__ further in", '{"x":[{"__pr\\u006fto__":1}]}', 'has the key "__proto__"'],
    ["with half a surrogate pair in a value", '{"TOKEN":"canary\\ud800"}', "has half a surrogate pair"],
    ["with half a surrogate pair in a key", '{"\\udc00":1}', "has half a surrogate pair"],
    ["of too many members", `{"x":[${"1,".repeat(50_000)}1]}`, "has more than 50,000 members"],
    ["nested too deeply", `{"x":${"[".repeat(64)}${"]".repeat(64)}}`, "is nested deeper than 64 levels"],
  ])("%s is refused", async (_what, body, detail) => {
    const refused = await send(method, path, { body, headers })
    expect(refused).toMatchObject({ status: 400, body: { code: "MalformedJson" } })
    expect(refused.body.detail).toContain(detail)
  })
})

test("values that were set stay as they are when a body is refused", async () => {
  const as = await token("alice")
  await send("PUT", "/api/targets/github/env/me", { body: { TOKEN: "one" }, as })
  for (const body of ['{"__proto__":{"TOKEN":"x"}}', '{"TOKEN":"a","TOKEN":"b"}', '{"TOKEN":"\\ud800"}'])
    expect((await send("PUT", "/api/targets/github/env/me", { body, as })).status).toBe(400)
  expect(await aliceHas()).toEqual({ TOKEN: "one" })
})

test("whole characters and a NUL that is escaped are told apart: an environment holds the ones, not the other", async () => {
  const as = await token("alice")
  const put = (body: string) => send("PUT", "/api/targets/github/env/me", { body, as })
  expect((await put('{"TOKEN":"\\ud83d\\ude00é\\u2028"}')).status).toBe(200)
  expect(await aliceHas()).toEqual({ TOKEN: "\u{1f600}é\u2028" })
  const refused = await put('{"TOKEN":"canary\\u0000"}')
  expect(refused).toMatchObject({ status: 422, body: { code: "ValidationFailed" } })
  expect(refused.body.errors).toEqual([{ pointer: "/TOKEN", detail: "must not contain a NUL character" }])
  expect(refused.text).not.toContain("canary")
})

test("names that every object inherits are fields and values like any other", async () => {
  for (const name of ["constructor", "toString", "hasOwnProperty"]) {
    const unknown = { status: 422, body: { errors: [{ pointer: `/${name}`, detail: "is not a field" }] } }
    expect(await send("POST", "/api/targets", { body: { ...specified, name: "other", [name]: 1 } })).toMatchObject(
      unknown,
    )
    expect(await send("PATCH", "/api/targets/github", { body: { [name]: 1 }, headers: patch })).toMatchObject(unknown)
    const put = await send("PUT", "/api/targets/github/env/default", { body: { [name]: "x" } })
    expect(put).toMatchObject({ status: 200, body: { names: [name] } })
  }
})

test.each([
  "/api/targets/%ED%A0%80",
  "/api/targets/%FF",
  "/api/targets/%",
  "/api/targets/github/env/role/dev/%ED%A0%80",
  "/api/targets/github/env/role/dev/%E0%A4",
  "/api/instances/%ED%B0%80/logs",
])("the path %s is no text", async (path) => {
  expect(await send("GET", path)).toMatchObject({ status: 400, body: { code: "BadPath" } })
})

test.each(["?limit=%ED%A0%80", "?limit=1%FF", "?continue=%ED%A0%80", "?__proto__=1", "?constructor=1", "?limit=%"])(
  "the query %s is refused",
  async (query) => {
    expect(await send("GET", `/api/targets${query}`)).toMatchObject({ status: 400, body: { code: "InvalidParams" } })
  },
)
test.each(["?force=%FF", "?force=tru%65%ED%A0%80"])("a change with the query %s is refused", async (query) => {
  const refused = await send("PATCH", `/api/targets/github${query}`, { body: {}, headers: patch })
  expect(refused).toMatchObject({ status: 400, body: { code: "InvalidParams" } })
})

test.each(['"\u00e9"', 'W/"1"', '""', '"1', ","])("If-Match %s names no version", async (tag) => {
  const refused = await send("PATCH", "/api/targets/github", { body: {}, headers: { ...patch, "if-match": tag } })
  expect(refused).toMatchObject({ status: 412, body: { code: "PreconditionFailed" } })
})

test("a client that breaks off in its body is nobody's alarm", async () => {
  const broken = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(Buffer.from('{"TOKEN":')),
    pull: (controller) => controller.error(Object.assign(new Error("aborted"), { code: "ECONNRESET" })),
  })
  const headers = { authorization: `Bearer ${await token("alice")}`, "content-type": "application/json" }
  const path = "http://gateway.test/api/targets/github/env/me"
  const response = await world.admin.fetch(
    new Request(path, { method: "PUT", headers, body: broken, duplex: "half" } as RequestInit),
  )
  expect(response.status).toBe(400)
  expect(world.telemetry.lines.filter(({ level }) => level === "warn" || level === "error")).toEqual([])
})
