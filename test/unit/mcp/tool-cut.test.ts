import { describe, expect, test } from "vitest"
import { createToolPolicies, cutTools } from "../../../src/mcp/tool-policy.ts"
import { aTarget } from "../../support/build/target.ts"

const policy = { allows: (tool: string) => !tool.startsWith("hidden") }
const list = (tools: string, more = "") => `{"jsonrpc":"2.0","id":1,"result":{"tools":[${tools}]${more}}}`
const shown = '{"name":"shown"}'
const hidden = '{"name":"hidden"}'

describe("a list of tools", () => {
  test("keeps what it may show byte by byte: numbers of any size, keys that are there twice, spaces, escapes", () => {
    const odd = '{ "name" : "sh\\u006fwn", "max":12345678901234567890, "e":1.0E+2, "x":1, "x":{"y":[2 ,3]}, "é":"\\/" }'
    expect(cutTools(list(`\n ${odd} ,\t${hidden}\n, ${shown} `, ', "ttlMs" : 1e3'), policy)).toBe(
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
    expect(cutTools(list(tools), policy)).toBe(expected === undefined ? undefined : list(expected))
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
    expect(cutTools(list(`${shown},${tool}`), policy)).toBe(list(shown))
  })

  test("is found by every key that some parser takes for result or tools, however often", () => {
    const twice = (first: string, second: string) =>
      `{"result":{"tools":[${first}],"t\\u006fols":[${first}]},"RESULT":{"Tools":[${second}]},"result":{"x":1}}`
    expect(cutTools(twice(`${shown},${hidden}`, hidden), policy)).toBe(twice(shown, ""))
  })

  test.each(["TOOLS", "t\\u006fols", "tool\u017f", "tools\\u0000", "\uff54ools"])(
    "is found by the key %s alone",
    (key) => {
      expect(cutTools(`{"result":{"${key}":[${hidden}]}}`, policy)).toBe(`{"result":{"${key}":[]}}`)
    },
  )

  test("is found in batches, of batches too, but not below ten of them", () => {
    const wrap = (text: string, levels: number) => `${"[".repeat(levels)}${text}${"]".repeat(levels)}`
    for (const levels of [1, 2, 10]) expect(cutTools(wrap(list(hidden), levels), policy)).toBe(wrap(list(""), levels))
    expect(() => cutTools(wrap(list(hidden), 11), policy)).toThrow("nested")
    expect(cutTools(`[1, ${list(hidden)} , "x", ${list(shown)}]`, policy)).toBe(
      `[1, ${list("")} , "x", ${list(shown)}]`,
    )
  })

  test("that is for everybody's cache becomes private, also where it hides nothing", () => {
    expect(cutTools(list(shown, ',"cacheScope":"public"'), policy)).toBe(list(shown, ',"cacheScope":"private"'))
    const before = `{"result":{"cacheScope": "publi\\u0063","tools":[${hidden}]}}`
    expect(cutTools(before, policy)).toBe('{"result":{"cacheScope": "private","tools":[]}}')
    expect(cutTools('{"result":{"tools":[],"CacheScope":"public"}}', policy)).toContain('"private"')
    expect(cutTools(list(shown, ',"cacheScope":"private"'), policy)).toBeUndefined()
    expect(cutTools('{"result":{"resources":[],"cacheScope":"public"}}', policy)).toBeUndefined()
  })
})

test.each([
  '{"result":{"content":[{"tools":[{"name":"hidden"}]}]}}',
  '{"method":"sampling/createMessage","params":{"tools":[{"name":"hidden"}]}}',
  '{"result":{"tools":{"name":"hidden"}}}',
  '{"result":[{"tools":[{"name":"hidden"}]}]}',
  '"text"',
])("%s is no list of the server's tools and stays", (text) => {
  expect(cutTools(text, policy)).toBeUndefined()
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
  expect(cutTools(`[${many.join()}]`, policy)?.includes("hidden")).toBe(false)
  expect(
    cutTools(`{"result":{${Array.from({ length: 200_000 }, () => `"tools":[${hidden}]`).join()}}}`, policy)?.length,
  ).toBe(200_000 * '"tools":[],'.length + '{"result":{}}'.length - 1)
})
