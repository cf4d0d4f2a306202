import { expect, test } from "vitest"
import { ownKinds, schemaDifferences } from "../../../../src/api/schema/own-kinds.ts"
import type { StructuralSchema } from "../../../../src/api/schema/structural.ts"

const text: StructuralSchema = { type: "string", maxLength: 10 }
const object = (properties: StructuralSchema, more: StructuralSchema = {}): StructuralSchema => ({
  type: "object",
  properties,
  ...more,
})

test.each(ownKinds().map(({ kind, schema }) => [kind, schema] as const))(
  "%s does not differ from itself",
  (_, schema) => {
    expect(schemaDifferences(schema, structuredClone(schema))).toEqual([])
  },
)

test.each<readonly [string, StructuralSchema, StructuralSchema, readonly string[]]>([
  ["a field that the server has not", object({ a: text, b: text }), object({ a: text }), ["b is missing"]],
  ["one deep inside", object({ a: object({ b: text }) }), object({ a: object({}) }), ["a.b is missing"]],
  ["a bound", object({ a: text }), object({ a: { type: "string", maxLength: 5 } }), ["a: maxLength differs"]],
  [
    "a bound that only theirs has",
    object({ a: text }),
    object({ a: { ...text, minLength: 1 } }),
    ["a: minLength differs"],
  ],
  [
    "a rule",
    object({ a: { ...text, "x-kubernetes-validations": [] } }),
    object({ a: text }),
    ["a: x-kubernetes-validations differs"],
  ],
  ["what is required", object({ a: text }, { required: ["a"] }), object({ a: text }), ["the object: required differs"]],
  ["the values of a list", { items: object({ a: text }) }, { items: object({}) }, ["[].a is missing"]],
  [
    "the values of a map",
    { additionalProperties: text },
    { additionalProperties: {} },
    [".*: type differs", ".*: maxLength differs"],
  ],
  [
    "a list instead of a text",
    object({ a: text }),
    object({ a: { items: text } }),
    ["a: type differs", "a: maxLength differs"],
  ],
])("%s is a difference", (_, ours, theirs, expected) => {
  expect(schemaDifferences(ours, theirs)).toEqual(expected)
})

test.each<readonly [string, StructuralSchema, StructuralSchema]>([
  ["a field that only a newer server has", object({ a: text }), object({ a: text, b: text })],
  ["other words", object({ a: { ...text, description: "x" } }), object({ a: text })],
  ["the order of required fields", object({}, { required: ["a", "b"] }), object({}, { required: ["b", "a"] })],
  [
    "how the API server spells int-or-string",
    { "x-kubernetes-int-or-string": true },
    { "x-kubernetes-int-or-string": true, anyOf: [{}] },
  ],
])("%s is no difference", (_, ours, theirs) => {
  expect(schemaDifferences(ours, theirs)).toEqual([])
})
