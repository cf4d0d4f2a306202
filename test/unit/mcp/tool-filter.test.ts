import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { hasCode } from "../../../src/errors.ts"
import { filterJson } from "../../../src/mcp/json-filter.ts"
import { type BodyFilter, filterEvents } from "../../../src/mcp/tool-filter.ts"

const policy = { allows: (tool: string) => !tool.startsWith("hidden") }
const listing = (id: number) => ({
  jsonrpc: "2.0",
  id,
  result: { tools: [{ name: "shown", big: 1 }, { name: "hidden_one" }, "hidden", { name: 5 }], nextCursor: "c" },
})
const filtered = (id: number) => ({
  jsonrpc: "2.0",
  id,
  result: { tools: [{ name: "shown", big: 1 }], nextCursor: "c" },
})

/** Runs a text through a filter in pieces of given sizes. */
const run = (filter: BodyFilter, text: string, sizes: readonly number[] = []): string => {
  const bytes = Buffer.from(text)
  const out: Buffer[] = []
  let at = 0
  for (const size of [...sizes, bytes.length]) {
    out.push(Buffer.from(filter.push(bytes.subarray(at, at + size))))
    at += size
  }
  return Buffer.concat([...out, filter.end()]).toString()
}
/** Everything cut once, at each place, and everything byte by byte. */
const everyCut = (text: string): readonly (readonly number[])[] => {
  const { length } = Buffer.from(text)
  return [...Array.from({ length }, (_, at) => [at]), Array.from({ length }, () => 1)]
}
const cuts = fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 80 })

describe("in a JSON body", () => {
  test("lists lose hidden tools, wherever the pieces are cut; other messages stay as they are byte by byte", () => {
    const other = '{"jsonrpc": "2.0",  "id":1.0, "result":{"x":"}{\\"]","big":12345678901234567890}}'
    const text = `${JSON.stringify(listing(1))}\n${other}\n`
    fc.assert(
      fc.property(cuts, (sizes) => {
        expect(run(filterJson(policy), text, sizes)).toBe(`${JSON.stringify(filtered(1))}\n${other}\n`)
      }),
    )
  })

  test("a list is filtered at every place where it can be cut, inside of characters and escapes too", () => {
    const text = (tools: string) =>
      `{"id":1,"result":{"tools":[${tools}],"x":"🦊\\"\\\\é","big":12345678901234567890}} \n`
    const shown = '{"name":"sh\\u006fwn","title":"größe 🦊","max":1e400}'
    for (const sizes of everyCut(text(`${shown},{"name":"hidden 🦊"}`)))
      expect(run(filterJson(policy), text(`${shown},{"name":"hidden 🦊"}`), sizes)).toBe(text(shown))
  })

  test("lists in a batch are filtered too", () => {
    const out = run(filterJson(policy), JSON.stringify([listing(1), { jsonrpc: "2.0", id: 2, result: {} }]))
    expect(JSON.parse(out)).toEqual([filtered(1), { jsonrpc: "2.0", id: 2, result: {} }])
  })

  test("a message goes out as soon as it is complete, though the body goes on", () => {
    const filter = filterJson(policy)
    expect(filter.push(Buffer.from(`${JSON.stringify(listing(1))}\n{"json`)).toString()).toBe(
      JSON.stringify(filtered(1)),
    )
  })

  test("a message of many members is filtered too, and refused if it is no JSON", () => {
    const long = `"x":[${"{},".repeat(40_000)}{}]`
    const tools = '"tools":[{"name":"hidden"}]'
    expect(run(filterJson(policy), `{"result":{${tools},${long}}}`)).toBe(`{"result":{"tools":[],${long}}}`)
    expect(() => run(filterJson(policy), `{"result":{${tools},${long.replace("{},", "{1},")}}}`)).toThrow("is not JSON")
  })

  test.each(["<html>", '"text"', "{]", '{"a":}', "}", '{"unfinished":', "{} x"])("%s is refused", (text) => {
    try {
      run(filterJson(policy), text)
      expect.unreachable()
    } catch (error) {
      expect(hasCode(error, "UpstreamInvalid")).toBe(true)
    }
  })
})

describe("in an event stream", () => {
  const data = JSON.stringify(listing(7))
  const note = 'id: 1\nretry: 10\ndata:\n\ndata: {"a":\ndata:  1}\n\n'
  const noteAnew = 'id: 1\nretry: 10\ndata: \n\ndata: {"a":  1}\n\n'

  test.each(["\n", "\r", "\r\n"])("lists lose hidden tools, wherever the pieces are cut (line end %j)", (end) => {
    const text = `${note}event: message\nid: 2\ndata: ${data}\n\n`.replaceAll("\n", end)
    fc.assert(
      fc.property(cuts, (sizes) => {
        const out = run(
          filterEvents(() => policy),
          text,
          sizes,
        )
        expect(out).toBe(`${noteAnew}event: message\nid: 2\ndata: ${JSON.stringify(filtered(7))}\n\n`)
      }),
    )
  })

  test.each(["\n", "\r", "\r\n"])("a list is filtered at every place where it can be cut (line end %j)", (end) => {
    const text = (tools: string) => `id: 9\ndata: {"result":{"tools":[${tools}],"x":"🦊é"}}\n\n`
    const shown = '{"name":"shown 🦊","max":12345678901234567890}'
    const whole = text(`${shown},{"name":"hidden 🦊"}`).replaceAll("\n", end)
    for (const sizes of everyCut(whole))
      expect(
        run(
          filterEvents(() => policy),
          whole,
          sizes,
        ),
      ).toBe(text(shown))
  })

  test("data over several lines is one message, and goes out in one line", () => {
    const text =
      'data: {\ndata:  "result": {\ndata:   "tools": [{"name":\ndata: "shown" },{"name":\ndata: "hidden"}]\ndata: }}\n\n'
    expect(
      run(
        filterEvents(() => policy),
        text,
      ),
    ).toBe('data: {  "result": {   "tools": [{"name": "shown" }] }}\n\n')
  })

  test.each([
    ["a message after a lone carriage return in front of a blank", `data: \r${data}\n\n`, "data: \n\n"],
    ["a message after a line separator in a comment", `: x\u2028data: ${data}\n\n`, ":\n\n"],
    ["a message after a next-line character in a comment", `: x\u0085data: ${data}\n\n`, ":\n\n"],
    ["a message after a vertical tab in an unknown field", `x: y\vdata: ${data}\n\n`, ":\n\n"],
    ["a message after a line separator in an id", `id: 1\u2028data: ${data}\n\n`, ":\n\n"],
    ["a message in a field of a name that is nearly data", ` data: ${data}\n\nDATA: ${data}\n\n`, ":\n\n"],
    ["a message behind a byte order mark in the middle", `id: 1\n\n\ufeffdata: ${data}\n\n`, "id: 1\n\n"],
  ])("%s does not pass, however a client parts lines", (_, text, expected) => {
    expect(
      run(
        filterEvents(() => policy),
        text,
      ),
    ).toBe(expected)
  })

  test("what some reader takes for the end of a line is escaped in the strings of a message", () => {
    const odd = '{"id":1,"result":{"text":"a\u2028data: {}\u0085b\u2029"}}'
    const out = run(
      filterEvents(() => policy),
      `data: ${odd}\n\n`,
    )
    expect(out).toBe('data: {"id":1,"result":{"text":"a\\u2028data: {}\\u0085b\\u2029"}}\n\n')
    expect(JSON.parse(out.slice("data: ".length))).toEqual(JSON.parse(odd))
  })

  test("of an event go on type, id, time and data, each once, and nothing else", () => {
    const text = `event: a\nevent: message\nid: 1\nid: 2\nretry: x\nretry: 5\nother: z\n: note\ndata: {}\n\n`
    expect(
      run(
        filterEvents(() => policy),
        text,
      ),
    ).toBe("event: message\nid: 2\nretry: 5\ndata: {}\n\n")
    expect(
      run(
        filterEvents(() => policy),
        "id: a\0b\nevent: x\u0007\ndata: {}\n\n",
      ),
    ).toBe("data: {}\n\n")
  })

  test("a byte order mark at the beginning is none of the first field", () => {
    const text = `\ufeffdata: ${data}\n\n`
    expect(
      run(
        filterEvents(() => policy),
        text,
      ),
    ).toBe(`data: ${JSON.stringify(filtered(7))}\n\n`)
  })

  test("comments and blank lines show that the server lives, and become no more than they were", () => {
    expect(
      run(
        filterEvents(() => policy),
        `: a\n\n: b\n\n${"\n".repeat(1_000)}`,
      ),
    ).toBe(":\n\n")
  })

  test("an event that was not ended never goes out", () => {
    expect(
      run(
        filterEvents(() => policy),
        `data: ${data}\n`,
      ),
    ).toBe("")
  })

  test("what is not JSON, not UTF-8 or too long is refused", () => {
    expect(() =>
      run(
        filterEvents(() => policy),
        "data: x\n\n",
      ),
    ).toThrow()
    expect(() => filterEvents(() => policy).push(Buffer.from([0x64, 0x61, 0x74, 0x61, 0x3a, 0xff, 10, 10]))).toThrow()
    const filter = filterEvents(() => policy)
    const piece = Buffer.from("data: ".padEnd(2 ** 20, "x"))
    expect(() => {
      for (let count = 0; count < 6; count++) filter.push(piece)
    }).toThrow()
  })
})

describe("a stream whose policy changes", () => {
  const event = (id: number) => `id: ${id}\ndata: ${JSON.stringify(listing(id))}\n\n`
  const hidden = (id: number) => `id: ${id}\ndata: ${JSON.stringify(filtered(id))}\n\n`
  const odd = "x:1\r\ndata: {}\r\n\r\n"

  test.each(["\n", "\r", "\r\n"])(
    "is filtered from the next event on, wherever the policy comes (line end %j)",
    (end) => {
      const text = (odd + event(1) + event(2)).replaceAll(/\r?\n/g, end)
      for (let at = 0; at <= text.length; at++) {
        let now: typeof policy | undefined
        const filter = filterEvents(() => now)
        const before = filter.push(Buffer.from(text.slice(0, at))).toString()
        expect(before).toBe(text.slice(0, at))
        now = policy
        const out = before + run(filter, text.slice(at))
        // the event in whose middle the policy came passes as it is, the next one never does
        const begun = at > text.length - event(2).replaceAll("\n", end).length
        expect(out.endsWith(hidden(2)) || begun).toBe(true)
        expect(out.split(/\r\n|[\r\n]/)).toContain("data: {}")
      }
    },
  )

  test("shows all tools again when the policy is taken away", () => {
    let now: typeof policy | undefined = policy
    const filter = filterEvents(() => now)
    const first = filter.push(Buffer.from(event(1))).toString()
    now = undefined
    expect(first + run(filter, event(2))).toBe(hidden(1) + event(2))
  })

  test("ends if it cannot be read", () => {
    let now: typeof policy | undefined
    const filter = filterEvents(() => now, false)
    expect(filter.push(Buffer.from("zzz")).toString()).toBe("zzz")
    now = policy
    expect(() => filter.push(Buffer.from("z"))).toThrow("cannot be applied")
  })
})
