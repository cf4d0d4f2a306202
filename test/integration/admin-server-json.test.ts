import { describe, expect, test } from "vitest"
import { mcpTargetKind } from "../../src/api/kinds/mcp-target.ts"
import { labels } from "../../src/api/names.ts"
import { namespace, send, token, useAdmin, world } from "../support/admin-stage.ts"
import { publicNpm } from "../support/server-json.ts"

useAdmin()

const stdio = { type: "stdio" }
/** A document with one npm package. */
const documentWith = (more: Readonly<Record<string, unknown>> = {}) => ({
  name: "io.github.example/weather",
  description: "Weather",
  version: "1.2.0",
  packages: [
    {
      registryType: "npm",
      registryBaseUrl: publicNpm(),
      identifier: "@example/weather-mcp",
      version: "1.2.0",
      transport: stdio,
      ...more,
    },
  ],
})
const secret = { name: "WEATHER_TOKEN", description: "From the account's page", isRequired: true, isSecret: true }
const region = { name: "REGION", description: "Region of the account", isRequired: true }
const post = (body: Readonly<Record<string, unknown>>) => send("POST", "/api/targets", { body })
const day = () => new Date(world.clock.now()).toISOString().slice(0, 10)
const pointers = ({ body }: { body: { errors: { pointer: string }[] } }) => body.errors.map(({ pointer }) => pointer)

describe("a target of a server.json", () => {
  test("is made as a person would have written it, pinned to today, and says where it comes from", async () => {
    const document = documentWith({ environmentVariables: [secret, region] })
    const made = await post({ name: "weather", server_json: document, arguments: { REGION: "eu" } })
    expect(made.status, made.text).toBe(201)
    expect(made.headers.get("location")).toBe("/api/targets/weather")
    expect(made.body).toMatchObject({
      name: "weather",
      transport_type: "kubernetes",
      isolation_boundary: "per_user",
      package: { registry_type: "npm", identifier: "@example/weather-mcp", version: "1.2.0", before: day() },
      stdio: {},
      env: [{ name: "REGION", value: "eu" }],
      credentials: [{ name: "WEATHER_TOKEN", required: true, description: "From the account's page" }],
    })
    expect(made.body).not.toHaveProperty("warnings")
    expect(made.body.package).not.toHaveProperty("registry_base_url")
    const object = await world.cluster.get(mcpTargetKind, { namespace, name: "weather" })
    const provenance = object?.metadata.annotations?.[labels.serverJson] ?? ""
    expect(JSON.parse(provenance)).toMatchObject({ name: "io.github.example/weather", version: "1.2.0" })
    const reordered = Object.fromEntries(Object.entries(document).reverse())
    await post({ name: "again", server_json: reordered, arguments: { REGION: "eu" } })
    const second = await world.cluster.get(mcpTargetKind, { namespace, name: "again" })
    expect(second?.metadata.annotations?.[labels.serverJson]).toBe(provenance)
    expect(second?.spec).toEqual(object?.spec)
  })

  test("keeps its provenance when it is changed, and takes values of users for its credentials", async () => {
    await post({ name: "weather", server_json: documentWith({ environmentVariables: [secret] }) })
    const headers = { "content-type": "application/merge-patch+json" }
    expect((await send("PATCH", "/api/targets/weather", { body: { paused: true }, headers })).status).toBe(200)
    const object = await world.cluster.get(mcpTargetKind, { namespace, name: "weather" })
    expect(object?.metadata.annotations?.[labels.serverJson]).toContain("io.github.example/weather")
    const as = await token("alice")
    const set = await send("PUT", "/api/targets/weather/env/me", { body: { WEATHER_TOKEN: "x" }, as })
    expect(set.status, set.text).toBe(200)
  })

  test("may have further fields, such as who may use it, from its first moment on", async () => {
    const made = await post({
      name: "weather",
      server_json: documentWith(),
      isolation_boundary: "shared",
      stdio: { processes: "shared" },
      access: { groups: ["dev/eng"] },
      env: [{ name: "EXTRA", value: "1" }],
    })
    expect(made.body).toMatchObject({
      isolation_boundary: "shared",
      stdio: { processes: "shared" },
      access: { groups: ["dev/eng"] },
      env: [{ name: "EXTRA", value: "1" }],
    })
  })

  test("cannot have fields that say something else than the document", async () => {
    const refused = await post({
      name: "weather",
      server_json: documentWith({ environmentVariables: [secret] }),
      package: { registry_type: "npm", identifier: "other", version: "1.0.0" },
      credentials: [],
    })
    expect(refused.status).toBe(422)
    expect(pointers(refused)).toEqual(["/package", "/credentials"])
  })

  test("warns of what was left out, at its place in the document", async () => {
    const file = { type: "named", name: "--config", format: "filepath" }
    const made = await post({ name: "weather", server_json: documentWith({ packageArguments: [file] }) })
    expect(made.body.warnings).toEqual([
      { pointer: "/server_json/packages/0/packageArguments/0", detail: expect.stringContaining("left out") },
    ])
  })

  test("is refused with the missing inputs and their hints, and nothing is created", async () => {
    const refused = await post({ name: "weather", server_json: documentWith({ environmentVariables: [region] }) })
    expect(refused).toMatchObject({ status: 422, body: { code: "ValidationFailed" } })
    expect(refused.body.errors).toEqual([
      { pointer: "/arguments/REGION", detail: "is required: Region of the account" },
    ])
    expect((await send("GET", "/api/targets")).body.items).toEqual([])
  })

  test("never gets a secret from arguments", async () => {
    const server_json = documentWith({ environmentVariables: [secret] })
    const refused = await post({ name: "weather", server_json, arguments: { WEATHER_TOKEN: "canary" } })
    expect(refused.body.errors).toEqual([
      { pointer: "/arguments/WEATHER_TOKEN", detail: expect.stringContaining("is a secret") },
    ])
    expect(refused.text).not.toContain("canary")
  })

  test("of a remote server has the headers with each user's credential", async () => {
    const remote = {
      type: "streamable-http",
      url: "https://mcp.example.com/mcp",
      headers: [{ name: "Authorization", value: "Bearer {token}", isSecret: true, isRequired: true }],
    }
    const made = await post({ name: "tickets", server_json: { name: "com.example/tickets", remotes: [remote] } })
    expect(made.body).toMatchObject({
      transport_type: "streamable-http",
      remote: { url: remote.url, headers: [{ name: "Authorization", value: "Bearer ${TOKEN}" }] },
      credentials: [{ name: "TOKEN", required: true }],
    })
  })

  test("needs its entrypoint for an image that speaks stdin and stdout", async () => {
    const document = documentWith({ registryType: "oci", registryBaseUrl: undefined, identifier: "ghcr.io/a/b:1" })
    const refused = await post({ name: "b", server_json: document })
    expect(refused.body.errors).toEqual([
      { pointer: "/server_json/packages/0", detail: expect.stringContaining("give its command") },
    ])
    const made = await post({ name: "b", server_json: document, command: ["/app/b"] })
    expect(made.body).toMatchObject({ image: "ghcr.io/a/b:1", command: ["/app/b"], stdio: {} })
  })

  test("says in its own terms what is wrong with the request", async () => {
    const server_json = documentWith()
    const wrongs: readonly (readonly [Readonly<Record<string, unknown>>, string])[] = [
      [{ server_json }, "/name"],
      [{ name: "A", server_json }, "/name"],
      [{ name: "a", server_json: null }, "/server_json"],
      [{ name: "a", server_json: "{}" }, "/server_json"],
      [{ name: "a", server_json: [] }, "/server_json"],
      [{ name: "a", server_json: {} }, "/server_json/name"],
      [{ name: "a", server_json: { name: "x/y" } }, "/server_json"],
      [{ name: "a", server_json: { name: "x/y", packages: {} } }, "/server_json/packages"],
      [{ name: "a", server_json: { server: server_json } }, "/server_json"],
      [{ name: "a", server_json, prefer: "nuget" }, "/prefer"],
      [{ name: "a", server_json, prefer: "remote" }, "/server_json"],
      [{ name: "a", server_json, arguments: [] }, "/arguments"],
      [{ name: "a", server_json, arguments: { A: {} } }, "/arguments/A"],
      [{ name: "a", server_json, arguments: { A: "1" } }, "/arguments/A"],
      [{ name: "a", server_json, command: ["x"] }, "/command"],
      [{ name: "a", server_json, isolation_bondary: "shared" }, "/isolation_bondary"],
      [{ name: "a", prefer: "npm", image: "i", port: 80 }, "/prefer"],
    ]
    for (const [body, pointer] of wrongs) {
      const refused = await post(body)
      expect(refused.status, JSON.stringify(body)).toBe(422)
      expect(pointers(refused), JSON.stringify(body)).toEqual([pointer])
    }
  })

  test("is for administrators, and for new targets only", async () => {
    const body = { name: "weather", server_json: documentWith() }
    expect((await send("POST", "/api/targets", { body, as: await token("alice") })).status).toBe(403)
    await post(body)
    expect((await post(body)).status).toBe(409)
    const put = await send("PUT", "/api/targets/weather", { body, headers: { "if-match": "*" } })
    expect(put.status).toBe(422)
    expect(pointers(put)).toContain("/server_json")
  })
})

describe("a hostile server.json", () => {
  const refusal = async (document: unknown) => {
    const refused = await post({ name: "a", server_json: document })
    expect(refused.status).toBe(422)
    expect(refused.body.errors.length).toBeLessThanOrEqual(20)
    expect(refused.text.length).toBeLessThan(20_000)
    return refused
  }
  const many = <T>(count: number, make: (index: number) => T) => Array.from({ length: count }, (_, at) => make(at))

  test("of 10 MB is refused before it is parsed", async () => {
    const text = `{"name": "a", "server_json": {"name": "${"x".repeat(10_000_000)}"}}`
    const refused = await send("POST", "/api/targets", { body: text })
    expect(refused).toMatchObject({ status: 413, body: { code: "BodyTooLarge" } })
  })
  test("with too many packages, variables or arguments is refused at the list", async () => {
    const { packages } = documentWith()
    const crowd = { ...documentWith(), packages: many(21, () => packages[0]) }
    expect(pointers(await refusal(crowd))).toEqual(["/server_json/packages"])
    const variables = Object.fromEntries(many(10_000, (at) => [`v${at}`, {}]))
    const templates = documentWith({ environmentVariables: [{ name: "A", value: "{v1}", variables }] })
    expect(pointers(await refusal(templates))).toEqual(["/server_json/packages/0/environmentVariables/0/variables"])
    const list = documentWith({ packageArguments: many(10_000, () => ({ type: "positional", value: "x" })) })
    expect(pointers(await refusal(list))).toEqual(["/server_json/packages/0/packageArguments"])
  })
  test("with many wrong packages gets a short answer", async () => {
    const wrong = { registryType: "x".repeat(3_000), environmentVariables: many(100, () => "\u202e") }
    await refusal({ name: "a/b", packages: many(20, () => wrong) })
  })
  test("that is nested deeply is refused by the body's limit, whatever it nests", async () => {
    const deep = `${'{"a":'.repeat(70)}1${"}".repeat(70)}`
    const refused = await send("POST", "/api/targets", { body: `{"name":"a","server_json":${deep}}` })
    expect(refused).toMatchObject({ status: 400, body: { code: "MalformedJson" } })
  })
  test("with names of prototypes makes plain variables of them, or nothing", async () => {
    const environmentVariables = ["constructor", "toString", "hasOwnProperty"].map((name) => ({
      name,
      isRequired: true,
    }))
    const missing = await refusal(documentWith({ environmentVariables }))
    expect(pointers(missing)).toEqual(["/arguments/constructor", "/arguments/toString", "/arguments/hasOwnProperty"])
    const given = Object.fromEntries(environmentVariables.map(({ name }) => [name, "x"]))
    const made = await post({ name: "a", server_json: documentWith({ environmentVariables }), arguments: given })
    expect(made.body.env).toEqual(environmentVariables.map(({ name }) => ({ name, value: "x" })))
    const inherited = documentWith({ environmentVariables: [{ name: "A", value: "{constructor}{valueOf}" }] })
    const literal = await post({ name: "b", server_json: inherited })
    expect(literal.body.env).toEqual([{ name: "A", value: "{constructor}{valueOf}" }])
    expect(pointers(await refusal({ name: "a/b", packages: [{ registryType: "constructor" }] }))).toEqual([
      "/server_json/packages/0/registryType",
    ])
  })
  test("names packages by no path, URL, flag or shell", async () => {
    const identifiers = ["--registry=https://evil.example.com", "../../etc", "https://evil.example.com/x.tgz", "file:x"]
    for (const identifier of [...identifiers, "a;id", "a b", "$(id)", "@a/../b", "git+ssh://x", "a@1.0.0", ""])
      expect(pointers(await refusal(documentWith({ identifier }))), identifier).toEqual([
        "/server_json/packages/0/identifier",
      ])
    for (const identifier of ["ghcr.io/a b:1", "-v:1", "ghcr.io/a:1 --privileged", "ghcr.io/../a:1", "a\nb:1"])
      expect(
        pointers(
          await refusal(
            documentWith({
              registryType: "oci",
              registryBaseUrl: undefined,
              identifier,
              transport: { type: "streamable-http", url: "http://localhost:1/" },
            }),
          ),
        ),
        identifier,
      ).toContain("/server_json/packages/0/identifier")
    for (const registryBaseUrl of ["file:///etc", "https://user:pw@npm.example.com", "https://npm.example.com/?a=b"])
      expect(pointers(await refusal(documentWith({ registryBaseUrl }))), registryBaseUrl).toEqual([
        "/server_json/packages/0/registryBaseUrl",
      ])
  })
  test("cannot name a credential in its literal text", async () => {
    const environmentVariables = [{ ...secret }, { name: "A", value: "$(WEATHER_TOKEN)" }]
    const packageArguments = [{ type: "positional", value: "$(WEATHER_TOKEN) $$" }]
    const made = await post({ name: "a", server_json: documentWith({ environmentVariables, packageArguments }) })
    expect(made.body).toMatchObject({
      env: [{ name: "A", value: "$$(WEATHER_TOKEN)" }],
      args: ["$$(WEATHER_TOKEN) $$$$"],
    })
  })
  test("shows no control characters of its descriptions", async () => {
    const environmentVariables = [{ ...secret, description: "a\u202e\u001b[31m\nb" }]
    const made = await post({ name: "a", server_json: documentWith({ environmentVariables }) })
    expect(made.body.credentials[0].description).toBe("a\ufffd\ufffd[31m b")
  })
})
