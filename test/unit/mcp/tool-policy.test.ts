import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { type MCPTarget, MCPTargetSpec } from "../../../src/api/kinds/mcp-target.ts"
import { compileGlobs, createToolPolicies, cutTools } from "../../../src/mcp/tool-policy.ts"
import { aTarget } from "../../support/build/target.ts"

const toolPolicyOf = createToolPolicies()

const policy = (tools: MCPTargetSpec["tools"]) =>
  toolPolicyOf({
    apiVersion: "mcp.reflow.io/v1alpha1",
    kind: "MCPTarget",
    metadata: { name: "t" },
    spec: MCPTargetSpec.parse({ image: "i", port: 1, tools }),
  } satisfies MCPTarget)

const matchesGlob = (glob: string, text: string): boolean => compileGlobs([glob]).match(text)

describe("a glob", () => {
  test.each([
    ["*", "", true],
    ["read_*", "read_file", true],
    ["read_*", "read", false],
    ["*_file", "read_file", true],
    ["*a*b*", "xxaxxbxx", true],
    ["*a*b*", "xxbxxaxx", false],
    ["r?ad", "read", true],
    ["r?ad", "rad", false],
    ["read.file", "readxfile", false],
    ["READ", "read", false],
    ["", "", true],
    ["", "a", false],
    [`${"a".repeat(31)}*b`, `${"a".repeat(31)}xxb`, true],
    [`${"a".repeat(32)}?b`, `${"a".repeat(32)}xb`, true],
    [`*${"ab".repeat(40)}*c`, `abab${"ab".repeat(40)}xc`, true],
    [`*${"ab".repeat(40)}*c`, `${"ab".repeat(39)}xc`, false],
  ])("%s on %s: %s", (glob, text, expected) => {
    expect(matchesGlob(glob, text)).toBe(expected)
  })

  test("means the same as the regular expression that says so", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b", "*", "?"), maxLength: 80 })
    const texts = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 100 })
    fc.assert(
      fc.property(letters, texts, (glob, text) => {
        const pattern = new RegExp(`^${glob.replaceAll(/\*+/g, ".*").replaceAll("?", ".")}$`)
        expect(matchesGlob(glob, text)).toBe(pattern.test(text))
      }),
      { numRuns: 2_000 },
    )
  })
})

describe("a tool policy", () => {
  test("does not exist where nothing is restricted", () => {
    for (const tools of [undefined, {}, { deny: [] }]) expect(policy(tools)).toBeUndefined()
  })

  test("lets deny win over allow, and an empty allow list allows nothing", () => {
    const both = policy({ allow: ["read_*"], deny: ["*_secret"] })
    expect(["read_file", "read_secret", "write"].map((tool) => both?.allows(tool))).toEqual([true, false, false])
    expect(policy({ allow: [] })?.allows("anything")).toBe(false)
    expect(policy({ deny: ["x"] })?.allows("y")).toBe(true)
  })

  test.each(["x\0", "x\0y", "\u0007x", "x\u0085", "x\ud800", "\udc00x"])(
    "never allows %j, which another program could read as another name",
    (name) => {
      expect(policy({ deny: ["x"] })?.allows(name)).toBe(false)
      expect(policy({ allow: ["*"] })?.allows(name)).toBe(false)
    },
  )

  test("allows names of any script", () => {
    for (const name of ["größe", "名前", "🦊", "a/b.c-d_e"]) expect(policy({ allow: ["*"] })?.allows(name)).toBe(true)
  })

  test("is made once for each state of a target", () => {
    const target = aTarget({ spec: { tools: { deny: ["x*"] } } })
    expect(toolPolicyOf(target)).toBe(toolPolicyOf(target))
    expect(toolPolicyOf({ ...target })).not.toBe(toolPolicyOf(target))
  })
})

const hides = { allows: (tool: string) => !tool.startsWith("hidden") }
const list = (tools: string, more = "") => `{"jsonrpc":"2.0","id":1,"result":{"tools":[${tools}]${more}}}`
const shown = '{"name":"shown"}'
const hidden = '{"name":"hidden"}'

describe("a list of tools", () => {
  test("keeps what it may show byte by byte: numbers of any size, keys that are there twice, spaces, escapes", () => {
    const odd = '{ "name" : "sh\\u006fwn", "max":12345678901234567890, "e":1.0E+2, "x":1, "x":{"y":[2 ,3]}, "é":"\\/" }'
    expect(cutTools(list(`\n ${odd} ,\t${hidden}\n, ${shown} `, ', "ttlMs" : 1e3'), hides)).toBe(
      list(`\n ${odd},${shown} `, ', "ttlMs" : 1e3'),
    )
  })

  test.each([
    ["", undefined],
    [shown, undefined],
    [`${shown} , ${shown}`, undefined],
    [hidden, ""],
    [` ${hidden}, ${hidden} `, "  "],
    [`${hidden},${shown}`, shown],
    [`${shown},${hidden}`, shown],
    [`${shown},${hidden},${shown}`, `${shown},${shown}`],
  ])("[%s] becomes [%s]", (tools, expected) => {
    expect(cutTools(list(tools), hides)).toBe(expected === undefined ? undefined : list(expected))
  })

  test.each([
    '"hidden"',
    "5",
    "null",
    "[]",
    "{}",
    '{"name":5}',
    '{"name":null,"name":"shown"}',
    '{"name":"hidden","name":"shown"}',
    '{"name":"shown","name":"hidden"}',
    '{"Name":"hidden","name":"shown"}',
    '{"name":"shown","\\u004eame":"hidden"}',
    '{"name":"shown","name\\u0000":"hidden"}',
    '{"n\\u0061me":"hidden"}',
    '{"NAME":"shown"}',
  ])("does not show %s", (tool) => {
    expect(cutTools(list(`${shown},${tool}`), hides)).toBe(list(shown))
  })

  test("is found by every key that some parser takes for result or tools, however often", () => {
    const twice = (first: string, second: string) =>
      `{"result":{"tools":[${first}],"t\\u006fols":[${first}]},"RESULT":{"Tools":[${second}]},"result":{"x":1}}`
    expect(cutTools(twice(`${shown},${hidden}`, hidden), hides)).toBe(twice(shown, ""))
  })

  test.each(["TOOLS", "t\\u006fols", "tool\u017f", "tools\\u0000", "\uff54ools"])(
    "is found by the key %s alone",
    (key) => {
      expect(cutTools(`{"result":{"${key}":[${hidden}]}}`, hides)).toBe(`{"result":{"${key}":[]}}`)
    },
  )

  test("is found in batches, of batches too, but not below ten of them", () => {
    const wrap = (text: string, levels: number) => `${"[".repeat(levels)}${text}${"]".repeat(levels)}`
    for (const levels of [1, 2, 10]) expect(cutTools(wrap(list(hidden), levels), hides)).toBe(wrap(list(""), levels))
    expect(() => cutTools(wrap(list(hidden), 11), hides)).toThrow("nested")
    expect(cutTools(`[1, ${list(hidden)} , "x", ${list(shown)}]`, hides)).toBe(`[1, ${list("")} , "x", ${list(shown)}]`)
  })

  test("that is for everybody's cache becomes private, also where it hides nothing", () => {
    expect(cutTools(list(shown, ',"cacheScope":"public"'), hides)).toBe(list(shown, ',"cacheScope":"private"'))
    const before = `{"result":{"cacheScope": "publi\\u0063","tools":[${hidden}]}}`
    expect(cutTools(before, hides)).toBe('{"result":{"cacheScope": "private","tools":[]}}')
    expect(cutTools('{"result":{"tools":[],"CacheScope":"public"}}', hides)).toContain('"private"')
    expect(cutTools(list(shown, ',"cacheScope":"private"'), hides)).toBeUndefined()
    expect(cutTools('{"result":{"resources":[],"cacheScope":"public"}}', hides)).toBeUndefined()
  })
})

test.each([
  '{"result":{"content":[{"tools":[{"name":"hidden"}]}]}}',
  '{"method":"sampling/createMessage","params":{"tools":[{"name":"hidden"}]}}',
  '{"result":{"tools":{"name":"hidden"}}}',
  '{"result":[{"tools":[{"name":"hidden"}]}]}',
  '"text"',
])("%s is no list of the server's tools and stays", (text) => {
  expect(cutTools(text, hides)).toBeUndefined()
})

test("a list whose names would take too long to compare is refused, and one that many tools are in is not", () => {
  const tools = (count: number, name: string) => list(Array.from({ length: count }, () => `{"name":"${name}"}`).join())
  const globs = createToolPolicies()(aTarget({ spec: { tools: { deny: [`*${"a?".repeat(500)}*b`] } } }))
  if (globs === undefined) throw new Error("there is no policy")
  expect(cutTools(tools(1_000, "read_a_file_of_the_workspace"), globs)).toBeUndefined()
  expect(() => cutTools(tools(1_000, "a".repeat(1_024)), globs)).toThrow("than can be compared")
})

test("a batch of very many lists loses its hidden tools", () => {
  const many = Array.from({ length: 200_000 }, () => `{"result":{"tools":[${hidden}]}}`)
  expect(cutTools(`[${many.join()}]`, hides)?.includes("hidden")).toBe(false)
  expect(
    cutTools(`{"result":{${Array.from({ length: 200_000 }, () => `"tools":[${hidden}]`).join()}}}`, hides)?.length,
  ).toBe(200_000 * '"tools":[],'.length + '{"result":{}}'.length - 1)
})
