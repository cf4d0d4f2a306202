import { describe, expect, test } from "vitest"
import { readEnvelope } from "../../../src/bridge/envelope.ts"
import { discovery } from "../../../src/bridge/modern.ts"
import { modernStatus } from "../../../src/bridge/rpc.ts"

describe("server/discover for a server of the legacy era", () => {
  test("offers what needs no session", () => {
    const opening = {
      protocolVersion: "2025-11-25",
      capabilities: {
        tools: { listChanged: true },
        resources: { subscribe: true, listChanged: true },
        prompts: {},
        completions: {},
        logging: {},
        tasks: { list: {} },
        experimental: { own: { x: 1 } },
      },
      instructions: "Be kind.",
      serverInfo: { name: "s", version: "1", title: "S" },
    }
    expect(discovery(opening)).toEqual({
      resultType: "complete",
      supportedVersions: ["2026-07-28"],
      capabilities: { tools: {}, resources: {}, prompts: {}, completions: {}, experimental: { own: { x: 1 } } },
      instructions: "Be kind.",
      ttlMs: 0,
      cacheScope: "private",
      _meta: { "io.modelcontextprotocol/serverInfo": { name: "s", version: "1", title: "S" } },
    })
  })

  test("takes nothing for granted", () => {
    expect(discovery({ capabilities: "all", instructions: 7 })).toEqual({
      resultType: "complete",
      supportedVersions: ["2026-07-28"],
      capabilities: {},
      ttlMs: 0,
      cacheScope: "private",
    })
  })
})

test.for([
  ['"result":{}', 200],
  ['"error":{"code":-32601,"message":"m"}', 404],
  ['"error":{"code":-32020,"message":"m"}', 400],
  ['"error":{"code":-32021,"message":"m"}', 400],
  ['"error":{"code":-32022,"message":"m"}', 400],
  ['"error":{"code":-32603,"message":"m"}', 200],
  ['"error":"odd"', 200],
] as const)("the status of an answer with %s is %i", ([member, status]) => {
  const text = `{"jsonrpc":"2.0","id":1,${member}}`
  expect(modernStatus(text, readEnvelope(text, false))).toBe(status)
})
