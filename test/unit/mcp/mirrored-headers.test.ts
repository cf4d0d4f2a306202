import { describe, expect, test } from "vitest"
import { hasCode } from "../../../src/errors.ts"
import type { Message } from "../../../src/mcp/message.ts"
import { checkHeaders, decodeMirrored, mirroredOf } from "../../../src/mcp/mirrored-headers.ts"

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

describe("a name in a header that repeats nothing of the body", () => {
  const listing: Message = { kind: "request", method: "tools/list", params: { name: "x" }, version: "2026-07-28" }
  const headers = { ...full, "mcp-method": "tools/list" }

  test.each([
    ["of a method without a name", listing],
    ["of a method that nobody knows", { ...listing, method: "x/y" }],
    ["of a method that an object inherits", { ...listing, method: "constructor" }],
    ["of a notification without a name", { ...listing, kind: "notification" }],
    ["beside a name that is no text", { ...call(), method: "tools/call", params: { name: ["größe"] } }],
    ["beside no name", { ...call(), method: "tools/call", params: {} }],
    ["beside no task's id", { ...call(), method: "tasks/get", params: {} }],
  ] as const)("is a mismatch: %s", (_name, message) => {
    const { method } = message as { method: string }
    expect(codeOf({ ...headers, "mcp-method": method }, message as Message)).toBe("HeaderMismatch")
    const { "mcp-name": _, ...nameless } = headers
    expect(codeOf({ ...nameless, "mcp-method": method, "mcp-name": "" }, message as Message)).toBe("HeaderMismatch")
    expect(codeOf({ ...nameless, "mcp-method": method }, message as Message)).toBe("passes")
  })
})

describe("the server gets", () => {
  const legacy: Message = { kind: "request", method: "tools/call", params: { name: "a" }, version: undefined }
  const listing: Message = { kind: "request", method: "tools/list", params: {}, version: "2026-07-28" }

  test("no header that repeats a legacy message, a response, a batch or nothing", () => {
    for (const messages of [[], [legacy], [{ kind: "response" }], [{ kind: "response" }, call()], [legacy, legacy]])
      expect(mirroredOf({ era: "legacy", messages: messages as Message[] }, { "mcp-method": "tools/call" })).toBe(
        "none",
      )
  })

  test("those that were compared with a modern message, and a tool's arguments only with a call", () => {
    expect(mirroredOf({ era: "modern", messages: [listing] }, {})).toBe("message")
    expect(mirroredOf({ era: "modern", messages: [call("notification")] }, {})).toBe("message")
    expect(mirroredOf({ era: "modern", messages: [call()] }, {})).toBe("call")
  })

  test("the method of a notification that names no version, if it is the body's", () => {
    const notice: Message = { kind: "notification", method: "notifications/cancelled", params: {}, version: undefined }
    const asked = (method: string, messages = [notice]) =>
      mirroredOf({ era: "legacy", messages }, { "mcp-method": method, "mcp-name": "x" })
    expect(asked("notifications/cancelled")).toBe("method")
    expect(asked("tools/call")).toBe("none")
    expect(asked("notifications/cancelled", [notice, notice])).toBe("none")
    expect(mirroredOf({ era: "legacy", messages: [notice] }, {})).toBe("none")
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
