import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { hasCode } from "../../../src/errors.ts"
import { type BodyFilter, filterEvents, filterJson } from "../../../src/gateway/tool-filter.ts"

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
  const note = 'id: 1\nretry: 10\ndata:\n\n: comment\n\ndata: {"a":\ndata:  1}\n\n'

  test.each(["\n", "\r", "\r\n"])("lists lose hidden tools, wherever the pieces are cut (line end %j)", (end) => {
    const before = note.replaceAll("\n", end)
    const event = `event: message\nid: 2\ndata: ${data}\n\n`.replaceAll("\n", end)
    fc.assert(
      fc.property(cuts, (sizes) => {
        const out = run(filterEvents(policy), before + event, sizes)
        const at = out.indexOf("event: message")
        expect(out.slice(at)).toBe(`event: message\nid: 2\ndata: ${JSON.stringify(filtered(7))}\n\n`)
        // the line feed of a carriage return may be cut off and counted to the next event, where it says nothing
        expect([before, before.slice(0, -1)]).toContain(out.slice(0, at))
      }),
    )
  })

  test.each(["\n", "\r", "\r\n"])("a list is filtered at every place where it can be cut (line end %j)", (end) => {
    const text = (tools: string) => `id: 9\ndata: {"result":{"tools":[${tools}],"x":"🦊é"}}\n\n`
    const shown = '{"name":"shown 🦊","max":12345678901234567890}'
    const whole = text(`${shown},{"name":"hidden 🦊"}`).replaceAll("\n", end)
    for (const sizes of everyCut(whole)) expect(run(filterEvents(policy), whole, sizes)).toBe(text(shown))
  })

  test("data over several lines is one message, and stays on its lines", () => {
    const event = (text: string) =>
      `${text
        .split("\n")
        .map((line) => `data: ${line}`)
        .join("\n")}\n\n`
    const text = (tools: string) => `{\n "result": {\n  "tools": [\n   ${tools}\n  ]\n }\n}`
    const out = run(filterEvents(policy), event(text('{ "name":\n "shown" },\n {"name": "hidden"}')))
    expect(out).toBe(event(text('{ "name":\n "shown" }')))
  })

  test("other events stay as they are", () => {
    expect(run(filterEvents(policy), note)).toBe(note)
  })

  test("an event that was not ended never goes out", () => {
    expect(run(filterEvents(policy), `data: ${data}\n`)).toBe("")
  })

  test("what is not JSON, not UTF-8 or too long is refused", () => {
    expect(() => run(filterEvents(policy), "data: x\n\n")).toThrow()
    expect(() => filterEvents(policy).push(Buffer.from([0x64, 0x61, 0x74, 0x61, 0x3a, 0xff, 10, 10]))).toThrow()
    const filter = filterEvents(policy)
    const piece = Buffer.from("data: ".padEnd(2 ** 20, "x"))
    expect(() => {
      for (let count = 0; count < 6; count++) filter.push(piece)
    }).toThrow()
  })
})
