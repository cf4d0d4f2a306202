import { expect, test } from "vitest"
import { answerTo, bigBytes, readMessage } from "../../bench/mcp-answers.ts"

const modern = { _meta: { "io.modelcontextprotocol/protocolVersion": "2026-07-28" } }

/** The parsed answer to a request. */
const ask = (method: string, params: object = {}, id: number | string = 1) => {
  const pieces = answerTo(readMessage(JSON.stringify({ jsonrpc: "2.0", id, method, params })))
  return JSON.parse(Buffer.concat((pieces ?? []).map((piece) => Buffer.from(piece))).toString())
}

test("an answer has the id of its request", () => {
  expect(ask("ping", {}, 'a "b"')).toEqual({ jsonrpc: "2.0", id: 'a "b"', result: {} })
})

test("notifications and responses get no answer", () => {
  expect(answerTo({ method: "notifications/initialized" })).toBeUndefined()
  expect(answerTo({ id: 1 })).toBeUndefined()
})

test("initialize agrees to a revision with sessions", () => {
  expect(ask("initialize", { protocolVersion: "2025-06-18" }).result.protocolVersion).toBe("2025-06-18")
  expect(ask("initialize", { protocolVersion: "2026-07-28" }).result.protocolVersion).toBe("2025-11-25")
})

test("echo returns the message, in both eras", () => {
  const params = { name: "echo", arguments: { message: "a\n" } }
  const content = [{ type: "text", text: "a\n" }]
  expect(ask("tools/call", params).result).toEqual({ content })
  expect(ask("tools/call", { ...params, ...modern }).result).toMatchObject({ content, resultType: "complete" })
})

test("big returns 1 MB of text, in both eras", () => {
  for (const more of [{}, modern])
    expect(ask("tools/call", { name: "big", ...more }).result.content[0].text).toHaveLength(bigBytes)
})

test("requests of the modern era can find out what the server supports", () => {
  expect(ask("server/discover", modern).result).toMatchObject({ supportedVersions: ["2026-07-28"] })
  expect(ask("server/discover").error.code).toBe(-32601)
  expect(ask("tools/list", modern).result).toMatchObject({ resultType: "complete", ttlMs: 0 })
  expect(ask("tools/list").result.tools.map(({ name }: { name: string }) => name)).toContain("echo")
})

test("an unknown tool is an error, which no measurement takes for a result", () => {
  expect(ask("tools/call", { name: "none" }).error.code).toBe(-32602)
})
