import { IncomingMessage } from "node:http"
import { Socket } from "node:net"
import { setImmediate as turn } from "node:timers/promises"
import { describe, expect, test } from "vitest"
import { isAppError } from "../../../src/errors.ts"
import { checkMedia, readBody } from "../../../src/gateway/incoming.ts"

/** A request as Node's server makes it, whose body the test sends. */
const setUp = (headers: Readonly<Record<string, string>> = {}, room = Number.POSITIVE_INFINITY) => {
  const request = new IncomingMessage(new Socket())
  Object.assign(request.headers, headers)
  const client = new AbortController()
  let taken = 0
  const take = (bytes: number): boolean => {
    if (taken + bytes > room) return false
    taken += bytes
    return true
  }
  const body = readBody(request, {
    limit: 10_000,
    declared: headers["content-length"],
    signal: client.signal,
    take,
  })
  return { request, client, body, taken: () => taken }
}

describe("a body that is read", () => {
  test("is what came", async () => {
    const { request, body, taken } = setUp()
    for (const text of ["a", "bc", "def"]) request.push(Buffer.from(text))
    request.push(null)
    expect((await body).toString()).toBe("abcdef")
    expect(taken()).toBeGreaterThanOrEqual(6)
  })

  test("in one piece is not copied", async () => {
    const { request, body, taken } = setUp({ "content-length": "300" })
    const piece = Buffer.alloc(300, 1)
    request.push(piece)
    request.push(null)
    expect(await body).toBe(piece)
    expect(taken()).toBe(300)
  })

  test("that is declared and does not come takes nothing", () => {
    const { taken } = setUp({ "content-length": "9999" })
    expect(taken()).toBe(0)
  })

  test("is refused when its owner may hold no more; the rest is read and forgotten", async () => {
    const { request, body, taken } = setUp({}, 2_000)
    for (let index = 0; index < 5; index++) request.push(Buffer.alloc(1_000))
    await expect(body).rejects.toMatchObject({
      code: "BodiesTooLarge",
      retryAfterSeconds: 5,
      headers: { connection: "close" },
    })
    for (let index = 0; index < 100; index++) request.push(Buffer.alloc(1_000))
    expect(request.readableLength).toBe(0)
    expect(taken()).toBeLessThanOrEqual(2_000)
  })

  test("is refused when it is too large, announced or not", async () => {
    await expect(setUp({ "content-length": "10001" }).body).rejects.toMatchObject({ code: "BodyTooLarge" })
    const { request, body } = setUp()
    request.push(Buffer.alloc(6_000))
    request.push(Buffer.alloc(6_000))
    await expect(body).rejects.toMatchObject({ code: "BodyTooLarge" })
  })

  test("ends with its client, and with the gateway's patience", async () => {
    const left = setUp()
    left.request.push(Buffer.alloc(10))
    left.request.destroy()
    await expect(left.body).rejects.toMatchObject({ name: "AbortError" })
    const stopped = setUp()
    stopped.request.push(Buffer.alloc(10))
    await turn()
    stopped.client.abort(new Error("over"))
    await expect(stopped.body).rejects.toThrow("over")
    stopped.request.push(Buffer.alloc(10))
    await turn()
    expect(stopped.request.readableLength).toBe(0)
    expect(stopped.taken()).toBe(10)
  })
})

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
