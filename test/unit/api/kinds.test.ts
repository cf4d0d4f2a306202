import { expect, test } from "vitest"
import { z } from "zod"
import { MCPInstanceSpec, MCPInstanceStatus, mcpInstanceKind } from "../../../src/api/kinds/mcp-instance.ts"
import { MCPTargetSpec, MCPTargetStatus, mcpTargetKind } from "../../../src/api/kinds/mcp-target.ts"

type Node = { readonly [key: string]: unknown }

const isNode = (value: unknown): value is Node => typeof value === "object" && value !== null && !Array.isArray(value)

/** Paths of all fields below a JSON schema. */
const fields = (node: Node, path = ""): [string, Node][] =>
  Object.entries(isNode(node.properties) ? node.properties : {}).flatMap(([name, value]): [string, Node][] => {
    if (!isNode(value)) return []
    const inner = isNode(value.items) ? value.items : value
    return [[`${path}${name}`, value], ...fields(inner, `${path}${name}.`)]
  })

const parts = { MCPTargetSpec, MCPTargetStatus, MCPInstanceSpec, MCPInstanceStatus }

test.each(Object.entries(parts))("every field of %s is described in the schema that the API server gets", (_, part) => {
  const schema = z.toJSONSchema(part, { target: "openapi-3.0", io: "input" }) as Node
  expect(fields(schema).length).toBeGreaterThan(4)
  expect(fields(schema).filter(([, node]) => typeof node.description !== "string")).toEqual([])
})

test("a quantity is an integer or a string with Kubernetes' pattern", () => {
  const schema = z.toJSONSchema(MCPTargetSpec, { target: "openapi-3.0", io: "input" }) as Node
  const [, limits] = fields(schema).find(([path]) => path === "resources.limits") ?? []
  expect(limits?.additionalProperties).toMatchObject({
    "x-kubernetes-int-or-string": true,
    pattern: expect.any(String),
  })
})

test.each([mcpTargetKind, mcpInstanceKind])(
  "each rule of $kind is stated twice alike: transition rules name oldSelf",
  (kind) => {
    for (const rule of kind.rules ?? []) {
      // a rule that looks at the state before must say so to both judges
      expect(rule.cel.includes("oldSelf")).toBe(rule.holds.length === 2)
      expect(rule.message).not.toBe("")
    }
  },
)
