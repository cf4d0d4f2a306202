import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { readMessages } from "../../../src/mcp/message.ts"

const versionKey = "io.modelcontextprotocol/protocolVersion"
const read = (text: string) => readMessages(Buffer.from(text))
const codeOf = (text: string) => read(text).error?.code

describe("a body", () => {
  test("of one request is read with method, params and the source of its id", () => {
    expect(read('{"jsonrpc":"2.0","id":1.50,"method":"tools/call","params":{"name":"x"}}')).toEqual({
      idText: "1.50",
      batch: false,
      error: undefined,
      messages: [{ kind: "request", method: "tools/call", params: { name: "x" }, version: undefined }],
    })
  })

  test("tells notifications and responses apart", () => {
    expect(read('{"jsonrpc":"2.0","method":"notifications/initialized"}').messages[0]?.kind).toBe("notification")
    expect(read('{"jsonrpc":"2.0","id":3,"result":{}}')).toMatchObject({
      messages: [{ kind: "response" }],
      idText: undefined,
    })
    expect(read('{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}').messages[0]?.kind).toBe("response")
  })

  test("names its version in _meta, which makes it modern", () => {
    const text = JSON.stringify({
      jsonrpc: "2.0",
      id: 1,
      method: "ping",
      params: { _meta: { [versionKey]: "2026-07-28" } },
    })
    expect(read(text).messages[0]).toMatchObject({ version: "2026-07-28" })
    expect(read(text.replace(versionKey, "progressToken")).messages[0]).toMatchObject({ version: undefined })
  })

  test.each([
    ['{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":null}}', "InvalidParams"],
    [`{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"${versionKey}":5}}}`, "InvalidParams"],
    ['{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}', "InvalidParams"],
    ['{"jsonrpc":"2.0","id":null,"method":"ping"}', "InvalidRequest"],
    ['{"jsonrpc":"2.0","id":{},"method":"ping"}', "InvalidRequest"],
    ['{"jsonrpc":"1.0","id":1,"method":"ping"}', "InvalidRequest"],
    ['{"jsonrpc":"2.0","id":1,"method":5}', "InvalidRequest"],
    ['{"jsonrpc":"2.0","id":1,"method":"a\\u0000b"}', "InvalidRequest"],
    ['{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}', "InvalidRequest"],
    ['{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', "InvalidRequest"],
    ['{"jsonrpc":"2.0","result":{}}', "InvalidRequest"],
    ['{"jsonrpc":"2.0","id":1}', "InvalidRequest"],
    ["[]", "InvalidRequest"],
    ["5", "InvalidRequest"],
    [`[${"5,".repeat(100)}5]`, "InvalidRequest"],
    [`{"jsonrpc":"2.0","id":1,"method":"ping","x":[${"5,".repeat(50_000)}5]}`, "InvalidRequest"],
    [`{"jsonrpc":"2.0","id":1,"method":"ping","x":[${"[],".repeat(25_000)}5]}`, "InvalidRequest"],
    [`{"jsonrpc":"2.0","id":1,"method":"ping"${',"x":1'.repeat(50_000)}}`, "InvalidRequest"],
    [`{"jsonrpc":"2.0","id":1,"method":"ping","x":[${"5,".repeat(49_000)}5]}`, undefined],
    ["nonsense", "MalformedJson"],
    ['{"jsonrpc":"2.0"} {}', "MalformedJson"],
    ['{"jsonrpc":"2.0",}', "MalformedJson"],
    ["", "MalformedJson"],
    ['\ufeff{"jsonrpc":"2.0","id":1,"method":"ping"}', "MalformedJson"],
  ])("%s is %s", (text, code) => {
    expect(codeOf(text)).toBe(code)
  })

  test("that is not UTF-8 is malformed", () => {
    expect(readMessages(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])).error?.code).toBe("MalformedJson")
  })

  test("that is nested too deeply is refused without parsing it", () => {
    const nest = (levels: number) =>
      `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":${"[".repeat(levels)}${"]".repeat(levels)}}}`
    expect(codeOf(nest(90))).toBeUndefined()
    expect(codeOf(nest(200))).toBe("InvalidRequest")
    const started = performance.now()
    expect(codeOf("[".repeat(4 * 2 ** 20))).toBe("InvalidRequest")
    expect(performance.now() - started).toBeLessThan(500)
  })

  test("that is refused still tells its id if that can be repeated", () => {
    expect(read('{"jsonrpc":"2.0","id":"a\\"b","method":"ping","method":"x"}').idText).toBe('"a\\"b"')
    expect(read('{"jsonrpc":"2.0","id":1x,"method":"ping"}').idText).toBeUndefined()
    expect(read('{"jsonrpc":"2.0","id":{"a":1},"Method":"ping"}').idText).toBeUndefined()
    expect(read(`{"jsonrpc":"2.0","id":"${"x".repeat(5000)}","Method":"ping"}`).idText).toBeUndefined()
  })
})

describe("a key that decides", () => {
  const body = (extra: string, params = "", meta = "") =>
    `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_meta":{"${versionKey}":"2026-07-28"${meta}}${params}}${extra}}`

  test.each([
    ["twice", body(',"method":"ping"')],
    ["twice in params", body("", ',"name":"b"')],
    ["twice in _meta", body("", "", `,"${versionKey}":"2025-11-25"`)],
    ["in another case", body(',"Method":"ping"')],
    ["in another case in params", body("", ',"NAME":"b"')],
    ["escaped", body(',"m\\u0065thod":"ping"')],
    ["with NUL", body(',"method\\u0000":"ping"')],
    ["with NUL inside", body("", ',"na\\u0000me":"b"')],
    ["with a long s", body(',"param\u017f":{}')],
    ["with an escaped long s", body(',"param\\u017f":{}')],
    ["cut off by NUL", body("", ',"name\\u0000x":"b"')],
    ["cut off by NUL in another case", body(',"METHOD\\u0000\\u0000x":"ping"')],
    ["with half a surrogate pair", body("", ',"na\\ud800me":"b"')],
    ["with a byte order mark", body("", ',"\ufeffname":"b"')],
    ["with an invisible character", body("", ',"na\u200dme":"b"')],
    ["with a dotless i", body(',"\u0131d":2')],
    ["with a dotted I", body("", ',"ur\u0130":"b"')],
    ["with the Kelvin sign", body("", ',"tas\u212aId":"b"')],
    ["in full width", body(',"\uff49\uff44":2')],
    ["in another case in _meta", body("", "", `,"IO.modelcontextprotocol/protocolVersion":"2025-11-25"`)],
    ["in an element of a batch", `[${body(',"Method":"ping"')}]`],
  ])("%s is refused", (_name, text) => {
    expect(codeOf(body(""))).toBeUndefined()
    expect(codeOf(text)).toBe("InvalidRequest")
  })

  test("of which a copy by assignment would inherit is refused", () => {
    for (const text of [body(',"__proto__":{}'), body("", ',"__proto__":{}'), body("", "", ',"__proto__":{}')])
      expect(codeOf(text)).toBe("InvalidRequest")
    expect(codeOf(body("", ',"arguments":{"__proto__":{}}'))).toBeUndefined()
  })

  test("may appear anywhere below the levels that decide", () => {
    const params = ',"arguments":{"name":1,"NAME":2,"method":3,"_meta":{"x":1,"X":2},"a":{"name":1}}'
    expect(codeOf(body("", params))).toBeUndefined()
  })
})

describe("whatever is sent", () => {
  const key = fc.oneof(
    fc.constantFrom("method", "id", "params", "name", "_meta", versionKey, "jsonrpc", "result", "arguments", "x"),
    fc.constantFrom("Method", "NAME", "id\0", "param\u017f", "\\", '"', "", "__proto__"),
    fc.string(),
  )
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { maxDepth: 4 },
      fc.string(),
      fc.constantFrom('\\"', "}", "]", "{", '","method":"x', "2.0"),
      fc.integer(),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.constantFrom(true, false, null),
      fc.array(tie("any"), { maxLength: 4 }),
      fc.dictionary(key, tie("any"), { maxKeys: 5 }),
    ),
  })).any

  test("bytes never make it throw, and a refusal has a code", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const reading = readMessages(Buffer.from(bytes))
        expect(reading.error !== undefined || reading.messages.length > 0).toBe(true)
      }),
      { numRuns: 2_000 },
    )
  })

  test("JSON of any shape is read as JSON.parse reads it, or refused", () => {
    const spaced = fc.constantFrom(undefined, 1, "\t")
    fc.assert(
      fc.property(value, value, spaced, (params, extra, space) => {
        const message = { jsonrpc: "2.0", id: 1, method: "tools/call", params, extra }
        const text = JSON.stringify(message, undefined, space)
        const reading = read(text)
        if (reading.error !== undefined) return
        expect(reading.idText).toBe("1")
        expect(reading.messages[0]).toMatchObject({ method: "tools/call", params: JSON.parse(text).params ?? {} })
      }),
      { numRuns: 3_000 },
    )
  })

  test("a second spelling of a deciding key, put anywhere at its level, is always refused", () => {
    const variants = fc.constantFrom("method", "METHOD", "m\\u0065thod", "method\\u0000", "\\u0000method", "Method")
    fc.assert(
      fc.property(fc.dictionary(fc.string(), value, { maxKeys: 4 }), variants, fc.nat(6), (filler, variant, place) => {
        const members = Object.entries(filler).map(([name, each]) => `${JSON.stringify(name)}:${JSON.stringify(each)}`)
        members.push('"jsonrpc":"2.0"', '"id":1', '"method":"ping"')
        members.splice(Math.min(place, members.length), 0, `"${variant}":"tools/call"`)
        expect(read(`{${members.join(",")}}`).error).toBeDefined()
      }),
      { numRuns: 1_000 },
    )
  })
})
