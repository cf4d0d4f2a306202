import { describe, expect, test } from "vitest"
import {
  type Envelope,
  elementsOf,
  onOneLine,
  readEnvelope,
  sourceOf,
  stringOf,
  withValues,
} from "../../../src/bridge/envelope.ts"

/** The sources of all places that were found. */
const sourcesOf = (text: string, strict = false): Record<string, string> =>
  Object.fromEntries(Object.entries(readEnvelope(text, strict)).map(([place, span]) => [place, sourceOf(text, span)]))

const subscriptionKey = "io.modelcontextprotocol/subscriptionId"

describe("the envelope of a message", () => {
  test("names the places of its parts, with blanks around and whatever is between", () => {
    const text =
      ' {"x":{"id":0,"method":[]}, "id" : 1.0e1 ,"params":{ "_meta":{"progressToken": "t" },"requestId":7},"method":"m","jsonrpc":"2.0"} '
    expect(sourcesOf(text)).toEqual({
      id: "1.0e1",
      askedToken: '"t"',
      requestId: "7",
      method: '"m"',
      jsonrpc: '"2.0"',
    })
  })

  test("has the subscription's id of a notification, and that of a result", () => {
    const meta = `{"_meta":{"${subscriptionKey}":"n:1"}}`
    expect(sourcesOf(`{"params":${meta}}`)).toEqual({ subscriptionId: '"n:1"' })
    expect(sourcesOf(`{"id":"n:1","result":${meta}}`)).toMatchObject({ subscriptionId: '"n:1"', result: meta })
    // a client's answer passes unread
    expect(sourcesOf(`{"id":1,"result":${meta}}`, true)).toEqual({ id: "1", result: meta })
  })

  test("has progressToken and requestId of the params, and no deeper ones", () => {
    expect(sourcesOf('{"params":{"progressToken":1,"requestId":"r","arguments":{"requestId":2,"_meta":{}}}}')).toEqual({
      reportedToken: "1",
      requestId: '"r"',
    })
  })

  test("of a server: of equal keys the last one counts, as for JSON.parse", () => {
    const text = '{"id":1,"id":2,"params":{"requestId":1,"requestId":2,"_meta":{"progressToken":1,"progressToken":2}}}'
    expect(sourcesOf(text)).toEqual({ id: "2", requestId: "2", askedToken: "2" })
    const parsed = JSON.parse(text)
    expect([parsed.id, parsed.params.requestId, parsed.params._meta.progressToken]).toEqual([2, 2, 2])
  })

  test.for([
    ["id", '{"id":1,"id":2}'],
    ["progressToken", '{"params":{"_meta":{"progressToken":1,"progressToken":2}}}'],
    ["progressToken", '{"params":{"_meta":{"ProgressToken":1}}}'],
    ["progressToken", '{"params":{"progresstoken":1}}'],
    ["progressToken", '{"params":{"_meta":{"progress\\u0000Token":1}}}'],
    ["progressToken", '{"params":{"_meta":{"progressTo\u212aen":1}}}'],
    ["requestId", '{"params":{"requestId":1,"requestId":1}}'],
    ["requestId", '{"params":{"REQUESTID":1}}'],
    ["requestId", '{"params":{"request\\u200bId":1}}'],
    [subscriptionKey, `{"params":{"_meta":{"${subscriptionKey}":1,"${subscriptionKey}":2}}}`],
    [subscriptionKey, `{"params":{"_meta":{"${subscriptionKey.toUpperCase()}":1}}}`],
  ] as const)("of a client must have the key %s once and plainly: %s", ([key, text]) => {
    expect(() => readEnvelope(text, true)).toThrow(expect.objectContaining({ code: "InvalidRequest" }))
    expect(() => readEnvelope(text, true)).toThrow(key)
    expect(() => readEnvelope(text, false)).not.toThrow()
  })

  test("of a client may have an escaped key that means exactly what is looked for", () => {
    expect(sourcesOf('{"params":{"_meta":{"progress\\u0054oken":1}}}', true)).toEqual({ askedToken: "1" })
  })

  test.for(["[]", '"a"', "1", "", "{", '{"a"', '{"a":'])("is not found in %s", (text) => {
    expect(() => readEnvelope(text, false)).toThrow(expect.objectContaining({ code: "MalformedJson" }))
  })
})

describe("values that are replaced", () => {
  test("leave every other byte as it was", () => {
    const text =
      '{"n":12345678901234567890.10e+2,"s":"\\u0041\\/é𝄞\\ud834","id" :  "long one" ,"params":{"_meta":{"progressToken":1}}}'
    const { id, askedToken } = readEnvelope(text, false)
    if (id === undefined || askedToken === undefined) throw new Error("not found")
    const changed = withValues(text, [
      [askedToken, '"n:2"'],
      [id, '"n:1"'],
    ])
    expect(changed).toBe(text.replace('"long one"', '"n:1"').replace("1}}}", '"n:2"}}}'))
    expect(withValues(text, [])).toBe(text)
  })
})

describe("small readings", () => {
  test("a string without its escapes, and nothing of another value", () => {
    const text = '{"method":"a\\u0062\\"c","id":1}'
    const { method, id }: Envelope = readEnvelope(text, false)
    expect([stringOf(text, method), stringOf(text, id), stringOf(text, undefined)]).toEqual([
      'ab"c',
      undefined,
      undefined,
    ])
  })

  test("JSON on one line means the same", () => {
    const text = '{\r\n "a":\n["x\\n\u2028"\r]}'
    expect(onOneLine(text)).not.toMatch(/[\r\n]/)
    expect(JSON.parse(onOneLine(text))).toEqual(JSON.parse(text))
  })

  test("the elements of a batch are found behind brackets, commas and quotes in them", () => {
    const elements = ['{"a":[1,{"b":"]"}]}', '{"c":",\\"]"}', "{}"]
    expect(elementsOf(` [ ${elements.join(" , ")} ] `)).toEqual(elements)
  })
})
