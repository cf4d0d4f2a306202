import { describe, expect, test } from "vitest"
import { hasCode } from "../../../src/errors.ts"
import { filterJson } from "../../../src/mcp/json-filter.ts"
import type { BodyFilter } from "../../../src/mcp/tool-filter.ts"

const policy = { allows: (tool: string) => !tool.startsWith("hidden") }
const message = (member: string) => `{"jsonrpc":"2.0","id":1,"result":{${member}}}`
const text = (size: number) => `"content":[{"type":"text","text":"${"x".repeat(size)}"}]`
const tools = '"tools":[{"name":"shown"},{"name":"hidden"}]'
const cut = '"tools":[{"name":"shown"}]'
/** Longer than what is held until it is whole. */
const long = 100_000

const filterOf = (body: string): BodyFilter => filterJson(policy, Buffer.byteLength(body))

/** What each push and the end return, for pieces of `size` bytes. */
const outputs = (filter: BodyFilter, body: string, size: number): readonly string[] => {
  const bytes = Buffer.from(body)
  const out: string[] = []
  for (let at = 0; at < bytes.length; at += size) out.push(filter.push(bytes.subarray(at, at + size)).toString())
  return [...out, filter.end().toString()]
}
const run = (body: string, size: number): string => outputs(filterOf(body), body, size).join("")

const refused = (task: () => unknown): unknown => {
  try {
    return task()
  } catch (error) {
    return hasCode(error, "UpstreamInvalid") ? "refused" : error
  }
}

describe("a body of a known length", () => {
  const [short, whole] = [message(text(50)), 1_000]

  test("passes unchanged and whole if it names no tools, so that its length holds", () => {
    const filter = filterOf(short)
    const bytes = Buffer.from(short)
    expect(filter.isWhole?.()).toBe(false)
    expect(filter.push(bytes)).toBe(bytes)
    expect(filter.isWhole?.()).toBe(true)
    expect(filter.end()).toHaveLength(0)
  })

  test.each([1, 7, 60, whole])("is filtered, in pieces of %d bytes", (size) => {
    for (const key of ["tools", "TooLS", "\\u0074ools", "tool\\u017f", "tool\u017f", "ｔools"]) {
      const listing = tools.replace("tools", key)
      const body = message(listing)
      expect(run(body, size), key).toBe(message(cut.replace("tools", key)))
    }
    expect(run(short, size)).toBe(short)
  })

  test("is not whole if something was cut", () => {
    const body = message(tools)
    const filter = filterOf(body)
    filter.push(Buffer.from(body))
    expect(filter.isWhole?.()).toBe(false)
  })

  test.each(["<html>", '"text"', "{]", '{"a":}', "}", '{"unfinished":', "{} x", "\0{\0}", ""])(
    "%j is refused, or empty",
    (body) => {
      expect(refused(() => run(body, whole))).toBe(body === "" ? "" : "refused")
    },
  )
})

describe("a long body of a known length", () => {
  test("passes piece by piece while it names no tools", () => {
    const body = message(text(long))
    const out = outputs(filterOf(body), body, 10_000)
    expect(out.join("")).toBe(body)
    expect(out[0]).toHaveLength(10_000)
  })

  test.each([1_000, 1_013, 65_536, 1_000_000])("is filtered from the first tools on, in pieces of %d bytes", (size) => {
    for (const key of ["tools", "TooLS", "\\u0074ools", "tool\u017f"]) {
      const [before, after] = [tools, cut].map((list) =>
        message(`${text(long)},${list.replace("tools", key)},${text(long).replace("content", "more")}`),
      )
      expect(run(before ?? "", size) === after, key).toBe(true)
    }
  })

  test("is filtered if a key lies across two pieces, wherever it is cut", () => {
    for (let shift = 0; shift < 12; shift++) {
      const body = message(`${text(long - shift)},${tools}`)
      const size = body.indexOf("tools") + 3
      expect(run(body, size) === message(`${text(long - shift)},${cut}`)).toBe(true)
      const bytewise = Buffer.from(body)
      const filter = filterOf(body)
      const at = body.indexOf('"tools') - 2
      const out = [filter.push(bytewise.subarray(0, at))]
      for (let one = at; one < at + 12; one++) out.push(filter.push(bytewise.subarray(one, one + 1)))
      out.push(filter.push(bytewise.subarray(at + 12)), filter.end())
      expect(Buffer.concat(out).toString() === message(`${text(long - shift)},${cut}`)).toBe(true)
    }
  })

  test("is filtered if a key fills pieces without a quote", () => {
    const around = (key: string) => [message(`${text(long)},"${key}`), `":${tools.slice('"tools":'.length)}}}`] as const
    for (const key of ["tools", "Tools"]) {
      const [before, after] = around(key)
      const body = (before.slice(0, -2) + after) as string
      const filter = filterOf(body)
      const start = before.length - 2 - key.length
      const pieces = [body.slice(0, start), ...body.slice(start, start + key.length), body.slice(start + key.length)]
      const out = [...pieces.map((piece) => filter.push(Buffer.from(piece))), filter.end()]
      expect(Buffer.concat(out).toString()).toBe(body.replace(',{"name":"hidden"}', ""))
    }
  })

  test("keeps a list for one caller from being cached for all, though the word comes before the list", () => {
    const body = message(`"cacheScope":"public",${text(long)},${tools}`)
    expect(run(body, 5_000) === message(`"cacheScope":"private",${text(long)},${cut}`)).toBe(true)
  })

  test("is refused if it does not begin like a message, or turns out to be none when it is read", () => {
    expect(refused(() => run(`"${"x".repeat(long)}"`, 10_000))).toBe("refused")
    expect(refused(() => run(`${" ".repeat(100)}x${" ".repeat(long)}`, 10_000))).toBe("refused")
    expect(refused(() => run(message(`${text(long)},${tools},x`), 10_000))).toBe("refused")
  })

  test("may begin with many blanks", () => {
    const body = " ".repeat(100) + message(text(long))
    expect(run(body, 10_000) === body).toBe(true)
  })
})
