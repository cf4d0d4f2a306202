import { describe, expect, test } from "vitest"
import { type MCPTarget, MCPTargetSpec } from "../../../src/api/kinds/mcp-target.ts"
import { isAppError } from "../../../src/errors.ts"
import type { Identified, Read } from "../../../src/gateway/pipeline.ts"
import { admit, atExpiry, permit } from "../../../src/gateway/policy.ts"
import { readMessages } from "../../../src/mcp/message.ts"
import { createToolPolicies } from "../../../src/mcp/tool-policy.ts"
import { fakeClock } from "../../support/fake-clock.ts"

const target = (spec: Partial<MCPTargetSpec> = {}): MCPTarget => ({
  apiVersion: "mcp.reflow.io/v1alpha1",
  kind: "MCPTarget",
  metadata: { name: "demo", uid: "uid" },
  spec: MCPTargetSpec.parse({ image: "i", port: 1, ...spec }),
})
const codeOf = (attempt: () => unknown): string => {
  try {
    attempt()
    return "passes"
  } catch (error) {
    return isAppError(error) ? error.code : String(error)
  }
}
const ask = (body: unknown, spec: Partial<MCPTargetSpec> = {}, headers: Record<string, string> = {}) => {
  const input = {
    target: target(spec),
    tools: undefined,
    headers,
    reading: readMessages(Buffer.from(JSON.stringify(body))),
  }
  return codeOf(() => permit(input as unknown as Read))
}
const message = (method: string, params: unknown = {}) => ({ jsonrpc: "2.0", id: 1, method, params })

describe("batches", () => {
  const batch = [
    message("ping"),
    { jsonrpc: "2.0", method: "notifications/cancelled" },
    { jsonrpc: "2.0", id: 1, result: {} },
  ]

  test("exist in revision 2025-03-26, which is also meant where no version is named", () => {
    expect(ask(batch)).toBe("passes")
    expect(ask(batch, {}, { "mcp-protocol-version": "2025-03-26" })).toBe("passes")
    expect(ask(batch, {}, { "mcp-protocol-version": "2025-06-18" })).toBe("InvalidRequest")
  })

  test("hold neither initialize nor modern messages", () => {
    expect(ask([message("initialize")])).toBe("InvalidRequest")
    const modern = message("ping", { _meta: { "io.modelcontextprotocol/protocolVersion": "2026-07-28" } })
    expect(ask([message("ping"), modern])).toBe("InvalidRequest")
  })
})

describe("tasks", () => {
  test.each([
    ["per_user", {}, "passes"],
    ["shared", {}, "Forbidden"],
    ["per_role", {}, "Forbidden"],
    ["per_group", {}, "Forbidden"],
    ["per_user", { subjectKey: { strategy: "x/y" } }, "Forbidden"],
    ["shared", { sharedTasks: false }, "Forbidden"],
    ["shared", { sharedTasks: true }, "passes"],
    ["per_role", { sharedTasks: true }, "passes"],
    ["per_user", { subjectKey: { strategy: "x/y" }, sharedTasks: true }, "passes"],
  ] as const)("on a %s target %j: %s", (isolationBoundary, spec, expected) => {
    for (const method of ["tasks/get", "tasks/list", "tasks/result", "tasks/cancel", "tasks/update", "tasks/new"])
      expect(ask(message(method, { taskId: "t" }), { isolationBoundary, ...spec }), method).toBe(expected)
  })
})

test("tools/call without a tool's name is refused", () => {
  expect(ask(message("tools/call"))).toBe("InvalidParams")
  expect(ask(message("tools/call", { name: "x" }))).toBe("passes")
})

test.each([
  ["files:read files:write", ["files:read", "files:write"]],
  ["files:read z", ["files:read", '\u0101"\\\nz']],
])("a token without the target's scopes is told which it needs: %s", (told, requiredScopes) => {
  const admission = admit({
    targetNamed: () => target({ requiredScopes }),
    mayUse: () => true,
    toolPolicyOf: createToolPolicies(),
  })
  const input = { targetName: "demo", identity: { scopes: ["files:read"] } } as unknown as Identified
  try {
    admission(input)
    expect.unreachable()
  } catch (error) {
    expect(error).toMatchObject({
      code: "Forbidden",
      headers: { "www-authenticate": `Bearer error="insufficient_scope", scope="${told}"` },
    })
  }
})

describe("a permitted request", () => {
  const permitted = (body: unknown) => {
    const reading = readMessages(Buffer.from(JSON.stringify(body)))
    return permit({ target: target(), tools: undefined, headers: {}, reading } as unknown as Read)
  }

  test("keeps the name of what is called, but not the arguments, which are in its body too", () => {
    const { messages, reading } = permitted(message("tools/call", { name: "x", arguments: { long: "y" }, _meta: {} }))
    expect(messages).toEqual([expect.objectContaining({ method: "tools/call", params: { name: "x" } })])
    expect(reading).toMatchObject({ idText: "1", messages })
  })

  test("keeps what opens its session again, and not more", () => {
    const needed = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "n", version: "1" } }
    const [plain] = permitted(message("initialize", { ...needed, _meta: { long: "y" } })).messages
    expect(plain).toMatchObject({ params: needed })
    const capabilities = { experimental: { x: "x".repeat(3_000) } }
    const [long] = permitted(message("initialize", { ...needed, capabilities })).messages
    expect(long).toHaveProperty("params", {})
  })
})

const day = 24 * 3_600_000
const alice = {
  source: "jwt",
  issuer: "corp",
  subject: "alice",
  groups: [],
  roles: [],
  scopes: [],
  claims: {},
} as const

test("the end comes with the expiry, also where that is further away than a timer of the runtime reaches", async () => {
  const clock = fakeClock()
  const ended: string[] = []
  atExpiry(clock, { ...alice, expiresAtMs: clock.now() + 60 * day }, ({ code }) => ended.push(code))
  await clock.advance(60 * day - 1)
  expect(ended).toEqual([])
  await clock.advance(1)
  expect(ended).toEqual(["Unauthenticated"])
})

test("a token that has expired meanwhile ends at once, one without an expiry never, and one that is taken back neither", async () => {
  const clock = fakeClock()
  const ended: string[] = []
  atExpiry(clock, { ...alice, expiresAtMs: clock.now() }, () => ended.push("expired"))
  atExpiry(clock, alice, () => ended.push("endless"))
  const keep = atExpiry(clock, { ...alice, expiresAtMs: clock.now() + day }, () => ended.push("kept"))
  keep()
  await clock.advance(10 * day)
  expect(ended).toEqual(["expired"])
})
