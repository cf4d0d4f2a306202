import { Validator } from "@seriousme/openapi-schema-validator"
import { Ajv2020 } from "ajv/dist/2020.js"
import { describe, expect, test } from "vitest"
import { contracts } from "../../../src/admin/contracts.ts"
import { documentPath, errorsOf, makeDocument } from "../../../src/admin/document.ts"
import { operation } from "../../../src/admin/operations.ts"
import { errorTable } from "../../../src/errors.ts"
import { operationNames } from "../../support/admin-document.ts"

// biome-ignore lint/suspicious/noExplicitAny: a test looks into a document of any shape
const document: any = JSON.parse(JSON.stringify(makeDocument()))

type Documented = {
  readonly operationId: string
  readonly summary: string
  readonly description: string
  readonly parameters: readonly { name: string; in: string; description: string; schema: object }[]
  readonly requestBody?: { content: Record<string, { schema: { $ref: string } }> }
  readonly responses: Record<string, { description: string; content?: Record<string, { schema: object }> }>
}
const documented = Object.entries(document.paths as Record<string, Record<string, Documented>>).flatMap(
  ([path, methods]) => Object.entries(methods).map(([method, each]) => ({ path, method: method.toUpperCase(), each })),
)

test("the document is valid OpenAPI 3.1", async () => {
  const validator = new Validator()
  const result = await validator.validate(structuredClone(document))
  expect(result.errors ?? []).toEqual([])
  expect(result.valid).toBe(true)
  expect(validator.version).toBe("3.1")
})

test("every route is in it, and nothing else", () => {
  const routes = operationNames.map((name) => `${name} ${operation(name).method} ${documentPath(operation(name).path)}`)
  expect(documented.map(({ path, method, each }) => `${each.operationId} ${method} ${path}`).sort()).toEqual(
    routes.sort(),
  )
})

test.each(documented.map((entry) => [entry.each.operationId, entry] as const))(
  "%s says what it does, what it takes, what it answers and how it fails",
  (_name, { path, each }) => {
    expect(each.summary).not.toBe("")
    expect(each.description).toMatch(/For (administrators|everybody)/)
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
    expect(each.parameters.filter((one) => one.in === "path").map(({ name }) => name)).toEqual(inPath)
    for (const { description, schema } of each.parameters) expect([description, schema]).not.toContain(undefined)
    const name = operationNames.find((one) => one === each.operationId) ?? "whoami"
    const statuses = [contracts[name].answer.status, ...errorsOf(name).map((code) => errorTable[code].status)]
    expect(Object.keys(each.responses).map(Number)).toEqual([...new Set(statuses)].sort((a, b) => a - b))
    for (const code of errorsOf(name)) expect(each.responses[errorTable[code].status]?.description).toContain(code)
    expect(each.requestBody !== undefined).toBe(contracts[name].body !== undefined)
  },
)

test("nothing in it is Kubernetes' or refers to nothing", () => {
  const text = JSON.stringify(document)
  expect(text).not.toContain("x-kubernetes")
  for (const [, name = ""] of text.matchAll(/#\/components\/schemas\/(\w+)/g))
    expect(document.components.schemas).toHaveProperty(name)
})

test("what links lead to is in it", () => {
  const links = documented.flatMap(({ each }) =>
    Object.values(each.responses).flatMap((one) => Object.values(Object(one).links ?? {})),
  )
  expect(links.length).toBeGreaterThan(20)
  for (const link of links) expect(operationNames).toContain(Object(link).operationId)
})

describe("the schema of a", () => {
  const ajv = new Ajv2020({ strict: false })
  const accepts = (name: string, body: unknown): boolean => ajv.validate(document.components.schemas[name], body)
  const body = { name: "github", image: "github:1", port: 8080 }

  test("target's body takes what a GET shows, and no unknown field", () => {
    expect(accepts("TargetInput", body)).toBe(true)
    expect(accepts("TargetInput", { ...body, generation: 1, created_time: "", deleting: true, status: {} })).toBe(true)
    expect(accepts("TargetInput", { ...body, prot: 1 })).toBe(false)
    expect(accepts("TargetInput", { name: "github" })).toBe(false)
    expect(accepts("TargetInput", { ...body, resources: { limits: { cpu: 1, memory: "1Gi" } } })).toBe(true)
  })
  test("target's body is that of a server in the cluster, or of one that somebody else runs", () => {
    const elsewhere = {
      name: "github",
      transport_type: "streamable-http",
      remote: { url: "https://mcp.example.com/", headers: [{ name: "A", value: "${B}" }] },
    }
    expect(accepts("TargetInput", elsewhere)).toBe(true)
    expect(accepts("TargetInput", { ...elsewhere, identity_headers: false, request_timeout: "1m" })).toBe(true)
    expect(accepts("TargetInput", { name: "github", image: "i", stdio: {}, command: ["a"] })).toBe(true)
    for (const wrong of [
      { ...elsewhere, transport_type: "sse" },
      { ...elsewhere, transport_type: undefined },
      { ...elsewhere, remote: undefined },
      { ...elsewhere, remote: { url: "mcp.example.com" } },
      { ...elsewhere, image: "github:1" },
      { ...elsewhere, idle_ttl: "10m" },
      { ...elsewhere, identity_headers: true },
      { ...body, remote: elsewhere.remote },
      { ...body, image: undefined },
      { ...body, port: undefined },
    ])
      expect(accepts("TargetInput", JSON.parse(JSON.stringify(wrong))), JSON.stringify(wrong)).toBe(false)
  })
  test("target's body is that of a published package", () => {
    const published = { registry_type: "npm", identifier: "@example/mcp", version: "1.0.0" }
    expect(accepts("TargetInput", { name: "a", package: published, stdio: {} })).toBe(true)
    expect(accepts("TargetInput", { name: "a", package: published, port: 80, args: ["x"] })).toBe(true)
    for (const more of [{}, { stdio: {}, image: "i" }, { stdio: {}, command: ["a"] }])
      expect(accepts("TargetInput", { name: "a", package: published, ...more }), JSON.stringify(more)).toBe(false)
  })
  test("new target's body is that of a target, or a document with what is asked of it", () => {
    const of = { name: "a", server_json: { name: "io.example/a", packages: [] } }
    for (const right of [
      body,
      of,
      {
        ...of,
        prefer: "oci",
        arguments: { A: "x", B: ["y", 1], C: true },
        command: ["a"],
        isolation_boundary: "shared",
      },
    ])
      expect(accepts("NewTargetInput", right), JSON.stringify(right)).toBe(true)
    for (const wrong of [
      { ...body, prefer: "npm" },
      { ...body, arguments: {} },
      { ...of, prefer: "nuget" },
      { ...of, server_json: "{}" },
      { ...of, prot: 1 },
      { server_json: {} },
    ])
      expect(accepts("NewTargetInput", wrong), JSON.stringify(wrong)).toBe(false)
  })
  test("target's patch takes parts and null at every depth, and no unknown field", () => {
    for (const patch of [
      {},
      { image: "a" },
      { args: null },
      { resources: { limits: { cpu: null } } },
      { access: null },
    ])
      expect(accepts("TargetPatch", patch), JSON.stringify(patch)).toBe(true)
    for (const patch of [{ prot: 1 }, { port: "x" }, { security: { run_as_usr: null } }, null, []])
      expect(accepts("TargetPatch", patch), JSON.stringify(patch)).toBe(false)
  })
})
