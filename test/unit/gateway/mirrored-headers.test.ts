import { describe, expect, test } from "vitest"
import { hasCode } from "../../../src/errors.ts"
import type { Message } from "../../../src/gateway/message.ts"
import { checkHeaders, decodeMirrored } from "../../../src/gateway/mirrored-headers.ts"

const call = (kind: "request" | "notification" = "request", version: string | undefined = "2026-07-28"): Message => ({
  kind,
  method: "tools/call",
  params: { name: "größe" },
  version,
})
const full = {
  "mcp-protocol-version": "2026-07-28",
  "mcp-method": "tools/call",
  "mcp-name": `=?base64?${Buffer.from("größe").toString("base64")}?=`,
}
const codeOf = (headers: Record<string, string>, message: Message): string => {
  try {
    checkHeaders(headers, [message])
    return "passes"
  } catch (error) {
    return hasCode(error, "HeaderMismatch", "InvalidRequest") ? error.code : String(error)
  }
}

describe("headers that repeat a modern request", () => {
  test("pass when they are equal, base64 decoded", () => {
    expect(codeOf(full, call())).toBe("passes")
  })

  test.each(Object.keys(full))("are required: without %s it is a mismatch, but not on a notification", (name) => {
    const { [name as keyof typeof full]: _, ...rest } = full
    expect(codeOf(rest, call())).toBe("HeaderMismatch")
    expect(codeOf(rest, call("notification"))).toBe("passes")
  })

  test.each(Object.keys(full))("are compared: another %s is a mismatch, also on a notification", (name) => {
    expect(codeOf({ ...full, [name]: "other" }, call())).toBe("HeaderMismatch")
    expect(codeOf({ ...full, [name]: "other" }, call("notification"))).toBe("HeaderMismatch")
  })

  test("are a mismatch when they are sent twice or are broken base64", () => {
    expect(codeOf({ ...full, "mcp-method": "tools/call, tools/call" }, call())).toBe("HeaderMismatch")
    expect(codeOf({ ...full, "mcp-name": "=?base64?!?=" }, call())).toBe("HeaderMismatch")
  })
})

test("a legacy request needs none of them, but its version header must be one", () => {
  const legacy: Message = { kind: "request", method: "ping", params: {}, version: undefined }
  expect(codeOf({}, legacy)).toBe("passes")
  expect(codeOf({ "mcp-protocol-version": "2025-06-18", "mcp-method": "other" }, legacy)).toBe("passes")
  expect(codeOf({ "mcp-protocol-version": "2025-06-18, 2025-11-25" }, legacy)).toBe("InvalidRequest")
})

test.each([
  ["plain", "plain"],
  ["=?base64?cGxhaW4=?=", "plain"],
  ["=?base64?cGxhaW4?=", undefined],
  ["=?base64?cGxh!aW4=?=", undefined],
  ["=?base64?cGxhaW5=?=", undefined],
  ["=?base64?/w==?=", undefined],
  ["=?base64?cGxhaW4=", "=?base64?cGxhaW4="],
  ["cGxhaW4=?=", "cGxhaW4=?="],
  ["=?BASE64?cGxhaW4=?=", "=?BASE64?cGxhaW4=?="],
])("%s decodes to %s", (header, text) => {
  expect(decodeMirrored(header)).toBe(text)
})
