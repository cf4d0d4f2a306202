import { describe, expect, test } from "vitest"
import { isAppError } from "../../../src/errors.ts"
import { checkMedia } from "../../../src/gateway/incoming.ts"

const verdict = (headers: Record<string, string>): string => {
  try {
    checkMedia(headers)
    return "passes"
  } catch (error) {
    return isAppError(error) ? error.code : String(error)
  }
}

describe("a Content-Type", () => {
  test.each([
    "application/json",
    "Application/JSON",
    "application/json;charset=utf-8",
    'application/json; charset="UTF-8"',
    "application/json ; charset=utf8 ;",
    "application/json; profile=x; charset=utf-8",
    'application/json; profile="http://example.com/charset:utf-7"',
  ])("%s says JSON in UTF-8", (type) => {
    expect(verdict({ "content-type": type })).toBe("passes")
  })

  test.each([
    "",
    "text/plain",
    "application/jsonp",
    "application/json-rpc",
    "application/json, text/plain",
    "application/json; charset=utf-7",
    'application/json; CharSet="UTF-7"',
    "application/json; charset=utf-16le",
    "application/json; charset=iso-8859-1",
    "application/json; charset=utf-8; charset=utf-7",
    "application/json; charset=utf-7; charset=utf-8",
    "application/json; charset*=utf-8''utf-7",
    'application/json; a="\\";charset=utf-7;b=\\""',
    "application/json; charset = utf-7",
    "application/json; charset=",
    "application/json charset=utf-7",
    "application/json; charset='utf-7'",
    `application/json${"; ".repeat(31)}!`,
  ])("%s may say something else to the server, and is refused", (type) => {
    expect(verdict({ "content-type": type })).toBe("UnsupportedMediaType")
  })

  test("is needed", () => {
    expect(verdict({})).toBe("UnsupportedMediaType")
  })
})

test.each([
  ["gzip", "UnsupportedMediaType"],
  ["identity, gzip", "UnsupportedMediaType"],
  ["Identity", "passes"],
])("the Content-Encoding %s: %s", (encoding, expected) => {
  expect(verdict({ "content-type": "application/json", "content-encoding": encoding })).toBe(expected)
})
