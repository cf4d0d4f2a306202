import { expect, test } from "vitest"
import { z } from "zod"
import type { Kind, KubeObject, Rule } from "../../../../src/api/kinds/kind.ts"
import { MCPInstanceSpec, MCPInstanceStatus, mcpInstanceKind } from "../../../../src/api/kinds/mcp-instance.ts"
import { MCPTargetSpec, MCPTargetStatus, mcpTargetKind } from "../../../../src/api/kinds/mcp-target.ts"
import { type StructuralSchema, toCRD, toNode, toStructural } from "../../../../src/api/schema/structural.ts"
import { durationField, Resources } from "../../../../src/api/units.ts"

const text = () => z.string().max(10)

test.each<readonly [string, z.ZodType, RegExp]>([
  ["two patterns, which become allOf", text().regex(/a/).regex(/b/), /'allOf'/],
  ["a union", z.union([text(), z.int()]), /'union'/],
  ["a union of literals", z.union([z.literal("a"), z.literal("b")]), /'union'/],
  ["a discriminated union", z.discriminatedUnion("a", [z.object({ a: z.literal("x") })]), /'union'/],
  ["an intersection", z.intersection(z.object({}), z.object({})), /'intersection'/],
  ["a tuple", z.tuple([text(), text()]), /'tuple'/],
  ["a lookahead", text().regex(/^(?!x)/), /lookaround/],
  ["a lookbehind", text().regex(/(?<!x)$/), /lookaround/],
  ["a backreference", text().regex(/(a)\1/), /backreference/],
  ["the flags of a pattern", text().regex(/a/i), /flags of \/a\/i/],
  ["readonly", z.object({}).readonly(), /'readonly'/],
  ["base64", z.base64(), /'base64'/],
  ["a time of zod's own form", z.iso.datetime(), /'datetime'/],
  ["an address of zod's own form", z.email(), /'email'/],
  ["any", z.any(), /'any'/],
  ["unknown", z.unknown(), /'unknown'/],
  ["a refinement, which would vanish", text().refine(() => false), /'custom' vanishes/],
  ["a refinement of an object", z.object({}).refine(() => false), /'custom' vanishes/],
  ["a refinement under optional", text().refine(Boolean).optional(), /'custom' vanishes/],
  ["superRefine, which would vanish", text().superRefine(() => {}), /'custom' vanishes/],
  ["trimming, which would vanish", text().trim(), /'overwrite' vanishes/],
  ["a transform", text().transform(Number), /transforms nothing/],
  ["a preprocessing step", z.preprocess(String, text()), /transforms nothing/],
  ["coercion", z.coerce.string(), /coerces nothing/],
  ["catch, which the API server has not", text().catch("x"), /'catch'/],
  ["a recursive schema", z.lazy(() => text()), /'lazy'/],
  ["null", z.null(), /'null'/],
  ["bounds on the keys of a map", z.record(text(), text()), /keys of a map/],
  ["fields beside a map", z.object({ a: text() }).catchall(text()), /exclude each other/],
])("%s is refused, wherever it stands", (_, schema, why) => {
  expect(() => toNode("spec", schema)).toThrow(why)
  expect(() => toNode("spec", z.object({ a: schema }))).toThrow(/^spec\.a\b/)
  expect(() => toNode("spec", z.array(schema))).toThrow(/^spec\[\]/)
  expect(() => toNode("spec", z.record(z.string(), z.object({ b: schema }).optional()))).toThrow(/^spec\.\*\.b\b/)
})

test("unknown fields are pruned, not refused: additionalProperties: false is left out", () => {
  expect(toNode("x", z.strictObject({ a: text() }))).toEqual({
    type: "object",
    properties: { a: { type: "string", maxLength: 10 } },
    required: ["a"],
  })
})

test("a loose object keeps what it does not know", () => {
  expect(toNode("x", z.looseObject({}))).toEqual({
    type: "object",
    "x-kubernetes-preserve-unknown-fields": true,
  })
})

test("whole numbers have a format instead of JavaScript's bounds", () => {
  expect(toNode("x", z.int())).toEqual({ type: "integer", format: "int64" })
  expect(toNode("x", z.int().min(0).max(65_535))).toEqual({
    type: "integer",
    format: "int32",
    minimum: 0,
    maximum: 65_535,
  })
  expect(
    toNode(
      "x",
      z
        .int()
        .min(0)
        .max(2 ** 31),
    ),
  ).toMatchObject({ format: "int64", maximum: 2 ** 31 })
})

test("a quantity is a number or a text of Kubernetes' pattern, without a type", () => {
  const { properties } = toNode("x", Resources) as { properties: { limits: { additionalProperties: unknown } } }
  expect(properties.limits.additionalProperties).toEqual({
    "x-kubernetes-int-or-string": true,
    pattern: expect.stringMatching(/^\^.*\$$/),
    description: expect.any(String),
  })
})

test("a field of a form says it as a pattern and, for people, as a rule", () => {
  expect(toNode("x", durationField("How long."))).toEqual({
    type: "string",
    maxLength: 32,
    pattern: "^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$",
    description: "How long.",
    "x-kubernetes-validations": [
      {
        rule: 'self.matches("^([0-9]+(\\\\.[0-9]+)?(ms|s|m|h))+$")',
        message: "must be a duration such as 30s, 10m or 1h30m",
      },
    ],
  })
})

const kind = (rules: readonly Rule[]): Kind<KubeObject> => ({ ...mcpInstanceKind, rules })
const rule = (path: string): Rule => ({ path, cel: "self == oldSelf", message: "no", holds: () => true })
const parts = { spec: z.object({ a: z.object({ b: text() }).optional() }), status: z.object({}) }

test("a rule stands at its path, after those of the field itself", () => {
  const root = toStructural(kind([rule(""), rule("spec.a.b"), rule("spec.a.b")]), parts)
  const said = { rule: "self == oldSelf", message: "no" }
  expect(root).toMatchObject({
    "x-kubernetes-validations": [said],
    properties: {
      spec: { properties: { a: { properties: { b: { "x-kubernetes-validations": [said, said] } } } } },
    },
  })
  const timed = { ...parts, spec: z.object({ ttl: durationField("How long.") }) }
  const { properties } = toStructural(kind([rule("spec.ttl")]), timed) as {
    properties: { spec: { properties: { ttl: { "x-kubernetes-validations": unknown[] } } } }
  }
  expect(properties.spec.properties.ttl["x-kubernetes-validations"]).toEqual([
    expect.objectContaining({ rule: expect.stringContaining("matches") }),
    said,
  ])
})

test("a rule whose path names no field is refused, it would never be asked", () => {
  expect(() => toStructural(kind([rule("spec.a.c")]), parts)).toThrow("spec.a.c: the rule's path names no field")
})

test("Kubernetes' own kinds have no definition of ours", () => {
  const { crd: _none, ...own } = mcpInstanceKind
  expect(() => toCRD(own, parts)).toThrow("MCPInstance: not one of our kinds")
})

const kinds = [
  ["MCPInstance", toStructural(mcpInstanceKind, { spec: MCPInstanceSpec, status: MCPInstanceStatus }), mcpInstanceKind],
  ["MCPTarget", toStructural(mcpTargetKind, { spec: MCPTargetSpec, status: MCPTargetStatus }), mcpTargetKind],
] as const

const isNode = (value: unknown): value is StructuralSchema => typeof value === "object" && value !== null

/** All nodes below one, by path. */
const nodes = (node: StructuralSchema, path: string): [string, StructuralSchema][] => {
  const fields = Object.entries(node.properties ?? {}).map(([name, value]) => [`${path}.${name}`, value] as const)
  const inner = [...fields, [`${path}[]`, node.items] as const, [`${path}.*`, node.additionalProperties] as const]
  return [[path, node], ...inner.flatMap(([at, value]) => (isNode(value) ? nodes(value, at) : []))]
}

const below = (root: StructuralSchema): [string, StructuralSchema][] =>
  ["spec", "status"].flatMap((part) => nodes((root.properties as Record<string, StructuralSchema>)[part] ?? {}, part))

test.each(kinds)("every field of %s is described, objects in lists too", (_, root) => {
  const all = below(root)
  expect(all.length).toBeGreaterThan(50)
  const fields = all.filter(([path, { type }]) => !path.endsWith("[]") || type === "object")
  const silent = fields.filter(([path, node]) => !path.endsWith(".*") && typeof node.description !== "string")
  expect(silent.map(([path]) => path)).toEqual([])
})

test.each(kinds)(
  "every text, list and map of %s is bounded, so that rules can be priced and objects stay small",
  (_, root) => {
    const endless = below(root).filter(([path, node]) => {
      if (node.type === "string") return node.maxLength === undefined && node.enum === undefined
      if (node.type === "array") return node.maxItems === undefined
      // a rule bounds the maps of quantities, whose values Kubernetes checks
      return node.additionalProperties !== undefined && node.maxProperties === undefined && !path.includes("resources.")
    })
    expect(endless.map(([path]) => path)).toEqual([])
  },
)

test.each(kinds)("conditions of %s are a map by type for server-side apply", (_, root) => {
  expect(Object.fromEntries(below(root))["status.conditions"]).toMatchObject({
    type: "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
  })
})

test.each(kinds)("a transition rule of %s stands where removing the field cannot silence it", (_, root, { rules }) => {
  const transitions = (rules ?? []).filter(({ cel }) => cel.includes("oldSelf"))
  expect(transitions.length).toBeGreaterThan(1)
  const byPath = Object.fromEntries(below(root))
  for (const { path, cel } of transitions) {
    // at the field itself only if the API server fills in a default, else at its parent, asking for the field
    if (byPath[path]?.default === undefined) expect(cel).toMatch(/^!has\(oldSelf\.(\w+)\) \|\| \(has\(self\.\1\) && /)
  }
})

test("no duration has a default in the schema: a default would be stored, and the configuration never asked", () => {
  for (const [, root] of kinds)
    for (const [path, node] of below(root))
      if (/TTL|Lifetime|Timeout/.test(path)) expect(node.default, path).toBeUndefined()
})
