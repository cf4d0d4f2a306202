import { describe, expect, test } from "vitest"
import { acceptsOneOf, essenceOf, isUtf8, parseMediaType } from "../../../src/intake/media-type.ts"

describe("a media type", () => {
  test.each([
    ["application/json", "application/json", []],
    ["Application/JSON", "application/json", []],
    ["a/b;", "a/b", []],
    ["a/b ; ;\t;", "a/b", []],
    ["a/b;X=Y", "a/b", [["x", "Y"]]],
    [
      "a/b ; x=y ; x=z ",
      "a/b",
      [
        ["x", "y"],
        ["x", "z"],
      ],
    ],
    ['a/b;x="a;b=c, d"', "a/b", [["x", "a;b=c, d"]]],
    ['a/b;x="\\"\\\\\\y"', "a/b", [["x", '"\\y']]],
    [
      'a/b;x="";y="\té"',
      "a/b",
      [
        ["x", ""],
        ["y", "\té"],
      ],
    ],
    ["x-a.b+c/d!#$%&'*^_`|~", "x-a.b+c/d!#$%&'*^_`|~", []],
  ] as const)("%s is read with its parameters", (header, essence, parameters) => {
    expect(parseMediaType(header)).toEqual({
      essence,
      parameters: parameters.map(([name, value]) => ({ name, value })),
    })
  })

  test.each([
    "",
    " a/b",
    "a",
    "a/",
    "/b",
    "a /b",
    "a/b/c",
    "a/b x=y",
    "a/b, c/d",
    "a/b;x",
    "a/b;x=",
    "a/b;=y",
    "a/b;x =y",
    "a/b;x= y",
    "a/b;x=y z",
    'a/b;x="y',
    'a/b;x="y\\',
    'a/b;x="y"z',
    'a/b;x="\x00"',
    'a/b;x="\\\n"',
    "a/b;x='y z'",
    "a/b\n",
    "a/b;\r\nx=y",
    "é/b",
    "a/ſ",
  ])("%j is none", (header) => {
    expect(parseMediaType(header)).toBeUndefined()
  })

  test.each([
    ["a/b", true],
    ["a/b;charset=UTF-8", true],
    ['a/b;Charset="utf8"', true],
    ["a/b;charset=utf-7", false],
    ["a/b;charset=utf-8;charset=utf-7", false],
    ['a/b;charset=""', false],
    ['a/b;charset="utf-8 "', false],
    ["a/b;charset=utf-\u2078", undefined],
  ])("%s is in UTF-8: %s", (header, expected) => {
    const type = parseMediaType(header)
    expect(type && isUtf8(type)).toBe(expected)
  })
})

test.each([
  ["text/event-stream", "text/event-stream"],
  ["Text/Event-Stream; charset=utf-8", "text/event-stream"],
  ["text/html ;", "text/html"],
  ["text/html; charset", "text/html"],
  ["text/html; ===", "text/html"],
  ['text/html; a=","', "text/html"],
  [["text/html"], "text/html"],
  [["text/html", "text/html"], undefined],
  [[], undefined],
  [undefined, undefined],
  ["", undefined],
  ["text", undefined],
  ["text/html, text/event-stream", undefined],
  ["text/html; a=b, text/event-stream", undefined],
  ["text/html,", undefined],
  ['text/html; a="b, text/event-stream', undefined],
  ["text/html text/event-stream", undefined],
  ["text/html/x", undefined],
])("the essence of the Content-Type %j is %s", (header, essence) => {
  expect(essenceOf(header)).toBe(essence)
})

test.each([
  ["application/json", true],
  ["APPLICATION/JSON;q=0.5", true],
  ["text/html, application/json", true],
  [" , ,application/json", true],
  ['text/html;a="x,y",\tapplication/json', true],
  ["application/*", true],
  ["*/*", true],
  ["nonsense, */*;q=0.1", true],
  ["application/json text/html", true],
  ["", false],
  ["text/html", false],
  ["text/*", false],
  ["*", false],
  ["application/jsonp", false],
  ["x-application/json", false],
  ['text/html;a="application/json"', false],
  ['text/html;a="x,application/json', false],
])("an Accept header of %j means JSON: %s", (header, expected) => {
  expect(acceptsOneOf(header, ["application/json"])).toBe(expected)
})
