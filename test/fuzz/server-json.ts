import fc from "fast-check"
import { expect } from "vitest"
import { expand } from "../../src/api/expansion.ts"
import { fromServerJson } from "../../src/api/server-json/convert.ts"
import type { FuzzProperty } from "./property.ts"

const name = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom("A", "B", "TOKEN", "--port") },
  fc.constantFrom("A", "TOKEN", "--port", "-e", "PORT", "constructor", "__proto__", "toString", "--registry", "-y", ""),
  fc.string({ maxLength: 4 }),
)
const text = fc.oneof(
  fc
    .array(
      fc.constantFrom(
        "{",
        "}",
        "$",
        "(",
        ")",
        "$(",
        "$(TOKEN)",
        "$(A)",
        "$$",
        "TOKEN",
        "{A}",
        "{constructor}",
        "x",
        "=",
        ":",
      ),
      {
        maxLength: 8,
      },
    )
    .map((pieces) => pieces.join("")),
  fc.string({ unit: "binary", maxLength: 6 }),
)
const anything = fc.oneof(fc.jsonValue(), fc.constant(null))
/** Mostly what a field wants, now and then anything. */
const mostly = <T>(wanted: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 99, arbitrary: wanted }, { weight: 1, arbitrary: anything })

const inputFields = {
  value: mostly(text),
  default: mostly(text),
  description: mostly(text),
  isRequired: mostly(fc.boolean()),
  isSecret: mostly(fc.boolean()),
  isRepeated: mostly(fc.boolean()),
  format: mostly(fc.constantFrom("string", "number", "boolean", "filepath")),
  choices: mostly(fc.array(text, { maxLength: 2 })),
}
const variable = fc.record(inputFields, { requiredKeys: [] })
const input = fc.record(
  {
    ...inputFields,
    name: mostly(name),
    valueHint: mostly(name),
    type: mostly(fc.constantFrom("named", "positional")),
    variables: mostly(fc.dictionary(name, variable, { maxKeys: 2 })),
  },
  { requiredKeys: [] },
)
const inputs = mostly(fc.array(input, { maxLength: 3 }))
const transport = fc.record(
  {
    type: mostly(fc.constantFrom("stdio", "streamable-http", "sse")),
    url: mostly(
      fc.constantFrom("http://localhost:80/mcp", "http://localhost:{--port}/", "https://{A}.example.com/mcp"),
    ),
    headers: inputs,
  },
  { requiredKeys: ["type"] },
)
const offer = fc.record(
  {
    registryType: mostly(fc.constantFrom("npm", "npm", "pypi", "oci", "nuget")),
    identifier: mostly(fc.constantFrom("a", "a", "a", "ghcr.io/a/b:1", "-a")),
    version: mostly(fc.constantFrom("1.0.0", "1.0.0", "1.0.0", "latest")),
    transport: mostly(transport),
    runtimeArguments: mostly(fc.oneof({ weight: 4, arbitrary: fc.constant([]) }, inputs)),
    packageArguments: inputs,
    environmentVariables: inputs,
  },
  { requiredKeys: ["registryType", "identifier", "version"] },
)
const document = mostly(
  fc.record(
    {
      name: mostly(fc.constant("io.example/a")),
      packages: mostly(fc.array(offer, { maxLength: 3 })),
      remotes: mostly(fc.array(transport, { maxLength: 2 })),
    },
    { requiredKeys: ["name"] },
  ),
)
const given = mostly(
  fc.dictionary(name, fc.oneof(text, fc.constant(true), fc.array(text, { maxLength: 2 })), { maxKeys: 3 }),
)

type Made = {
  readonly args?: readonly string[]
  readonly env?: readonly { readonly name: string; readonly value: string }[]
  readonly credentials?: readonly { readonly name: string; readonly required?: boolean }[]
}

export const serverJsonProperties: readonly FuzzProperty[] = [
  {
    name: "a server.json makes a target or a short refusal, and names no credential that it does not declare as required",
    property: fc.property(document, given, (read, values) => {
      const made = fromServerJson(read, { today: "2026-11-01", command: ["a"], arguments: values })
      if ("refusals" in made) {
        expect(made.refusals.length).toBeGreaterThan(0)
        expect(made.refusals.length).toBeLessThanOrEqual(20)
        for (const { pointer, detail } of made.refusals) {
          expect(pointer).toMatch(/^\/(server_json|arguments)(\/|$)/)
          expect(detail.length).toBeLessThan(2_000)
        }
        return
      }
      const { args = [], env = [], credentials = [] } = made.spec as Made
      const required = credentials.filter((each) => each.required === true).map((each) => each.name)
      for (const each of [...args, ...env.map(({ value }) => value)])
        expand(each, (used) => {
          expect(required).toContain(used)
          return ""
        })
    }),
  },
]
