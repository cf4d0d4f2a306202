import { describe, expect, test } from "vitest"
import { ArgumentHeaders } from "../../../src/bridge/argument-headers.ts"

const mirrored = (name: string, type: string) => ({ type, "x-mcp-header": name })

const place = {
  name: "place",
  inputSchema: {
    type: "object",
    properties: {
      region: mirrored("Region", "string"),
      count: mirrored("Count", "integer"),
      is_new: mirrored("New", "boolean"),
      deep: { type: "object", properties: { zone: mirrored("Zone", "string") } },
      list: { ...mirrored("List", "array") },
      plain: { type: "string" },
    },
  },
}

const headersOf = async (tools: readonly unknown[] = [place]): Promise<ArgumentHeaders> => {
  const headers = new ArgumentHeaders(async () => ({ tools }), 5_000)
  await headers.known()
  return headers
}

const call = (values: object) => ({ name: "place", arguments: values })

describe("headers that repeat a tool's arguments", () => {
  test.each([
    ["a text", { region: "eu" }, { "mcp-param-region": "eu" }],
    ["a text in base64", { region: "ö" }, { "mcp-param-region": "=?base64?w7Y=?=" }],
    ["a number", { count: 42 }, { "mcp-param-count": "42" }],
    ["a number that is written differently", { count: 42 }, { "mcp-param-count": "42.0" }],
    ["a boolean", { is_new: false }, { "mcp-param-new": "false" }],
    ["an argument inside of another one", { deep: { zone: "a" } }, { "mcp-param-zone": "a" }],
  ])("are accepted for %s", async (_, values, headers) => {
    const known = await headersOf()
    expect(() => known.check(call(values), headers)).not.toThrow()
  })

  test.each([
    ["null", { region: null }],
    ["absent", {}],
    ["an object", { region: {} }],
    ["a number that JavaScript cannot hold", { count: 2 ** 60 }],
    ["a list, which no header can repeat", { list: ["a"] }],
    ["an argument without a header", { plain: "a" }],
  ])("need not be there for an argument that is %s", async (_, values) => {
    const known = await headersOf()
    expect(() => known.check(call(values), {})).not.toThrow()
  })

  test.each([
    ["are missing", { region: "eu" }, {}, "is missing"],
    ["differ", { region: "eu" }, { "mcp-param-region": "us" }, "differs"],
    ["differ as numbers", { count: 42 }, { "mcp-param-count": "43" }, "differs"],
    ["are no base64", { region: "eu" }, { "mcp-param-region": "=?base64?ZXU?=" }, "is not valid base64"],
    ["are missing inside of another argument", { deep: { zone: "a" } }, {}, "deep.zone, is missing"],
  ])("are refused if they %s", async (_, values, headers, said) => {
    const known = await headersOf()
    expect(() => known.check(call(values), headers)).toThrow(said)
  })

  test("are known from all pages of the server's list", async () => {
    const asked: unknown[] = []
    const known = new ArgumentHeaders(async (params) => {
      asked.push(params)
      return asked.length === 1 ? { tools: [], nextCursor: "two" } : { tools: [place] }
    }, 5_000)
    await Promise.all([known.known(), known.known()])
    expect(asked).toEqual([{}, { cursor: "two" }])
    expect(() => known.check(call({ region: "eu" }), {})).toThrow("is missing")
  })

  test("are those of the newest list that a client got", async () => {
    const known = await headersOf()
    const other = { name: "place", inputSchema: { type: "object", properties: { plain: mirrored("Plain", "string") } } }
    known.learnFrom(JSON.stringify({ jsonrpc: "2.0", id: 1, result: { tools: [other] } }))
    expect(() => known.check(call({ region: "eu" }), {})).not.toThrow()
    expect(() => known.check(call({ plain: "a" }), {})).toThrow("is missing")
    known.learnFrom(JSON.stringify({ jsonrpc: "2.0", id: 2, result: { tools: [{ name: "place" }] } }))
    expect(() => known.check(call({ plain: "a" }), {})).not.toThrow()
  })

  test("are forgotten if a server tells 10,000 others, so that ever new names fill no memory", async () => {
    const known = await headersOf()
    const inputSchema = { properties: { a: mirrored("A", "string") } }
    const others = (list: number) => Array.from({ length: 5_000 }, (_, at) => ({ name: `${list}-${at}`, inputSchema }))
    for (let list = 0; list < 4; list++) known.learn({ tools: others(list) })
    expect(() => known.check(call({ region: "eu" }), {})).not.toThrow()
    expect(() => known.check({ name: "3-4999", arguments: { a: "x" } }, {})).toThrow("is missing")
    known.learn({ tools: [place] })
    expect(() => known.check(call({ region: "eu" }), {})).toThrow("is missing")
  })

  test("are those of the first 10,000 arguments of a tool", async () => {
    const names = Array.from({ length: 10_001 }, (_, at) => `a${at}`)
    const properties = Object.fromEntries(names.map((name) => [name, mirrored(name, "string")]))
    const known = await headersOf([{ name: "place", inputSchema: { properties: { deep: { properties } } } }])
    expect(() => known.check(call({ deep: { a9999: "x" } }), {})).toThrow("is missing")
    expect(() => known.check(call({ deep: { a10000: "x" } }), {})).not.toThrow()
  })

  test("are still those of all tools if a server tells the same list again and again", async () => {
    const tools = Array.from({ length: 2_000 }, (_, at) => ({ ...place, name: `t${at}` }))
    const known = await headersOf(tools)
    for (let list = 0; list < 5; list++) known.learn({ tools: tools.toReversed() })
    for (const name of ["t0", "t1999"])
      expect(() => known.check({ name, arguments: { region: "eu" } }, {})).toThrow("is missing")
  })

  test("are waited for no longer than allowed, however many pages a server has", async () => {
    let pages = 0
    const endless = new ArgumentHeaders(async () => {
      pages++
      await new Promise((resolve) => setTimeout(resolve, 20))
      return { tools: [], nextCursor: "more" }
    }, 50)
    await endless.known()
    expect(pages).toBeLessThan(10)
  })

  test("are not compared if the server does not tell its tools", async () => {
    const known = new ArgumentHeaders(async () => undefined, 5_000)
    await known.known()
    expect(() => known.check(call({ region: "eu" }), {})).not.toThrow()
  })
})
