import { describe, expect, test } from "vitest"
import { ArgumentHeaders } from "../../../src/bridge/argument-headers.ts"

type Schema = Readonly<Record<string, unknown>>

const knownFrom = async (tools: readonly unknown[]): Promise<ArgumentHeaders> => {
  const known = new ArgumentHeaders(async () => ({ tools }), 5_000)
  await known.known()
  return known
}

/** Compares headers with arguments of a tool whose arguments have these schemas. */
const checkOf = async (properties: Schema) => {
  const known = await knownFrom([{ name: "t", inputSchema: { type: "object", properties } }])
  return (values: unknown, headers: Readonly<Record<string, string | string[]>> = {}) =>
    known.check({ name: "t", arguments: values }, headers)
}

const named = (type: unknown, name: unknown = "A"): Schema => ({ type, "x-mcp-header": name })

/** A schema inside of so many others. */
const inside = (levels: number): Schema =>
  Array.from({ length: levels }).reduce<Schema>((inner) => ({ properties: { a: inner } }), named("string"))

const within = (levels: number): unknown => Array.from({ length: levels }).reduce((inner) => ({ a: inner }), "x")

describe("a header that repeats an argument", () => {
  test.for([
    ["string", "4", "4.0"],
    ["string", 4, "4.0"],
    ["string", "true", "TRUE"],
    ["boolean", true, "1"],
    ["boolean", true, "True"],
    ["integer", 42, "0x2a"],
    ["integer", 42, "4.2e1"],
    ["integer", 42, "+42"],
    ["integer", 42, " 42"],
    ["integer", 0, ""],
    ["number", 0.5, ".5"],
    ["number", 42, "42."],
    ["number", 42, "42,0"],
  ] as const)("of type %s differs from %j as '%s'", async ([type, value, header]) => {
    const check = await checkOf({ a: named(type) })
    expect(() => check({ a: value }, { "mcp-param-a": header })).toThrow("differs from the body")
  })

  test.for([
    ["string", "", ""],
    ["string", "0x2a", "0x2a"],
    ["integer", -42, "-42.00"],
    ["integer", 42, "042"],
    ["integer", 42, "=?base64?NDI=?="],
    ["number", 0.5, "0.50"],
    ["number", 1e21, "anything"],
    ["number", 2 ** 53 - 1, "9007199254740991"],
    // the schema is for the server to apply
    ["string", 7, "7"],
    ["boolean", "true", "true"],
  ] as const)("of type %s is equal to %j as '%s'", async ([type, value, header]) => {
    const check = await checkOf({ a: named(type) })
    expect(() => check({ a: value }, { "mcp-param-a": header })).not.toThrow()
  })

  test.for([Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER])("must be there for the number %i", async (value) => {
    const check = await checkOf({ a: named("integer") })
    expect(() => check({ a: value })).toThrow("is missing")
    expect(() => check({ a: value + Math.sign(value) })).not.toThrow()
  })

  test.for([
    ["string", "", "an empty name"],
    ["string", "a b", "a name with a blank"],
    ["string", "a:b", "a name that no header can have"],
    ["string", "é", "a name that is not ASCII"],
    ["string", 7, "a name that is no text"],
    ["array", "A", "a type that no header can repeat"],
    [["string", "null"], "A", "several types"],
    [undefined, "A", "no type"],
  ] as const)("is not demanded by the type %j with the name %j, %s", async ([type, name]) => {
    const check = await checkOf({ a: named(type, name) })
    expect(() => check({ a: "x" })).not.toThrow()
  })

  test.for(["!#$%&'*+-.^_`|~09", "REGION"])("may have the name %s, whose case does not count", async (name) => {
    const check = await checkOf({ a: named("string", name) })
    expect(() => check({ a: "x" })).toThrow(`mcp-param-${name.toLowerCase()}`)
    expect(() => check({ a: "x" }, { [`mcp-param-${name.toLowerCase()}`]: "x" })).not.toThrow()
  })

  test("is read as one text if it came several times", async () => {
    const check = await checkOf({ a: named("string") })
    expect(() => check({ a: "x, y" }, { "mcp-param-a": ["x", "y"] })).not.toThrow()
    expect(() => check({ a: "x" }, { "mcp-param-a": ["x", "x"] })).toThrow("differs from the body")
  })

  test("is looked for in 32 levels of arguments", async () => {
    const [last, beyond] = [await checkOf({ a: inside(31) }), await checkOf({ a: inside(32) })]
    expect(() => last({ a: within(31) })).toThrow("is missing")
    expect(() => beyond({ a: within(32) })).not.toThrow()
  })

  test("repeats what the arguments themselves have, and nothing that every object has", async () => {
    const check = await checkOf({ constructor: { properties: { name: named("string") } }, a: named("string", "B") })
    for (const values of [{}, [], "text", null, undefined, { constructor: null }])
      expect(() => check(values)).not.toThrow()
    expect(() => check({ constructor: { name: "x" } })).toThrow("constructor.name, is missing")
  })
})

test("calls of tools without a name, and of tools that are not known, are not compared", async () => {
  const known = await knownFrom([{ inputSchema: { properties: { a: named("string") } } }])
  for (const name of [undefined, 7, "undefined", "other"])
    expect(() => known.check({ name, arguments: { a: "x" } }, {})).not.toThrow()
})

test("tools without a name make no others forgotten, however many arguments they have", async () => {
  const properties = Object.fromEntries(Array.from({ length: 10_000 }, (_, at) => [`p${at}`, named("string")]))
  const known = await knownFrom([
    { name: "t", inputSchema: { properties: { a: named("string") } } },
    { inputSchema: { properties } },
  ])
  expect(() => known.check({ name: "t", arguments: { a: "x" } }, {})).toThrow("is missing")
})
