import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { z } from "zod"
import { TargetInput } from "../../../src/admin/resources.ts"
import { fromRest, restName, toRest, toRestSchema } from "../../../src/admin/rest.ts"
import { MCPInstanceStatus } from "../../../src/api/kinds/mcp-instance.ts"
import { MCPTargetSpec } from "../../../src/api/kinds/mcp-target.ts"

test.each([
  ["isolationBoundary", "isolation_boundary"],
  ["idleTTL", "idle_ttl"],
  ["streamTTL", "stream_ttl"],
  ["podURL", "pod_url"],
  ["podIP", "pod_ip"],
  ["runAsNonRoot", "run_as_non_root"],
  ["readOnlyRootFilesystem", "read_only_root_filesystem"],
  ["env", "env"],
])("the REST name of %s is %s", (field, name) => {
  expect(restName(field)).toBe(name)
})

const full = {
  transport_type: "kubernetes",
  image: "github:1",
  package: {
    registry_type: "npm",
    identifier: "@example/github",
    version: "1.2.3",
    registry_base_url: "https://npm.example.com",
    before: "2026-11-01",
    bin: "github",
    allow_scripts: true,
  },
  image_pull_policy: "Never",
  image_pull_secrets: ["registry"],
  port: 8080,
  path: "/mcp",
  command: ["node"],
  args: ["--camelCase"],
  env: [{ name: "someName", value: "someValue" }],
  health_path: "/healthZ",
  host_header: "localhost:8080",
  resources: { requests: { "nvidia.com/gpuMemory": "1" }, limits: { cpu: "500m" } },
  security: { run_as_user: 1, fs_group: 2, read_only_root_filesystem: true },
  statefulness: "stateless",
  isolation_boundary: "per_group",
  idle_ttl: "10m",
  max_lifetime: "24h",
  start_timeout: "1m",
  request_timeout: "1m",
  stream_ttl: "1m",
  max_instances: 3,
  access: { groups: ["camelCase"] },
  required_scopes: ["mcp"],
  identity_headers: true,
  shared_tasks: true,
  tools: { allow: ["someTool*"] },
  credentials: [{ name: "GITHUB_TOKEN", required: true }],
  stdio: { processes: "shared", max_processes: 3, idle_ttl: "1m" },
  subject_key: { strategy: "tenant", config: { someKey: { otherKey: 1 } } },
  secrets: [{ name: "TOKEN", from: "vault:team/github#token" }],
  pod_templates: [{ name: "labels", config: { camelCase: 1, snake_case: 2 } }],
  paused: true,
  remote: { url: "https://mcp.example.com/mcp", headers: [{ name: "X-Key", value: "${TOKEN}" }], ca_secret: "ca" },
}

describe("the mapping between REST and the kinds", () => {
  test("renames every field of a target, and no key of a map, of a plugin's configuration or of an environment", () => {
    expect(Object.keys(full).sort()).toEqual(Object.keys(MCPTargetSpec.shape).map(restName).sort())
    const spec = fromRest(MCPTargetSpec, full)
    expect(MCPTargetSpec.parse(spec)).toEqual(spec)
    expect(spec).toMatchObject({
      isolationBoundary: "per_group",
      idleTTL: "10m",
      streamTTL: "1m",
      security: { runAsUser: 1, fsGroup: 2, readOnlyRootFilesystem: true },
      resources: { requests: { "nvidia.com/gpuMemory": "1" } },
      subjectKey: { config: { someKey: { otherKey: 1 } } },
      podTemplates: [{ name: "labels", config: { camelCase: 1, snake_case: 2 } }],
      env: [{ name: "someName", value: "someValue" }],
    })
  })
  test("loses nothing on the way there and back", () => {
    expect(toRest(MCPTargetSpec, fromRest(MCPTargetSpec, full))).toEqual(full)
  })
  test("keeps the keys of maps whatever they are called", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.string()), (inUseBy) => {
        const keys = Object.keys(inUseBy)
        expect(Object.keys(Object(toRest(MCPInstanceStatus, { inUseBy }).in_use_by))).toEqual(keys)
      }),
    )
  })
})

describe("the REST form of a schema", () => {
  test("accepts what it maps and refuses unknown and camel-case fields at every depth", () => {
    expect(TargetInput.safeParse({ name: "github", ...full }).error).toBeUndefined()
    for (const wrong of [
      { extra: 1 },
      { imagePullPolicy: "Never" },
      { security: { runAsUser: 1 } },
      { env: [{ name: "A", value: "b", secret: "c" }] },
      { access: { group: [] } },
    ])
      expect(TargetInput.safeParse({ name: "github", ...full, ...wrong }).success).toBe(false)
  })
  test("keeps checks, defaults and descriptions", () => {
    const schema = toRestSchema(
      z.object({
        someList: z
          .array(z.object({ aB: z.int().min(1) }))
          .max(1)
          .default([])
          .describe("said"),
      }),
    )
    expect(schema.parse({})).toEqual({ some_list: [] })
    expect(schema.safeParse({ some_list: [{ a_b: 0 }] }).success).toBe(false)
    expect(schema.safeParse({ some_list: [{ a_b: 1 }, { a_b: 1 }] }).success).toBe(false)
    expect(JSON.stringify(z.toJSONSchema(schema))).toContain('"said"')
  })
})
