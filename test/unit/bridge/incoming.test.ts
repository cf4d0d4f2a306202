import { describe, expect, test } from "vitest"
import { sourceOf } from "../../../src/bridge/envelope.ts"
import { readBody } from "../../../src/bridge/incoming.ts"

/** The only message of a body; throws the error of reading it. */
const messageIn = (text: string) => {
  const body = readBody(Buffer.from(text))
  if ("error" in body) throw body.error
  const [message] = body.messages
  if (message === undefined) throw new Error("no message")
  return message
}

const request = (id: string, token?: string): string =>
  `{"jsonrpc":"2.0","id":${id},"method":"m"${token === undefined ? "" : `,"params":{"_meta":{"progressToken":${token}}}`}}`

const cancelled = (id: string): string =>
  `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":${id}}}`

const long = (length: number): string => `"${"x".repeat(length - 2)}"`

describe("ids and tokens of a client", () => {
  test.for([request('"a"', "-1"), request("1", '"t"'), request(long(1_024), long(1_024)), cancelled("1.5")])(
    "are short strings and numbers: %#",
    (text) => {
      expect(() => messageIn(text)).not.toThrow()
    },
  )

  test.for([
    ["id", request(long(1_025))],
    ["id", request(`1${"0".repeat(1_024)}`)],
    ["progressToken", request("1", long(1_025))],
    ["progressToken", request("1", '{"a":\n1}')],
    ["progressToken", request("1", "[\n]")],
    ["progressToken", request("1", "true")],
    ["requestId", cancelled('{\n"a":1}')],
    ["requestId", cancelled("null")],
    ["requestId", cancelled(long(1_025))],
  ] as const)("%s is refused if it is something else: %#", ([name, text]) => {
    expect(() => messageIn(text)).toThrow(expect.objectContaining({ code: "InvalidRequest" }))
    expect(() => messageIn(text)).toThrow(`The ${name} `)
  })

  test("a progress token of null is none", () => {
    const { text, envelope } = messageIn(request("7", "null"))
    expect(envelope.askedToken).toBeUndefined()
    expect(envelope.id && sourceOf(text, envelope.id)).toBe("7")
  })

  test("an answer may have any id that the server gave its request", () => {
    expect(() => messageIn(`{"jsonrpc":"2.0","id":${long(5_000)},"result":{}}`)).not.toThrow()
  })
})
